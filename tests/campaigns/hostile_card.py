"""Transcripts of a sound card, mutated byte by byte, against every conversation: nothing but CardError may come out.

`python -m tests.campaigns.hostile_card --seconds 60` is the full form: atheris follows the branches it finds.
tests/cardreader/test_fuzz.py runs the same function over seeded mutations and hypothesis' own.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from cardreader import cms, jpki_ap
from cardreader.apdu import CommandAPDU, Conversation, ResponseAPDU, converse
from cardreader.channel import Channel
from cardreader.emulator import SoftwareCard
from cardreader.errors import CardError, TransportFault
from cardreader.jpki_profile import P_384, SigningMode

MAX_SECONDS = 0.050  # of processor time for one input
MAX_BYTES = 16 << 20  # of memory for one input
MAX_COMMANDS = 400
PIN, PASSWORD = "1234", "ABC123"
_MOMENT = datetime(2026, 11, 20, tzinfo=UTC)

Begin = Callable[[], Conversation[object]]


class Broken(AssertionError):
    """A promise about hostile cards was not kept."""


def _login(*, extended: bool = False) -> Conversation[object]:
    channel = Channel(extended_length=extended)
    face = yield from jpki_ap.read_card(channel)
    yield from jpki_ap.verify_auth_pin(PIN, channel)
    yield from jpki_ap.sign_with_auth_key(b"message", channel)
    return face


def _signed_file() -> Conversation[object]:
    channel = Channel()
    yield from jpki_ap.select_jpki_ap(channel)
    yield from jpki_ap.read_presence(channel)
    yield from jpki_ap.sign_tries_left(channel)
    yield from jpki_ap.verify_sign_password(PASSWORD, channel)
    certificate = yield from jpki_ap.read_sign_certificate(channel)
    scheme = cms.SCHEMES["RS256"]
    attributes = cms.signed_attributes(digest=bytes(32), certificate=certificate, signed_at=_MOMENT, scheme=scheme)
    signature = yield from jpki_ap.sign_with_sign_key(attributes, channel)
    cms.verify_attributes(attributes, signature, certificate=certificate)
    return cms.signed_data(attributes, signature, certificate=certificate, ca_certificate=None, scheme=scheme)


def _changes() -> Conversation[object]:
    channel = Channel(takes_short_identifiers=True)
    yield from jpki_ap.select_jpki_ap(channel)
    yield from jpki_ap.change_auth_pin(PIN, PIN, channel)
    yield from jpki_ap.change_sign_password(PASSWORD, PASSWORD, channel)
    return (yield from jpki_ap.sign_with_auth_key(b"message", channel, mode=SigningMode.PSS_HASH))


def _announced() -> Conversation[object]:
    channel = Channel(profile=P_384)
    yield from jpki_ap.read_card(channel)
    return (yield from jpki_ap.sign_with_auth_key(b"message", channel))


CONVERSATIONS: tuple[Begin, ...] = (
    _login,
    lambda: _login(extended=True),
    _signed_file,
    _changes,
    _announced,
    jpki_ap.read_kind,
    jpki_ap.read_auth_ca_certificate,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What came of one input."""

    outcome: str
    commands: int
    seconds: float


def listen(data: bytes) -> Heard:
    """Hold the conversation that the first byte names against the answers in the rest; see `transcript`.

    Raises Broken, or whatever the driver lets escape.
    """
    replies = _replies(data[1:])
    commands, secrets_sent = 0, 0

    def transmit(command: CommandAPDU) -> ResponseAPDU:
        nonlocal commands, secrets_sent
        commands += 1
        secrets_sent += command.ins == 0x20 and bool(command.data)
        reply = next(replies, None)
        if reply is None:
            raise TransportFault("the card says no more")
        return ResponseAPDU.decode(reply)

    began, outcome, message = time.process_time(), "returned", ""
    try:
        converse(CONVERSATIONS[(data[0] if data else 0) % len(CONVERSATIONS)](), transmit)
    except CardError as error:
        outcome, message = type(error).__name__, str(error)
    seconds = time.process_time() - began
    if commands > MAX_COMMANDS:
        raise Broken(f"{commands} commands")
    if secrets_sent > 2:  # `_changes` has two PINs to verify, all others one
        raise Broken("a PIN was sent again")
    if PIN in message or PASSWORD in message:
        raise Broken("the error quotes a PIN")
    return Heard(outcome=outcome, commands=commands, seconds=seconds)


def transcript(card: SoftwareCard, number: int) -> bytes:
    """What a sound card says in that conversation: its number, then each answer behind its length in two bytes."""
    card.reset_pin()
    card.power_off()
    card.power_on()
    converse(jpki_ap.select_jpki_ap(), card.transmit)
    said = bytes([number])

    def transmit(command: CommandAPDU) -> ResponseAPDU:
        nonlocal said
        response = card.transmit(command)
        raw = response.encode()
        said += len(raw).to_bytes(2, "big") + raw
        return response

    with contextlib.suppress(CardError):  # an RSA card refuses the announced card's conversation at the end
        converse(CONVERSATIONS[number](), transmit)
    return said


def mutations(seeds: list[bytes], *, seed: int) -> Iterator[bytes]:
    """Endless mutated copies of `seeds`, the same for the same `seed`."""
    chance = random.Random(seed)
    while True:
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 8)):
            at = chance.randrange(len(data))
            match chance.randrange(6):
                case 0:
                    data[at] = chance.randrange(256)
                case 1:
                    data[at] ^= 1 << chance.randrange(8)
                case 2:
                    data[at:at] = chance.randbytes(chance.randint(1, 40))
                case 3:
                    del data[at : at + chance.randint(1, 40)]
                case 4:
                    data[at : at + 2] = chance.choice((b"\x90\x00", b"\x63\xc0", b"\x6a\x88", b"\x61\xff", b"\x6c\x01"))
                case _:
                    data[at:at] = (60_000).to_bytes(2, "big") + bytes(60_000)
            data = data or bytearray(1)
        yield bytes(data)


def _replies(data: bytes) -> Iterator[bytes]:
    at = 0
    while at + 2 <= len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        yield data[at + 2 : at + 2 + length]
        at += 2 + length


def main() -> None:
    """Run atheris; its own exit status tells of a find, which it leaves as a file beside it."""
    from tests.cardreader.conftest import make_card_maker

    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.hostile_card")
    parser.add_argument("--seconds", type=int, default=60)
    seconds = parser.parse_args().seconds
    card = SoftwareCard(make_card_maker()())
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for number in range(len(CONVERSATIONS)):
            (Path(folder) / f"seed-{number}").write_bytes(transcript(card, number))
        atheris = import_module("atheris")  # not at the top: it has no wheel for every machine, and no types
        atheris.instrument_all()

        def one(data: bytes) -> None:
            heard = listen(data)
            if heard.seconds > MAX_SECONDS:
                raise Broken(f"{heard.seconds:.3f} s for one input")

        options = [
            f"-max_total_time={seconds}",
            "-max_len=70000",
            "-timeout=5",
            "-malloc_limit_mb=16",
            "-len_control=0",
        ]
        atheris.Setup([sys.argv[0], folder, *options], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
