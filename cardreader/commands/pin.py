"""`cardreader pin`: the tries left of both PINs, and another PIN in the place of one."""

from __future__ import annotations

import json

import click

from cardreader import jpki_ap
from cardreader.commands.info import tries_left
from cardreader.commands.session import (
    CardSession,
    Surroundings,
    confirm_last_try,
    hold_card,
    in_words,
    json_option,
    reader_option,
    surroundings,
    told_in_words,
)
from cardreader.errors import PINBlocked, SignPasswordBlocked


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
    with told_in_words(as_json=as_json), hold_card(surroundings(context).readers(reader)) as session:
        auth = tries_left(session, jpki_ap.auth_tries_left)
        sign = tries_left(session, jpki_ap.sign_tries_left)
    if as_json:
        click.echo(json.dumps({"auth_tries_left": auth, "sign_tries_left": sign}))
        return
    click.echo(f"{in_words(ja='暗証番号（4桁）', en='four-digit PIN')}: {_told(auth)}")
    click.echo(f"{in_words(ja='署名用パスワード', en='signing password')}: {_told(sign)}")


@pin.command("change")
@click.option("--sign", "signing", is_flag=True, help="The signing password instead of the four-digit PIN.")
@reader_option
@click.pass_context
def change(context: click.Context, reader: str | None, *, signing: bool) -> None:
    """Change the four-digit PIN, or the signing password. All is typed on the terminal, the new one twice.

    A wrong old PIN costs a try; nothing is sent where the two new ones differ or are no PIN.

    Exit status: 0; 1 the two new ones differ; 2 wrong use; 3 card, reader or PIN.
    """
    around = surroundings(context)
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
    """Ask for the PIN or password once and hand it to the card. Raises the card's errors; click.Abort."""
    typed = _ask(session, around, signing=signing)
    session.connection.check_present()
    conversation = jpki_ap.verify_sign_password if signing else jpki_ap.verify_auth_pin
    session.run(lambda channel: conversation(typed, channel))


def _ask(session: CardSession, around: Surroundings, *, signing: bool) -> str:
    """What was typed, in a form that the card may see. A blocked one is not asked for."""
    tries = session.run(jpki_ap.sign_tries_left if signing else jpki_ap.auth_tries_left)
    if tries == 0:
        raise SignPasswordBlocked(by_this_try=False) if signing else PINBlocked(by_this_try=False)
    confirm_last_try(tries)
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


def _told(tries: int | None) -> str:
    if tries is None:
        return in_words(ja="不明", en="not told")
    if tries == 0:
        return in_words(ja="ロックされています", en="locked")
    return in_words(ja=f"残り{tries}回", en=f"tries left: {tries}")
