"""The outer shell of a DER object (X.690 sections 8.1 and 10.1): enough to know how much of a file is certificate."""

from __future__ import annotations

from cardreader.errors import MalformedCardData

SEQUENCE = 0x30


def object_length(head: bytes, *, at_most: int) -> int:
    """Length in bytes, tag and length octets included, of the DER SEQUENCE that starts at `head`.

    `head` needs to hold no more than the tag and length octets. Raises MalformedCardData where it is no SEQUENCE, the
    length is indefinite or not the shortest form, or the whole is longer than `at_most`.
    """
    if len(head) < 2 or head[0] != SEQUENCE:
        raise MalformedCardData("no DER SEQUENCE where a certificate should be")
    first = head[1]
    if first < 0x80:
        total = 2 + first
    else:
        octets = first & 0x7F
        if not 1 <= octets <= 2 or len(head) < 2 + octets:
            raise MalformedCardData("a DER length we do not read")
        length = int.from_bytes(head[2 : 2 + octets], "big")
        if length < (0x80 if octets == 1 else 0x100):
            raise MalformedCardData("a DER length that is not in shortest form")
        total = 2 + octets + length
    if total > at_most:
        raise MalformedCardData(f"an object of {total} bytes where at most {at_most} are read")
    return total
