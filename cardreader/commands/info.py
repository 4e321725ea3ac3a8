"""`cardreader info`: what a card says of itself without any PIN."""

from __future__ import annotations

import json
from collections.abc import Callable

import click

from cardreader import jpki_ap
from cardreader.apdu import Conversation
from cardreader.channel import Channel
from cardreader.commands import hpki
from cardreader.commands.session import (
    CardSession,
    HPKISession,
    hold_any_card,
    in_words,
    json_option,
    reader_option,
    surroundings,
    told_in_words,
)
from cardreader.errors import NoAuthCertificate, NoSignCertificate, UnexpectedStatus


@click.command("info")
@reader_option
@json_option
@click.pass_context
def info(context: click.Context, reader: str | None, *, as_json: bool) -> None:
    """What the card says of itself: kind, certificates it carries, tries left. Uses no PIN, shows no name.

    Of an HPKI card (医師資格証 and its kin) also the licence and the dates that its certificates state.

    Exit status: 0; 2 wrong use; 3 card or reader.
    """
    with told_in_words(as_json=as_json), hold_any_card(surroundings(context).readers(reader)) as session:
        is_hpki = isinstance(session, HPKISession)
        document = hpki.describe(session) if isinstance(session, HPKISession) else _describe(session)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    if is_hpki:
        hpki.show(document)
        return
    for name, words in (
        ("kind", in_words(ja="カードの種類", en="kind of card")),
        ("certificates", in_words(ja="電子証明書", en="certificates")),
        ("auth_tries_left", in_words(ja="暗証番号（4桁）の残り回数", en="tries left, four-digit PIN")),
        ("sign_tries_left", in_words(ja="署名用パスワードの残り回数", en="tries left, signing password")),
    ):
        click.echo(f"{words}: {_shown(document[name])}")


def _describe(session: CardSession) -> dict[str, object]:
    return {
        "kind": session.run(jpki_ap.read_kind).value,
        "reader": session.connection.reader_kind,
        "certificates": _certificates(session),
        "auth_tries_left": tries_left(session, jpki_ap.auth_tries_left),
        "sign_tries_left": tries_left(session, jpki_ap.sign_tries_left),
    }


def tries_left(session: CardSession, ask: Callable[[Channel], Conversation[int | None]]) -> int | None:
    """What the card tells of one counter; None where it tells nothing, or has no such PIN."""
    try:
        return session.run(ask)
    except (NoAuthCertificate, NoSignCertificate):
        return None


def _certificates(session: CardSession) -> list[str] | None:
    """The kinds the card says it carries; None where it has no file that says so."""
    try:
        presence = session.run(jpki_ap.read_presence)
    except UnexpectedStatus:
        return None
    return [name for name, there in (("auth", presence.auth), ("sign", presence.sign)) if there]


def _shown(value: object) -> str:
    if isinstance(value, list):
        value = ", ".join(value)
    return str(value) if value not in (None, "") else in_words(ja="不明", en="not told")
