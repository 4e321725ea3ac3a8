"""Just enough DER (X.690 §10) to find the bytes a signature covers, as they stood: nothing is encoded again.

Raises ValueError for anything that is not the one DER encoding within the bounds given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30

_TWELVE: Final = re.compile(rb"[0-9]{12}Z\Z")
_FOURTEEN: Final = re.compile(rb"[0-9]{14}Z\Z")


class Element(NamedTuple):  # made by the dozen for every list: a tuple costs a third of a dataclass
    """One tag-length-value: `begin` is where its tag stands, `content` to `end` its value, all offsets in `data`."""

    data: bytes
    tag: int
    begin: int
    content: int
    end: int

    def __repr__(self) -> str:
        """Without the bytes: they may hold a name or a serial."""
        return f"Element(tag={self.tag:#04x}, begin={self.begin}, end={self.end})"

    @property
    def raw(self) -> bytes:
        return self.data[self.begin : self.end]

    @property
    def value(self) -> bytes:
        return self.data[self.content : self.end]

    def children(self) -> Iterator[Element]:
        offset = self.content
        while offset < self.end:
            child = read(self.data, offset, self.end)
            yield child
            offset = child.end


def read(data: bytes, offset: int, limit: int) -> Element:
    """The element at `offset`, which must end at or before `limit`. Tags are single bytes, lengths in shortest form."""
    if offset + 2 > limit:
        raise ValueError("element is cut short")
    tag, length, content = data[offset], data[offset + 1], offset + 2
    if tag & 0x1F == 0x1F:
        raise ValueError("tag has several bytes")
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4 or content + size > limit:
            raise ValueError("length is indefinite or too long")
        length = int.from_bytes(data[content : content + size], "big")
        if length < 0x80 or length >> (8 * (size - 1)) == 0:
            raise ValueError("length is not in its shortest form")
        content += size
    if content + length > limit:
        raise ValueError("element is cut short")
    return tuple.__new__(Element, (data, tag, offset, content, content + length))  # a third of what its own costs


def write(tag: int, *parts: bytes) -> bytes:
    """The element of type `tag` around `parts`."""
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    size = (len(content).bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + len(content).to_bytes(size, "big") + content


def whole(data: bytes, tag: int) -> Element:
    """The single element that `data` is, of type `tag`, nothing after it."""
    element = read(data, 0, len(data))
    if element.tag != tag or element.end != len(data):
        raise ValueError("not one element of the type expected")
    return element


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """X.509's SIGNED{}: the bytes signed as they stood, the raw AlgorithmIdentifier outside them, the signature.

    `parts` are those of `body`.
    """

    body: Element
    parts: tuple[Element, ...] = field(repr=False)
    algorithm: bytes
    signature: bytes = field(repr=False)


def signed(data: bytes) -> Signed:
    """Split a certificate or CRL (RFC 5280 §4.1, §5.1) into what is signed and by what."""
    body, algorithm, signature = whole(data, SEQUENCE).children()
    if (body.tag, algorithm.tag, signature.tag) != (SEQUENCE, SEQUENCE, BIT_STRING) or signature.value[:1] != b"\x00":
        raise ValueError("not a signed structure")
    return Signed(body=body, parts=tuple(body.children()), algorithm=algorithm.raw, signature=signature.value[1:])


def time(element: Element) -> datetime:
    """A Time with seconds, in Z (RFC 5280 §4.1.2.5, §5.1.2.4).

    A GeneralizedTime before 2050 is read: its writer breaks the profile, but nobody can mistake the moment, and
    directory software writes lists so.
    """
    text = element.value
    if element.tag == UTC_TIME and _TWELVE.match(text):
        year = int(text[:2])
        return _moment(year + (1900 if year >= 50 else 2000), text[2:-1])
    return generalized_time(element)


def generalized_time(element: Element) -> datetime:
    """A GeneralizedTime in seconds, without fraction, in Z (RFC 5280 §4.1.2.5.2, RFC 6960 §4.2.2.1)."""
    if element.tag != GENERALIZED_TIME or not _FOURTEEN.match(element.value):
        raise ValueError("not a time in the form RFC 5280 asks")
    return _moment(int(element.value[:4]), element.value[4:-1])


def _moment(year: int, rest: bytes) -> datetime:
    month, day, hour, minute, second = (int(rest[index : index + 2]) for index in range(0, 10, 2))
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
