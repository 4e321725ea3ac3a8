"""PIN entry on the reader's own keys: PC/SC part 10 (secure PIN entry), as pure functions over its structures.

The PIN never reaches this machine: the reader puts it into the VERIFY command and hands back the card's status word.
Unseen on hardware: no such reader was at hand, so these bytes follow the standard alone. Fields are little-endian, as
on every machine we know of; control codes in the feature list are big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from cardreader.apdu import VERIFY, CommandAPDU, ResponseAPDU, converse
from cardreader.channel import Channel
from cardreader.errors import HoldExpired, LoginCancelled, MalformedCardData, PINFormatInvalid, TransportFault
from cardreader.jpki_ap import verify_auth_pin

GET_FEATURE_REQUEST: Final = 0x42000000 + 3400  # CM_IOCTL_GET_FEATURE_REQUEST as pcsc-lite numbers it (SCARD_CTL_CODE)
FEATURE_VERIFY_PIN_DIRECT: Final = 0x06  # PC/SC part 10 section 2.2
FEATURE_MODIFY_PIN_DIRECT: Final = 0x07
FEATURE_IFD_PIN_PROPERTIES: Final = 0x0A
FEATURE_GET_TLV_PROPERTIES: Final = 0x12

_MAX_FEATURES: Final = 64
_TLV_MIN_PIN: Final = 0x06
_TLV_MAX_PIN: Final = 0x07
_TLV_LCD_LINES: Final = 0x05
_LANGUAGES: Final = {"ja": 0x0411, "en": 0x0409}  # USB language identifiers, bcd as in CCID section 6.1.11
_ASCII_LEFT_IN_BYTES: Final = 0x82  # bmFormatString: unit bytes, PIN right after Lc, left-justified, ASCII
_ON_VALIDATION_KEY: Final = 0x02  # bEntryValidationCondition
_TIMED_OUT, _CANCELLED, _WRONG_LENGTH = 0x6400, 0x6401, 0x6403  # the reader's own words (part 10 section 2.5.2)
_STRUCTURE_REFUSED: Final = 0x6B80

_PLACE_FOR_THE_PIN: Final = "0000"  # gives the length only: the command that carries it is never sent

Control = Callable[[int, bytes], bytes]
"""SCardControl to the reader: control code and request in, answer out; empty where the reader knows no such code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PINPad:
    """What the reader offers: the control code of VERIFY, its limits on the PIN's length, and whether it has a display.

    A limit of None was not told.
    """

    verify_control_code: int
    min_length: int | None = None
    max_length: int | None = None
    has_display: bool | None = None

    def accepts(self, length: int) -> bool:
        """Whether a PIN of exactly `length` characters can be typed there."""
        return (self.min_length or 0) <= length <= (self.max_length or length)


@runtime_checkable
class PINPadConnection(Protocol):
    """A card in a reader that may have keys of its own (pcsc.PCSCConnection), beside transport.CardConnection."""

    def transmit(self, command: CommandAPDU) -> ResponseAPDU:
        """See transport.CardConnection."""

    def pin_pad(self) -> PINPad | None:
        """What the reader's keys can do; None where it has none."""

    def verify_on_pin_pad(self, control_code: int, structure: bytes, *, seconds: float) -> ResponseAPDU:
        """Have the PIN typed on the reader and sent in the command that `structure` holds; the card's answer."""


def pad_for_auth_pin(connection: object) -> PINPad | None:
    """The reader's keys, where the four digits can be typed on them; None for every other reader.

    Keys are digits: neither 署名用パスワード nor an HPKI card's PIN, which may hold letters, is typed there.
    """
    if not isinstance(connection, PINPadConnection):
        return None
    pad = connection.pin_pad()
    return pad if pad is not None and pad.accepts(len(_PLACE_FOR_THE_PIN)) else None


def verify_auth_pin_on_reader(
    connection: PINPadConnection, pad: PINPad, channel: Channel, *, language: str, seconds: int
) -> None:
    """VERIFY the authentication PIN, typed on the reader's keys within `seconds`; once, as jpki_ap.verify_auth_pin.

    Raises what that raises; HoldExpired, LoginCancelled or PINFormatInvalid where the reader sent nothing.
    """

    def transmit(command: CommandAPDU) -> ResponseAPDU:
        if command.ins != VERIFY or not command.data:
            return connection.transmit(command)
        structure = verify_structure(reference=command.p2, length=len(command.data), language=language, seconds=seconds)
        return judge_reader_status(connection.verify_on_pin_pad(pad.verify_control_code, structure, seconds=seconds))

    converse(verify_auth_pin(_PLACE_FOR_THE_PIN, channel), transmit)


def pin_pad(control: Control) -> PINPad | None:
    """Ask the reader through `control`. None where it has no keys of its own, or tells of them in no readable form."""
    try:
        return _judge_features(control)
    except MalformedCardData:
        return None


def _judge_features(control: Control) -> PINPad | None:
    features = parse_features(control(GET_FEATURE_REQUEST, b""))
    verify = features.get(FEATURE_VERIFY_PIN_DIRECT)
    if verify is None:
        return None
    properties = features.get(FEATURE_GET_TLV_PROPERTIES)
    told = {} if properties is None else parse_tlv_properties(control(properties, b""))
    return PINPad(
        verify_control_code=verify,
        min_length=_small(told.get(_TLV_MIN_PIN)),
        max_length=_small(told.get(_TLV_MAX_PIN)),
        has_display=None if _TLV_LCD_LINES not in told else any(told[_TLV_LCD_LINES]),
    )


def parse_features(raw: bytes) -> Mapping[int, int]:
    """Control code by feature (part 10 section 2.2): tag, length 4, code big-endian. Raises MalformedCardData."""
    if len(raw) % 6 or len(raw) > 6 * _MAX_FEATURES:
        raise MalformedCardData(f"a feature list of {len(raw)} bytes")
    features: dict[int, int] = {}
    for at in range(0, len(raw), 6):
        tag, length, code = struct.unpack_from(">BBI", raw, at)
        if length != 4:
            raise MalformedCardData("a feature whose control code is not four bytes")
        features[tag] = code
    return features


def parse_tlv_properties(raw: bytes) -> Mapping[int, bytes]:
    """The reader's properties (part 10 section 2.6.14): tag, length, value. Raises MalformedCardData where cut off."""
    properties: dict[int, bytes] = {}
    at = 0
    while at < len(raw):
        head = raw[at : at + 2]
        value = raw[at + 2 : at + 2 + head[-1]]
        if len(head) != 2 or len(value) != head[1]:
            raise MalformedCardData("a reader property that is cut off")
        properties[head[0]] = value
        at += 2 + len(value)
    return properties


def verify_structure(*, reference: int, length: int, language: str, seconds: int) -> bytes:
    """PIN_VERIFY (part 10 section 2.5.2) for an ASCII PIN of exactly `length` characters against key `reference` (P2).

    The reader ends the entry after `seconds` (1 to 255), on its OK key only, so that a slip can still be mended.
    Raises ValueError for a field that does not fit: our mistake.
    """
    if not 1 <= length <= 15:
        raise ValueError("a PIN block has 1 to 15 bytes")
    if not 1 <= seconds <= 255:
        raise ValueError("a reader waits 1 to 255 seconds")
    command = CommandAPDU(ins=VERIFY, p2=reference, data=b"\xff" * length).encode()  # the reader overwrites the filler
    head = struct.pack(
        "<BBBBBHBBHB3sI",
        seconds,  # bTimeOut
        seconds,  # bTimeOut2, after the first key
        _ASCII_LEFT_IN_BYTES,  # bmFormatString
        length,  # bmPINBlockString: no length field in the command, block of `length` bytes
        0x00,  # bmPINLengthFormat: none
        length << 8 | length,  # wPINMaxExtraDigit: minimum, maximum
        _ON_VALIDATION_KEY,
        0x01,  # bNumberMessage: one
        _LANGUAGES.get(language, _LANGUAGES["en"]),
        0x00,  # bMsgIndex: "enter your PIN"
        b"\0\0\0",  # bTeoPrologue: the driver fills it in for T=1
        len(command),
    )
    return head + command


def judge_reader_status(answer: ResponseAPDU) -> ResponseAPDU:
    """The card's answer, handed on for jpki_ap to judge, unless it is the reader's own word that nothing was sent.

    Raises HoldExpired (nobody typed in time), LoginCancelled (the cancel key), PINFormatInvalid (too short or too long)
    or TransportFault (the reader refuses our structure): none of them has cost a try.
    """
    match answer.sw:
        case code if code == _TIMED_OUT:
            raise HoldExpired("nobody typed on the reader in time")
        case code if code == _CANCELLED:
            raise LoginCancelled("on the reader")
        case code if code == _WRONG_LENGTH:
            raise PINFormatInvalid("the reader was given a PIN of another length")
        case code if code == _STRUCTURE_REFUSED:
            raise TransportFault("the reader refuses the structure of the PIN entry")
    return answer


def _small(value: bytes | None) -> int | None:
    return value[0] if value is not None and len(value) == 1 else None
