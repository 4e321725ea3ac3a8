"""PC/SC part 10 structures, byte by byte; no reader with keys was at hand."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardreader import pinpad
from cardreader.apdu import CommandAPDU, ResponseAPDU, converse
from cardreader.channel import Channel
from cardreader.emulator import SoftwareCard
from cardreader.errors import (
    CardError,
    HoldExpired,
    LoginCancelled,
    MalformedCardData,
    PINFormatInvalid,
    PINRejected,
    TransportFault,
)
from cardreader.jpki_ap import read_card, sign_with_auth_key
from tests.cardreader.conftest import CardMaker

FEATURES = bytes.fromhex("060442330006 0704 42330007 1204 42330012")

PAD = pinpad.PINPad(verify_control_code=0x42330006)


def reader(properties: bytes = b"") -> pinpad.Control:
    def control(code: int, request: bytes) -> bytes:
        assert request == b""
        return {pinpad.GET_FEATURE_REQUEST: FEATURES, 0x42330012: properties}[code]

    return control


def test_the_feature_list_gives_the_control_codes_that_libccid_numbers() -> None:
    assert pinpad.parse_features(FEATURES) == {0x06: 0x42330006, 0x07: 0x42330007, 0x12: 0x42330012}


def test_a_reader_without_keys_answers_nothing_or_other_features() -> None:
    assert pinpad.pin_pad(lambda code, request: b"") is None
    assert pinpad.pin_pad(lambda code, request: bytes.fromhex("0A0442330012")) is None


def test_the_readers_limits_are_taken_from_its_properties() -> None:
    found = pinpad.pin_pad(reader(bytes.fromhex("0501 02 0601 04 0701 08 0804 41424344")))
    assert found is not None
    assert (found.verify_control_code, found.min_length, found.max_length) == (0x42330006, 4, 8)
    assert found.has_display
    assert found.accepts(4)
    assert not found.accepts(16)


def test_a_reader_that_tells_no_limits_is_taken_at_its_word() -> None:
    found = pinpad.pin_pad(reader())
    assert found == pinpad.PINPad(verify_control_code=0x42330006)
    assert found.accepts(4)


def test_the_verify_structure_for_a_four_digit_pin_is_the_one_of_part_10() -> None:
    built = pinpad.verify_structure(reference=0x98, length=4, language="ja", seconds=60)
    assert built == bytes.fromhex(
        "3C 3C"  # bTimeOut, bTimeOut2: 60 s
        "82"  # bmFormatString: bytes, offset 0, left, ASCII
        "04 00"  # bmPINBlockString: 4 bytes; bmPINLengthFormat: none
        "04 04"  # wPINMaxExtraDigit: 4 to 4
        "02 01"  # on the OK key; one message
        "11 04 00"  # Japanese; message 0
        "00 00 00"  # bTeoPrologue
        "09 00 00 00"  # ulDataLength
        "00 20 00 98 04 FF FF FF FF"  # VERIFY with room for the PIN
    )


@pytest.mark.parametrize(("length", "seconds"), [(0, 60), (16, 60), (4, 0), (4, 256)])
def test_a_field_that_does_not_fit_is_our_mistake(length: int, seconds: int) -> None:
    with pytest.raises(ValueError, match=r"PIN block|waits"):
        pinpad.verify_structure(reference=0x98, length=length, language="ja", seconds=seconds)


@pytest.mark.parametrize(
    ("status", "error"),
    [(0x6400, HoldExpired), (0x6401, LoginCancelled), (0x6403, PINFormatInvalid), (0x6B80, TransportFault)],
)
def test_the_readers_own_status_words_say_that_nothing_was_sent(status: int, error: type[CardError]) -> None:
    with pytest.raises(error):
        pinpad.judge_reader_status(ResponseAPDU(sw=status))


@pytest.mark.parametrize("status", [0x9000, 0x63C2, 0x6984, 0x6983])
def test_the_cards_own_verdict_is_handed_on(status: int) -> None:
    assert pinpad.judge_reader_status(ResponseAPDU(sw=status)).sw == status


class ReaderWithKeys:
    """A software card in a reader on which somebody types."""

    def __init__(self, card: SoftwareCard, typed: str | int) -> None:
        self._card = card
        self._typed = typed
        card.power_on()

    def transmit(self, command: CommandAPDU) -> ResponseAPDU:
        assert command.ins != 0x20 or not command.data, "a PIN came from this side"
        return self._card.transmit(command)

    def verify_on_pin_pad(self, control_code: int, structure: bytes, *, seconds: float) -> ResponseAPDU:
        assert (control_code, seconds) == (0x42330006, 60)
        if isinstance(self._typed, int):
            return ResponseAPDU(sw=self._typed)
        head, command = structure[:19], structure[19:]
        assert int.from_bytes(head[15:], "little") == len(command)
        assert command[5:] == b"\xff" * 4
        return self._card.transmit(CommandAPDU.decode(command[:5] + self._typed.encode()))


@pytest.mark.parametrize("short_identifiers", [True, False])
def test_a_pin_typed_on_the_reader_is_verified_by_the_card(card_maker: CardMaker, *, short_identifiers: bool) -> None:
    card = SoftwareCard(card_maker(tries=2), short_identifiers=short_identifiers)
    reader, channel = ReaderWithKeys(card, "1234"), Channel()
    converse(read_card(channel), reader.transmit)
    pinpad.verify_auth_pin_on_reader(reader, PAD, channel, language="ja", seconds=60)
    assert len(converse(sign_with_auth_key(b"message", channel), reader.transmit)) == 256
    assert card.card.auth.tries == 3


@pytest.mark.parametrize(
    ("typed", "error", "tries"),
    [("9999", PINRejected, 2), (0x6401, LoginCancelled, 3), (0x6400, HoldExpired, 3), (0x6403, PINFormatInvalid, 3)],
)
def test_only_a_wrong_pin_costs_a_try_on_the_reader(
    card_maker: CardMaker, typed: str | int, error: type[CardError], tries: int
) -> None:
    card = SoftwareCard(card_maker())
    reader, channel = ReaderWithKeys(card, typed), Channel()
    converse(read_card(channel), reader.transmit)
    with pytest.raises(error):
        pinpad.verify_auth_pin_on_reader(reader, PAD, channel, language="ja", seconds=60)
    assert card.card.auth.tries == tries


@given(st.binary(max_size=400))
def test_hostile_lists_raise_nothing_but_card_errors(raw: bytes) -> None:
    with contextlib.suppress(CardError):
        assert all(0 <= tag <= 255 for tag in pinpad.parse_features(raw))
    with contextlib.suppress(CardError):
        assert sum(2 + len(value) for value in pinpad.parse_tlv_properties(raw).values()) <= len(raw)


def test_a_feature_of_another_length_is_refused() -> None:
    with pytest.raises(MalformedCardData):
        pinpad.parse_features(bytes.fromhex("060342330006"))
    with pytest.raises(MalformedCardData):
        pinpad.parse_tlv_properties(b"\x06")
    assert pinpad.pin_pad(lambda code, request: b"\x06") is None
