"""Whatever a card answers, the driver raises CardError or returns, soon; and PIN tries follow plain arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardreader import jpki_ap
from cardreader.apdu import CommandAPDU, Conversation, ResponseAPDU, converse
from cardreader.channel import Channel
from cardreader.emulator import SoftwareCard
from cardreader.errors import CardError, PINBlocked, PINRejected
from tests.cardreader.conftest import CardMaker
from tests.cardreader.test_card import login

LIKELY = [
    0x9000,
    0x63C0,
    0x63C3,
    0x6300,
    0x6982,
    0x6983,
    0x6984,
    0x6A82,
    0x6A86,
    0x6A88,
    0x6B00,
    0x6282,
    0x6F00,
    0x6100,
]
LABEL = b"JPKIAPICCTOKEN2".ljust(32)
responses = st.builds(
    ResponseAPDU,
    data=st.binary(max_size=300)
    | st.sampled_from([b"", LABEL, b"\x30\x82\x0f\xfc" + bytes(252), b"\x30\x03\x01\x01\xff", bytes(256)]),
    sw=st.sampled_from(LIKELY) | st.integers(0, 0xFFFF),
)
CONVERSATIONS: list[Callable[[], Conversation[object]]] = [
    jpki_ap.read_card,
    jpki_ap.read_token_label,
    jpki_ap.read_auth_certificate,
    jpki_ap.read_auth_ca_certificate,
    jpki_ap.auth_tries_left,
    lambda: jpki_ap.verify_auth_pin("1234"),
    lambda: jpki_ap.sign_with_auth_key(b"message"),
    lambda: jpki_ap.sign_with_auth_key(b"message", Channel(takes_short_identifiers=True)),
    lambda: login("1234", b"message"),
]


@settings(max_examples=150)
@given(st.sampled_from(CONVERSATIONS), st.lists(responses, min_size=1, max_size=16))
def test_hostile_replies_raise_nothing_but_card_errors(
    start: Callable[[], Conversation[object]], replies: list[ResponseAPDU]
) -> None:
    sent: list[CommandAPDU] = []

    def transmit(command: CommandAPDU) -> ResponseAPDU:
        sent.append(command)
        return replies[len(sent) % len(replies)]

    try:
        converse(start(), transmit)
        message = ""
    except CardError as error:
        message = str(error)
    assert "1234" not in message
    assert len(sent) <= 400
    assert sum(1 for command in sent if command.ins == 0x20 and command.data) <= 1


@settings(max_examples=100)
@given(st.integers(0x100, 0xFFFF), st.integers(0, 300))
def test_a_file_is_never_read_past_four_kilobytes(claimed: int, chunk: int) -> None:
    read = 0

    def transmit(command: CommandAPDU) -> ResponseAPDU:
        nonlocal read
        head = bytes.fromhex("3082") + claimed.to_bytes(2, "big")
        data = (head if command.p1 & 0x80 else b"") + bytes(chunk)
        read += len(data)
        return ResponseAPDU(data=data, sw=0x9000)

    try:
        certificate = converse(jpki_ap.read_auth_certificate(), transmit)
    except CardError:
        pass
    else:
        assert len(certificate) == claimed + 4 <= 4096
    assert read <= 4096 + 304


@pytest.fixture(scope="module")
def card(card_maker: CardMaker) -> SoftwareCard:
    return SoftwareCard(card_maker())


def verdict(card: SoftwareCard, pin: str) -> str:
    try:
        converse(jpki_ap.verify_auth_pin(pin), card.transmit)
    except PINRejected as error:
        return f"rejected, {error.tries_left} left"
    except PINBlocked as error:
        return "blocked by this try" if error.by_this_try else "blocked"
    return "accepted"


@settings(max_examples=100, deadline=None)
@given(guesses=st.lists(st.sampled_from(["1234", "0000", "9999"]), max_size=8))
def test_tries_fall_by_one_per_wrong_pin_and_return_with_the_right_one(card: SoftwareCard, guesses: list[str]) -> None:
    card.reset_pin()
    card.power_off()
    card.power_on()
    converse(jpki_ap.select_jpki_ap(), card.transmit)
    left = 3
    for guess in guesses:
        if left == 0:
            expected = "blocked"
        elif guess == "1234":
            expected, left = "accepted", 3
        else:
            left -= 1
            expected = f"rejected, {left} left" if left else "blocked by this try"
        assert verdict(card, guess) == expected
        assert card.card.auth.tries == left
        assert card.card.sign is not None
        assert card.card.sign.tries == 5


@settings(max_examples=300, deadline=None)
@given(raws=st.lists(st.binary(max_size=20), max_size=10))
def test_software_card_answers_any_bytes_with_a_status(card: SoftwareCard, raws: list[bytes]) -> None:
    card.power_on()
    card.process(bytes.fromhex("00A4040C0AD392F000260100000001"))
    for raw in raws:
        assert len(card.process(raw)) >= 2
