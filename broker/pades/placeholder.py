"""A PDF with room for one signature: ISO 32000-2 §12.8, PAdES baseline B-B (ETSI EN 319 142-1 §6).

Pure: the room was made before (`preparation`). What is signed is every byte but those of the room, so the time of
signing is written into its fixed width before the digest is taken.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from broker.errors import DocumentRefused

RESERVED: Final = 16 * 1024
"""Hexadecimal digits of room: a CMS of at most 8 KiB, where the card's has some 3 KiB."""
TIME_DIGITS: Final = 14
"""`YYYYMMDDHHMMSS` of a PDF date (ISO 32000-2 §7.9.4), always in UTC."""

BEFORE_TIME: Final = rb"/M (D\072"
"""As pyHanko writes the beginning of a date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placeholder:
    """Where in `pdf` the room and the time stand. The first `size` bytes are the document as it came."""

    pdf: bytes = field(repr=False)
    size: int
    start: int
    """Of the room, at its `<`."""
    end: int
    """Behind its `>`."""
    time: int
    """Of the digits of `/M`."""

    def __post_init__(self) -> None:
        """Raises DocumentRefused: offsets that a child told must fit what it wrote."""
        room = self.pdf[self.start : self.end]
        if (
            not 0 < self.size <= self.time <= len(self.pdf)
            or not self.size < self.start < self.end <= len(self.pdf)
            or self.end - self.start != RESERVED + 2
            or room != b"<" + b"0" * RESERVED + b">"
            or self.start < self.time + TIME_DIGITS <= self.end
            or not self.pdf[self.time : self.time + TIME_DIGITS].isdigit()
            or self.pdf[self.time - len(BEFORE_TIME) : self.time] != BEFORE_TIME
        ):
            raise DocumentRefused("the room for a signature is not where it should be")

    @property
    def document(self) -> bytes:
        """The document as it came."""
        return self.pdf[: self.size]

    def digest(self, at: datetime) -> bytes:
        """SHA-256 over the byte range, dated `at`: what messageDigest says (EN 319 142-1 §6.3)."""
        dated = self._dated(at)
        taken = hashlib.sha256(memoryview(dated)[: self.start])
        taken.update(memoryview(dated)[self.end :])
        return taken.digest()

    def embed(self, cms: bytes, at: datetime) -> bytes:
        """The signed PDF: `cms` (DER) over the digest of the same `at`. Raises DocumentRefused: it does not fit."""
        digits = cms.hex().upper().encode("ascii")
        if len(digits) > RESERVED:
            raise DocumentRefused("the signature is longer than the room for it")
        dated = self._dated(at)
        dated[self.start + 1 : self.start + 1 + len(digits)] = digits
        return bytes(dated)

    def _dated(self, at: datetime) -> bytearray:
        if at.tzinfo is None:
            raise ValueError("a naive datetime names no instant")
        dated = bytearray(self.pdf)
        dated[self.time : self.time + TIME_DIGITS] = at.astimezone(UTC).strftime("%Y%m%d%H%M%S").encode("ascii")
        return dated
