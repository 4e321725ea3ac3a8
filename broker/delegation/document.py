"""Our own look at a signed PDF's bytes, before any library parses it: where its signatures stand and what they cover.

Reads no objects. A signature is found by its /ByteRange as it stands in the bytes (ISO 32000-2 §12.8.1); what a parser
finds later must be the same, so a signature cannot be hidden from one and shown to the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from broker.delegation.faults import Fault

MAX_DOCUMENT: Final = 4 * 1024 * 1024
"""Bytes. A sealed record has about sixty thousand."""
MAX_CONTENTS: Final = 256 * 1024
"""Hexadecimal digits of one signature with its padding."""
MAX_SIGNATURES: Final = 8
"""Signatures and time stamps that are looked at: an archive adds one in ten years."""

_RANGE: Final = re.compile(
    rb"/ByteRange[ \t\r\n]*\[[ \t\r\n]*([0-9]{1,9})[ \t\r\n]+([0-9]{1,9})[ \t\r\n]+([0-9]{1,9})[ \t\r\n]+([0-9]{1,9})"
    rb"[ \t\r\n]*\]"
)
_NAME: Final = b"/ByteRange"
_KEY: Final = re.compile(rb"/Contents[ \t\r\n]*\Z")
_ENVELOPE: Final = re.compile(rb"/Contents[ \t\r\n]*<30[0-9A-Fa-f]{1000}")
_HEXADECIMAL: Final = re.compile(rb"(?:[0-9a-f]{2})*|(?:[0-9A-F]{2})*")
"""One case throughout: else a digit could be changed without changing what it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature: `cms` is its envelope without padding; it covers all bytes before `gap`, and those after, up to
    `covered`.
    """

    gap: tuple[int, int]
    covered: int
    cms: bytes = field(repr=False)

    @property
    def byte_range(self) -> tuple[int, int, int, int]:
        """As it stands in the document."""
        begin, end = self.gap
        return (0, begin, end, self.covered - end)

    def signed(self, pdf: bytes) -> bytes:
        """The bytes under the signature."""
        begin, end = self.gap
        return pdf[:begin] + pdf[end : self.covered]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the bytes show. `signatures` by their place, those that are fit to be judged."""

    signatures: tuple[Signature, ...]
    faults: frozenset[Fault]


def look(pdf: bytes) -> Look:
    """Never raises; linear in the length of `pdf`."""
    if len(pdf) > MAX_DOCUMENT:
        return Look(signatures=(), faults=frozenset({Fault.TOO_LARGE}))
    faults: set[Fault] = set()
    if not pdf.startswith((b"%PDF-1.", b"%PDF-2.")):
        faults.add(Fault.NOT_A_PDF)
    found = [tuple(map(int, match.groups())) for match in _RANGE.finditer(pdf)]
    named = pdf.count(_NAME)
    if named == 0:
        faults.add(Fault.NO_SIGNATURE)
        if _ENVELOPE.search(pdf):
            faults.add(Fault.RANGE_WRONG)  # an envelope without its range was one with it
    if named > 1:
        faults.add(Fault.MORE_SIGNATURES)
    if named != len(found):
        faults.add(Fault.RANGE_WRONG)
    signatures = []
    for first, length, second, rest in sorted(found[:MAX_SIGNATURES], key=lambda numbers: numbers[1]):
        if first != 0 or not 0 < length < second < second + rest <= len(pdf):
            faults.add(Fault.RANGE_WRONG)
            continue
        one = _signature(pdf, (length, second), second + rest, faults)
        if one is not None:
            signatures.append(one)
    if any(one.covered < len(pdf) for one in signatures):
        faults.add(Fault.REVISION_ADDED)
    return Look(signatures=tuple(signatures), faults=frozenset(faults))


def _signature(pdf: bytes, gap: tuple[int, int], covered: int, faults: set[Fault]) -> Signature | None:
    """The signature whose hexadecimal string is the gap, no more and no less."""
    begin, end = gap
    hexadecimal = pdf[begin + 1 : end - 1]
    if (
        pdf[begin : begin + 1] != b"<"
        or pdf[end - 1 : end] != b">"
        or not _KEY.search(pdf, max(0, begin - 32), begin)
        or len(hexadecimal) > MAX_CONTENTS
        or not _HEXADECIMAL.fullmatch(hexadecimal)
    ):
        faults.add(Fault.CONTENTS_WRONG)
        return None
    contents = bytes.fromhex(hexadecimal.decode("ascii"))
    length = _der_length(contents)
    if length is None:
        faults.add(Fault.CONTENTS_WRONG)
        return None
    if contents[length:].strip(b"\0"):
        faults.add(Fault.CONTENTS_WRONG)
    return Signature(gap=gap, covered=covered, cms=contents[:length])


def _der_length(data: bytes) -> int | None:
    """How long the SEQUENCE at the beginning is, tag and length included (X.690 §10.1)."""
    if len(data) < 4 or data[0] != 0x30:
        return None
    if data[1] < 0x80:
        length = 2 + data[1]
    else:
        octets = data[1] & 0x7F
        value = int.from_bytes(data[2 : 2 + octets], "big")
        if not 1 <= octets <= 4 or value < (0x80 if octets == 1 else 1 << 8 * (octets - 1)):
            return None
        length = 2 + octets + value
    return length if length <= len(data) else None
