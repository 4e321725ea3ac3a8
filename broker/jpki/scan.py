"""One pass over a certificate revocation list of any size, from its first octet to its last (RFC 5280 §5.1).

The same octets go to the hash its signature is checked with and to the scan, in pieces, so memory does not grow with
the list. Every entry must begin where the one before it ends: that chain, once whole, is the only reading of the
octets there is. Whatever is not an entry in its usual form goes, with its piece, to `entries`, which is slow and exact.
Nothing here is believed before `issuer.check_digest` says so of the result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

from broker.errors import RevocationUnknown
from broker.jpki import der
from broker.jpki.issuer import signature_scheme
from broker.jpki.moments import Words
from broker.jpki.walk import NARROW, WIDE, Sink, TooWide, Walk, desk

CHUNK: Final = 256 * 1024
"""Octets scanned at once: the arrays made of them stay in the processor's cache."""
MAX_HEAD: Final = 16 * 1024
MAX_TAIL: Final = 1024 * 1024


class Source(Protocol):
    """Where the list is read from; it must not change meanwhile."""

    @property
    def size(self) -> int: ...

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill `target` from `offset` on. Raises EOFError where there are fewer octets."""


class Octets:
    """A Source in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    @property
    def size(self) -> int:
        return len(self._data)

    def read_into(self, offset: int, target: memoryview) -> None:
        piece = self._data[offset : offset + len(target)]
        if len(piece) != len(target):
            raise EOFError
        target[:] = piece


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """What one pass found.

    `head` is the same list without its entries, `digest` the hash of what was signed, under the list's own algorithm.
    `places` has one word for each entry, in order: the upper bits of the serial number's hash, and below, in `bits`
    bits, which entry it is.
    """

    head: der.Signed = field(repr=False)
    digest: bytes
    count: int
    width: int
    bits: int
    places: Words = field(repr=False)


def scan(source: Source, begin: Callable[[int], Sink]) -> Scanned:
    """Read all of `source`. `begin` is called with the width and answers the sink; a second call starts it anew.

    Raises RevocationUnknown, ValueError, EOFError: not one list in DER.
    """
    try:
        return _scan(source, NARROW, begin(NARROW))
    except TooWide:
        return _scan(source, WIDE, begin(WIDE))


# --- the whole -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outline:
    """Where the entries are, and all that is not entries. `signed` are the octets hashed before and after them."""

    version: int
    algorithm: bytes
    begin: int
    end: int
    signed: tuple[bytes, bytes] = field(repr=False)
    head: der.Signed = field(repr=False)


def read_head(source: Source) -> bytes:
    """The list without its entries, not believed yet. Raises as `scan` does."""
    return _outline(source).head.body.data


def _outline(source: Source) -> _Outline:
    size = source.size
    first = _read(source, 0, min(size, MAX_HEAD))
    outer = der.read(first, 0, size)
    tbs = der.read(first, outer.content, outer.end)
    if (outer.tag, outer.end, tbs.tag) != (der.SEQUENCE, size, der.SEQUENCE):
        raise RevocationUnknown("CRL: not one signed list")
    version, algorithm, revoked = _head(first, tbs)
    begin, end, before = (tbs.end,) * 3 if revoked is None else (revoked.content, revoked.end, revoked.begin)
    if before > len(first):
        raise RevocationUnknown("CRL: more than 16 KiB before its entries")
    if size - end > MAX_TAIL:
        raise RevocationUnknown("CRL: more than 1 MiB after its entries")
    tail = _read(source, end, size - end)
    after = tail[: tbs.end - end]
    head = der.signed(
        der.write(der.SEQUENCE, der.write(der.SEQUENCE, first[tbs.content : before], after), tail[len(after) :])
    )
    if head.algorithm != algorithm:
        raise RevocationUnknown("CRL: signature algorithm differs inside and outside")  # RFC 5280 §5.1.1.2
    return _Outline(
        version=version,
        algorithm=algorithm,
        begin=begin,
        end=end,
        signed=(first[tbs.begin : begin], after),
        head=head,
    )


def _scan(source: Source, width: int, sink: Sink) -> Scanned:
    outline = _outline(source)
    hasher = hashlib.new(signature_scheme(outline.algorithm)[1])
    hasher.update(outline.signed[0])
    begin, end = outline.begin, outline.end
    with desk(CHUNK) as mine:
        walk = Walk(mine, width=width, version=outline.version, longest=end - begin, sink=sink)
        if end - begin <= CHUNK:
            piece = walk.room(end - begin)
            source.read_into(begin, piece)
            hasher.update(piece)
            walk.take(len(piece), last=True)
        else:
            _walk_beside(walk, source, outline, hasher)
    hasher.update(outline.signed[1])
    return Scanned(
        head=outline.head,
        digest=hasher.digest(),
        count=walk.count,
        width=width,
        bits=walk.bits,
        places=walk.places[: walk.count],
    )


def _walk_beside(walk: Walk, source: Source, outline: _Outline, hasher: hashlib._Hash) -> None:
    """Piece by piece, hashed by another thread while this one looks at it."""
    begin, end = outline.begin, outline.end
    with ThreadPoolExecutor(1) as beside:
        while begin < end:
            piece = walk.room(end - begin)
            source.read_into(begin, piece)
            begin += len(piece)
            hashed = beside.submit(hasher.update, piece)
            walk.take(len(piece), last=begin == end)
            hashed.result()
            walk.make_room()


def _read(source: Source, offset: int, length: int) -> bytes:
    data = bytearray(length)
    source.read_into(offset, memoryview(data))
    return bytes(data)


def _head(first: bytes, tbs: der.Element) -> tuple[int, bytes, der.Element | None]:
    """Version, raw signature algorithm and the entries. `crl` judges these parts; here they are only found."""
    version, offset = 1, tbs.content
    part = der.read(first, offset, tbs.end)
    if part.tag == der.INTEGER:
        version, offset = 2, part.end
    algorithm = der.read(first, offset, tbs.end)
    issuer = der.read(first, algorithm.end, tbs.end)
    this_update = der.read(first, issuer.end, tbs.end)
    offset = this_update.end
    if offset >= tbs.end:
        return version, algorithm.raw, None
    part = der.read(first, offset, tbs.end)
    if part.tag in {der.UTC_TIME, der.GENERALIZED_TIME}:
        if part.end >= tbs.end:
            return version, algorithm.raw, None
        part = der.read(first, part.end, tbs.end)
    if part.tag != der.SEQUENCE:
        return version, algorithm.raw, None
    if part.content == part.end:
        raise RevocationUnknown("CRL: an empty list is written by leaving it out")  # RFC 5280 §5.1.2.6
    return version, algorithm.raw, part
