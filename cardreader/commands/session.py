"""What the commands about a card share: one held card, a secret asked for on the terminal, and an error in words."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import click

from cardreader.agent.entry import EntryUnavailable, PromptText
from cardreader.agent.means import WITHOUT_PAGE, find_asker_without_page
from cardreader.agent.terminal import Terminal
from cardreader.apdu import Conversation, converse
from cardreader.channel import Channel
from cardreader.errors import (
    CardError,
    HPKICardGiven,
    HPKIPINRejected,
    NotJPKICard,
    PINRejected,
    SignPasswordRejected,
    answer_for,
)
from cardreader.hpki_ap import name_hpki_card
from cardreader.jpki_ap import select_jpki_ap
from cardreader.transport import CardConnection, Readers

T = TypeVar("T")
_PIN_SECONDS: Final = 120.0

CARD = 3
"""Exit status where card, reader or PIN is the reason; 2 is wrong use, 1 anything else."""


def ask_person(question: str, *, pin_entry: str = "auto") -> str:
    """What was typed, by the means of `pin_entry` (means.WITHOUT_PAGE). Raises click.ClickException where there is
    none that hides it, or nothing was typed.
    """
    text = PromptText(
        title=in_words(ja="カードの暗証番号", en="The card's PIN or password"),
        error="",
        lines=(),
        label=question,
        ok=in_words(ja="確認する", en="Go on"),
        cancel=in_words(ja="やめる", en="Stop"),
    )
    try:
        asker = find_asker_without_page(pin_entry)
        try:
            typed = asker.ask(text, seconds=_PIN_SECONDS, stop=threading.Event())
        except EntryUnavailable:
            if pin_entry != "auto":
                raise
            typed = Terminal().ask(text, seconds=_PIN_SECONDS, stop=threading.Event())
    except EntryUnavailable as error:
        hint = "a PIN is typed on a terminal or in a window; it is never an argument, nor in a file"
        raise click.ClickException(f"{error}: {hint}") from None
    if typed is None:
        raise click.ClickException(in_words(ja="入力されませんでした。", en="nothing was typed"))
    return typed


def on_the_reader() -> str:
    """What is said where the PIN is typed on the reader's own keys."""
    return in_words(
        ja="暗証番号（数字4桁）を、カードリーダーのキーで入力してください。",
        en="Type the PIN (four digits) on the card reader's own keys.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a command finds outside itself; tests hand in a software card. `readers` takes a reader's name or None.

    `uses_pin_pad`: the PIN of four digits is typed on the reader where it has keys of its own.
    """

    readers: Callable[[str | None], Readers]
    ask: Callable[[str], str] = ask_person
    uses_pin_pad: bool = True


def surroundings(context: click.Context, *, pin_entry: str = "auto") -> Surroundings:
    """What the caller handed in, or this machine's own readers and means of asking."""
    given = context.find_object(Surroundings)
    if given is not None:
        return given
    return Surroundings(
        readers=_system_readers,
        ask=partial(ask_person, pin_entry=pin_entry),
        uses_pin_pad=pin_entry == "auto",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSession:
    """One card with its JPKI application selected."""

    connection: CardConnection
    channel: Channel

    def run(self, conversation: Callable[[Channel], Conversation[T]]) -> T:
        """Run a conversation with the card. Raises what it raises."""
        return converse(conversation(self.channel), self.connection.transmit)


@dataclass(frozen=True, slots=True, kw_only=True)
class HPKISession:
    """One HPKI card; which of its applications is selected is the conversation's affair."""

    connection: CardConnection

    def run(self, conversation: Conversation[T]) -> T:
        """Run a conversation with the card. Raises what it raises."""
        return converse(conversation, self.connection.transmit)


@contextlib.contextmanager
def hold_card(readers: Readers, *, extended_length: bool = False) -> Iterator[CardSession]:
    """Hold the one card there is. Raises the readers' errors, NotJPKICard, HPKICardGiven."""
    with hold_any_card(readers, extended_length=extended_length) as session:
        if isinstance(session, HPKISession):
            raise HPKICardGiven("only a MyNumber card can do this")
        yield session


@contextlib.contextmanager
def hold_any_card(readers: Readers, *, extended_length: bool = False) -> Iterator[CardSession | HPKISession]:
    """The same where an HPKI card will do as well. Raises the readers' errors and NotJPKICard."""
    with readers.connect() as connection:
        channel = Channel(extended_length=extended_length)
        session: CardSession | HPKISession = CardSession(connection=connection, channel=channel)
        try:
            converse(select_jpki_ap(channel), connection.transmit)
        except NotJPKICard:
            try:
                converse(name_hpki_card(), connection.transmit)
            except HPKICardGiven:
                session = HPKISession(connection=connection)
            else:
                raise
        yield session


@contextlib.contextmanager
def told_in_words(*, as_json: bool) -> Iterator[None]:
    """End the program with CARD where a card's error comes through, and say what happened and what to do next."""
    try:
        yield
    except CardError as error:
        words = explain(error)
        if as_json:
            click.echo(json.dumps({"error": answer_for(error).code, "message": words}, ensure_ascii=False))
        else:
            click.echo(words, err=True)
        sys.exit(CARD)


def explain(error: CardError) -> str:
    """The catalogue's words for `error`, in the terminal's language, with the tries that are left."""
    row = answer_for(error)
    in_japanese = language(os.environ) == "ja"
    words = row.ja if in_japanese else row.en
    parts = [words.title, words.text, tries_after(error), words.action, f"({row.code})"]
    return " ".join(filter(None, parts))


def tries_after(error: CardError) -> str:
    """How many tries a refusal has left, in the terminal's language; "" where nobody tells, or it is no refusal."""
    if not isinstance(error, PINRejected | SignPasswordRejected | HPKIPINRejected) or error.tries_left is None:
        return ""
    return in_words(ja=f"残り{error.tries_left}回です。", en=f"Tries left: {error.tries_left}.")


def language(environment: Mapping[str, str]) -> str:
    """ "ja" or "en", by the locale's variables in their order (POSIX.1 section 8.2)."""
    told = environment.get("LC_ALL") or environment.get("LC_MESSAGES") or environment.get("LANG") or ""
    return "ja" if told.startswith("ja") else "en"


def in_words(*, ja: str, en: str) -> str:
    """The one of the two that the terminal's language asks for."""
    return ja if language(os.environ) == "ja" else en


def confirm_last_try(tries_left: int | None) -> None:
    """Let a person decide where a wrong answer may block the card. Raises click.Abort where they do not want to."""
    if tries_left == 1:
        question = in_words(
            ja="あと1回間違えるとロックされます。入力しますか",
            en="One more wrong entry locks it. Enter it all the same?",
        )
        click.confirm(question, abort=True, err=True)


def _system_readers(reader: str | None) -> Readers:
    from cardreader.pcsc import PCSCReaders  # noqa: PLC0415 - needs the smart-card library only here

    return PCSCReaders(reader=reader)


reader_option = click.option("--reader", help="The reader's name, or a part of it, where there are several.")
pin_entry_option = click.option(
    "--pin-entry",
    type=click.Choice(WITHOUT_PAGE),
    default="auto",
    show_default=True,
    help="Where the PIN is typed. auto: the reader's own keys, a window, a graphical pinentry, else the terminal.",
)
extended_option = click.option(
    "--extended-length", is_flag=True, help="Ask for a certificate in one piece (extended length, ISO/IEC 7816-4)."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
