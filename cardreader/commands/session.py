"""What the commands about a card share: one held card, a secret asked for on the terminal, and an error in words."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import click

from cardreader.apdu import Conversation, converse
from cardreader.errors import CardError, PINRejected, SignPasswordRejected, answer_for
from cardreader.jpki_ap import Channel, select_jpki_ap
from cardreader.transport import CardConnection, Readers

T = TypeVar("T")

CARD = 3
"""Exit status where card, reader or PIN is the reason; 2 is wrong use, 1 anything else."""


def ask_on_terminal(prompt: str) -> str:
    """What was typed, unseen. Raises click.ClickException where this is no terminal that hides it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(f"{prompt}: ")
    except (getpass.GetPassWarning, EOFError, OSError):
        raise click.ClickException("a PIN is typed on a terminal; it is never an argument, nor in a file") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a command finds outside itself; tests hand in a software card. `readers` takes a reader's name or None."""

    readers: Callable[[str | None], Readers]
    ask: Callable[[str], str] = ask_on_terminal


def surroundings(context: click.Context) -> Surroundings:
    """What the caller handed in, or this machine's own readers and terminal."""
    given = context.find_object(Surroundings)
    return Surroundings(readers=_system_readers) if given is None else given


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSession:
    """One card with its JPKI application selected."""

    connection: CardConnection
    channel: Channel

    def run(self, conversation: Callable[[Channel], Conversation[T]]) -> T:
        """Run a conversation with the card. Raises what it raises."""
        return converse(conversation(self.channel), self.connection.transmit)


@contextlib.contextmanager
def hold_card(readers: Readers) -> Iterator[CardSession]:
    """Hold the one card there is. Raises the readers' errors and NotJPKICard."""
    with readers.connect() as connection:
        session = CardSession(connection=connection, channel=Channel())
        session.run(select_jpki_ap)
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
    tries = ""
    if isinstance(error, PINRejected | SignPasswordRejected) and error.tries_left is not None:
        tries = f"残り{error.tries_left}回です。" if in_japanese else f"Tries left: {error.tries_left}."
    parts = [words.title, words.text, tries, words.action, f"({row.code})"]
    return " ".join(filter(None, parts))


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
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
