"""Command and response APDUs (ISO/IEC 7816-4 section 5), and conversations made of them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from cardreader.errors import TransportError, TransportFault

T = TypeVar("T")

SELECT = 0xA4
READ_BINARY = 0xB0
VERIFY = 0x20
CHANGE_REFERENCE_DATA = 0x24
PERFORM_SECURITY_OPERATION = 0x2A
GET_CHALLENGE = 0x84
GET_RESPONSE = 0xC0

_MAX_GET_RESPONSES = 16  # 4 kB: no answer we ask for is longer


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandAPDU:
    """One command. `data` is never shown, as it may be a PIN; `le` is None where no answer is wanted.

    Short form takes up to 255 bytes of data and an `le` of 1 to 256; `extended` form 65,535 and 65,536, but not every
    card and reader takes it. Raises ValueError where a field does not fit: that is our mistake, never the card's.
    """

    cla: int = 0x00
    ins: int
    p1: int = 0x00
    p2: int = 0x00
    data: bytes = field(default=b"", repr=False)
    le: int | None = None
    extended: bool = False

    def __post_init__(self) -> None:
        if not all(0 <= octet <= 0xFF for octet in (self.cla, self.ins, self.p1, self.p2)):
            raise ValueError("CLA, INS, P1 and P2 are one byte each")
        most = 0xFFFF if self.extended else 0xFF
        if len(self.data) > most:
            raise ValueError(f"this form carries at most {most} bytes of data")
        if self.le is not None and not 1 <= self.le <= most + 1:
            raise ValueError(f"Le is 1 to {most + 1} in this form")
        if self.extended and not self.data and self.le is None:
            raise ValueError("a command without data and answer has a short form only")

    def encode(self) -> bytes:
        """The bytes on the wire: header [Lc data] [Le], where an Le of zeros means the most there can be."""
        width = 2 if self.extended else 1
        mark = b"\0" if self.extended else b""  # the byte that tells an extended length, before the first of the two
        header = bytes([self.cla, self.ins, self.p1, self.p2])
        lc = mark + len(self.data).to_bytes(width, "big") if self.data else b""
        le = b"" if self.le is None else (self.le % (1 << 8 * width)).to_bytes(width, "big")
        return header + lc + self.data + (le if lc or not le else mark + le)

    @classmethod
    def decode(cls, raw: bytes) -> CommandAPDU:
        """Read the short and extended cases (ISO/IEC 7816-3 section 12.1.3). Raises ValueError for anything else."""
        if len(raw) < 4:
            raise ValueError("an APDU has a header of four bytes")
        cla, ins, p1, p2 = raw[:4]
        body = raw[4:]
        extended = len(body) >= 3 and body[0] == 0
        width = 2 if extended else 1
        most = 1 << 8 * width
        body = body[1:] if extended else body
        data, le = b"", None
        if len(body) == width:
            le = int.from_bytes(body, "big") or most
        elif body:
            lc = int.from_bytes(body[:width], "big")
            data, rest = body[width : width + lc], body[width + lc :]
            if lc == 0 or len(data) != lc or len(rest) not in (0, width):
                raise ValueError("Lc and Le do not fit the length")
            le = (int.from_bytes(rest, "big") or most) if rest else None
        return cls(cla=cla, ins=ins, p1=p1, p2=p2, data=data, le=le, extended=extended)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseAPDU:
    """One response: data, not shown because it may be a certificate, and the status word SW1-SW2."""

    data: bytes = field(default=b"", repr=False)
    sw: int

    @property
    def sw1(self) -> int:
        """The first status byte."""
        return self.sw >> 8

    @property
    def sw2(self) -> int:
        """The second status byte."""
        return self.sw & 0xFF

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return self.data + self.sw.to_bytes(2, "big")

    @classmethod
    def decode(cls, raw: bytes) -> ResponseAPDU:
        """Split data and status. Raises TransportFault below two bytes: a dying card is an empty success in PC/SC."""
        if len(raw) < 2:
            raise TransportFault(f"a reply of {len(raw)} bytes")
        return cls(data=bytes(raw[:-2]), sw=int.from_bytes(raw[-2:], "big"))


Transmit = Callable[[CommandAPDU], ResponseAPDU]
Conversation = Generator[CommandAPDU, ResponseAPDU, T]
"""A dialogue with the card: yields commands, receives responses, returns its result, raises CardError."""


def converse(conversation: Conversation[T], transmit: Transmit) -> T:
    """Run `conversation` over `transmit` and return its result.

    Answers 61xx (GET RESPONSE) and 6Cxx (repeat with that Le) as ISO/IEC 7816-3 asks, only for commands that expect
    data: a VERIFY expects none, so nothing here ever repeats one. A TransportError is thrown into the conversation,
    which may know better what it means, and otherwise reaches the caller.
    """
    try:
        command = next(conversation)
        while True:
            try:
                response = _exchange(command, transmit)
            except TransportError as error:
                command = conversation.throw(error)
            else:
                command = conversation.send(response)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        conversation.close()


def _exchange(command: CommandAPDU, transmit: Transmit) -> ResponseAPDU:
    response = transmit(command)
    if command.le is None:
        return response
    if response.sw1 == 0x6C and not response.data:
        response = transmit(replace(command, le=response.sw2 or 256))
    data = response.data
    for _ in range(_MAX_GET_RESPONSES):
        if response.sw1 != 0x61:
            return ResponseAPDU(data=data, sw=response.sw)
        response = transmit(CommandAPDU(ins=GET_RESPONSE, le=response.sw2 or 256))
        data += response.data
    raise TransportFault("the card never stops offering more data")
