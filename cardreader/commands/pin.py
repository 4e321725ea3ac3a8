"""`cardreader pin`: the tries left of both PINs, and another PIN in the place of one."""

from __future__ import annotations

import json

import click

from cardreader import jpki_ap
from cardreader.agent.signing import PAD_SECONDS
from cardreader.commands.info import tries_left
from cardreader.commands.session import (
    CardSession,
    HPKISession,
    Surroundings,
    confirm_last_try,
    hold_any_card,
    hold_card,
    in_words,
    json_option,
    on_the_reader,
    pin_entry_option,
    reader_option,
    surroundings,
    told_in_words,
)
from cardreader.errors import PINBlocked, SignPasswordBlocked
from cardreader.hpki_ap import HPKIApplication
from cardreader.hpki_face import read_faces
from cardreader.pinpad import PINPadConnection, pad_for_auth_pin, verify_auth_pin_on_reader


@click.group("pin")
def pin() -> None:
    """The card's two PINs: 暗証番号 of four digits, and 署名用パスワード of 6 to 16 letters and digits."""


@pin.command("status")
@reader_option
@json_option
@click.pass_context
def status(context: click.Context, reader: str | None, *, as_json: bool) -> None:
    """Show how many tries are left; asking costs none.

    Exit status: 0; 2 wrong use; 3 card or reader.
    """
    names = [
        in_words(ja="暗証番号（4桁）", en="four-digit PIN"),
        in_words(ja="署名用パスワード", en="signing password"),
    ]
    with told_in_words(as_json=as_json), hold_any_card(surroundings(context).readers(reader)) as session:
        if isinstance(session, HPKISession):
            faces = session.run(read_faces())
            auth, sign = (
                faces[application].tries_left if application in faces else None
                for application in (HPKIApplication.AUTH, HPKIApplication.SIGN)
            )
            names = [
                in_words(ja="認証用PIN", en="PIN for authentication"),
                in_words(ja="署名用PIN", en="PIN for signing"),
            ]
        else:
            auth = tries_left(session, jpki_ap.auth_tries_left)
            sign = tries_left(session, jpki_ap.sign_tries_left)
    if as_json:
        click.echo(json.dumps({"auth_tries_left": auth, "sign_tries_left": sign}))
        return
    for name, tries in zip(names, (auth, sign), strict=True):
        click.echo(f"{name}: {_told(tries)}")


@pin.command("change")
@click.option("--sign", "signing", is_flag=True, help="The signing password instead of the four-digit PIN.")
@pin_entry_option
@reader_option
@click.pass_context
def change(context: click.Context, reader: str | None, pin_entry: str, *, signing: bool) -> None:
    """Change the four-digit PIN, or the signing password. The new one is typed twice; a reader's own keys are not used.

    A wrong old PIN costs a try; nothing is sent where the two new ones differ or are no PIN.

    Exit status: 0; 1 the two new ones differ; 2 wrong use; 3 card, reader or PIN.
    """
    around = surroundings(context, pin_entry=pin_entry)
    with told_in_words(as_json=False), hold_card(around.readers(reader)) as session:
        old = _ask(session, around, signing=signing)
        new = around.ask(in_words(ja="新しいもの", en="new one"))
        if new != around.ask(in_words(ja="新しいもの（もう一度）", en="new one, again")):
            raise click.ClickException(in_words(ja="2回の入力が違います。", en="the two entries differ"))
        session.connection.check_present()
        conversation = jpki_ap.change_sign_password if signing else jpki_ap.change_auth_pin
        session.run(lambda channel: conversation(old, new, channel))
    click.echo(in_words(ja="変更しました。", en="changed"))


def verify(session: CardSession, around: Surroundings, *, signing: bool) -> None:
    """Ask for the PIN or password once and hand it to the card. Raises the card's errors; click.Abort.

    A reader with keys of its own takes the PIN there, unless another means was asked for.
    """
    connection = session.connection
    pad = pad_for_auth_pin(connection) if around.uses_pin_pad and not signing else None
    if pad is not None and isinstance(connection, PINPadConnection):
        _check_tries(session, signing=False)
        click.echo(on_the_reader(), err=True)
        connection.check_present()
        language = in_words(ja="ja", en="en")
        verify_auth_pin_on_reader(connection, pad, session.channel, language=language, seconds=PAD_SECONDS)
        return
    typed = _ask(session, around, signing=signing)
    session.connection.check_present()
    conversation = jpki_ap.verify_sign_password if signing else jpki_ap.verify_auth_pin
    session.run(lambda channel: conversation(typed, channel))


def _ask(session: CardSession, around: Surroundings, *, signing: bool) -> str:
    """What was typed, in a form that the card may see. A blocked one is not asked for."""
    tries = _check_tries(session, signing=signing)
    if signing:
        label = in_words(ja="署名用パスワード（英数字6〜16文字）", en="signing password (6 to 16 letters and digits)")
    else:
        label = in_words(ja="暗証番号（数字4桁）", en="PIN (four digits)")
    typed = around.ask(
        f"{label}{'' if tries is None else in_words(ja=f'、残り{tries}回', en=f', tries left: {tries}')}"
    )
    if signing:
        return jpki_ap.fold_sign_password(typed)
    jpki_ap.check_pin_format(typed)
    return typed


def _check_tries(session: CardSession, *, signing: bool) -> int | None:
    """The tries left, where an entry makes sense. Raises PINBlocked, SignPasswordBlocked; click.Abort."""
    tries = session.run(jpki_ap.sign_tries_left if signing else jpki_ap.auth_tries_left)
    if tries == 0:
        raise SignPasswordBlocked(by_this_try=False) if signing else PINBlocked(by_this_try=False)
    confirm_last_try(tries)
    return tries


def _told(tries: int | None) -> str:
    if tries is None:
        return in_words(ja="不明", en="not told")
    if tries == 0:
        return in_words(ja="ロックされています", en="locked")
    return in_words(ja=f"残り{tries}回", en=f"tries left: {tries}")
