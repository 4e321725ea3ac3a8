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
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from broker.errors import RevocationUnknown
from broker.jpki import der, entries
from broker.jpki.issuer import signature_scheme

Words: TypeAlias = NDArray[np.uint64]
Offsets: TypeAlias = NDArray[np.int64]

CHUNK: Final = 256 * 1024
"""Octets scanned at once: the arrays made of them stay in the processor's cache."""
MAX_HEAD: Final = 64 * 1024
MAX_TAIL: Final = 1024 * 1024
NARROW: Final = 1
"""Words of a serial number below 2**64."""
WIDE: Final = 3
"""Words of any other; a certificate's has at most 20 octets (RFC 5280 §4.1.2.2)."""
NOBODY: Final = (1 << 64 * WIDE) - 1
"""Stands for a serial number no certificate can have: negative, or of more than 20 octets."""

_BEFORE: Final = 32  # octets before a piece that a word ending in its first entry may reach into
_AFTER: Final = 512  # octets after a piece that a length octet may point to before it is judged


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


Sink: TypeAlias = Callable[[Words], None]
"""Takes the records of entries, in the list's order: rows of `width` words of serial number (highest first) and one of
`detail`."""


class _TooWide(Exception):
    """A serial number does not fit into one word: the pass begins anew with three."""


def scan(source: Source, begin: Callable[[int], Sink]) -> Scanned:
    """Read all of `source`. `begin` is called with the width and answers the sink; a second call starts it anew.

    Raises RevocationUnknown, ValueError, EOFError: not one list in DER.
    """
    try:
        return _scan(source, NARROW, begin(NARROW))
    except _TooWide:
        return _scan(source, WIDE, begin(WIDE))


def fold(words: tuple[Words, ...]) -> Words:
    """A serial number's hash, from its words, highest first; `fold_one` is the same for one number."""
    hashed = words[-1] * _ODD[0]
    for word, odd in zip(reversed(words[:-1]), _ODD[1:], strict=False):
        hashed ^= word * odd
    return hashed


def fold_one(serial: int) -> int:
    """As `fold`; words that are zero change nothing, so the width makes no difference."""
    hashed = (serial & _MASK) * _ODD_INT[0]
    if serial > _MASK:
        hashed ^= ((serial >> 64) & _MASK) * _ODD_INT[1] ^ (serial >> 128) * _ODD_INT[2]
    return hashed & _MASK


_MASK: Final = (1 << 64) - 1
_ODD_INT: Final = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)  # odd, so that no two words meet
_ODD: Final = tuple(np.uint64(each) for each in _ODD_INT)


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
        raise RevocationUnknown("CRL: more than 64 KiB before its entries")
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
    walk = _Walk(width=width, version=outline.version, longest=end - begin, sink=sink)
    with ThreadPoolExecutor(1) as beside:  # a thread begins with the first piece that is not the last
        while begin < end:
            piece = walk.room(end - begin)
            source.read_into(begin, piece)
            begin += len(piece)
            if begin == end:
                hasher.update(piece)
                walk.take(len(piece), last=True)
            else:
                hashed = beside.submit(hasher.update, piece)
                walk.take(len(piece), last=False)
                hashed.result()
                walk.make_room()
    hasher.update(outline.signed[1])
    return Scanned(
        head=outline.head,
        digest=hasher.digest(),
        count=walk.count,
        width=width,
        bits=walk.bits,
        places=walk.places[: walk.count],
    )


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


# --- the entries -----------------------------------------------------------------------------------------------------


def _word(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(bytes.fromhex(text), "little"))


_REASON: Final = (
    _word("300c300a0603551d"),
    _word("551d1504030a0100"),
)  # a reasonCode alone; its last octet is the code
_TIME: Final = _word("170d")
_TIME_MASK: Final = _word("ffff")
_OCTET: Final = np.uint64(0xFF)
_SIX: Final = np.uint64(0xFFFFFFFFFFFF)
_DIGITS: Final = np.uint64(0x303030303030)
_HIGH: Final = np.uint64(0xF0F0F0F0F0F0)
_LOW: Final = np.uint64(0x0F0F0F0F0F0F)
_SIXES: Final = np.uint64(0x060606060606)
_LANES: Final = np.uint64(0x00FF00FF00FF)
_TOP: Final = np.uint64(0x800080008000)
_LEAST_DATE: Final = np.uint64(0x000100010000)  # year 00, month 01, day 01: pairs of digits, four bits each
_MOST_DATE: Final = np.uint64(0x003100120099)
_MOST_TIME: Final = np.uint64(0x005900590023)
_SHORT_MONTHS: Final = np.array([month in {0x04, 0x06, 0x09, 0x11} for month in range(256)])
_KEPT: Final = (
    tuple(  # how much of a serial number's n-th word, counted from its end, are its own octets, by its length
        np.array([(1 << 8 * max(0, min(length - 8 * index, 8))) - 1 for length in range(256)], np.uint64)
        for index in range(WIDE)
    )
)


_ORDINALS: Final = np.arange(CHUNK // 20 + 1, dtype=np.uint64)
_ORDINALS.flags.writeable = False  # shared by every walk


class _Walk:
    """The pieces of a list as they come, and what has been found in them."""

    def __init__(self, *, width: int, version: int, longest: int, sink: Sink) -> None:
        self.count = 0
        self.bits = max(1, (longest // 20 + 1).bit_length())  # no entry has fewer than 20 octets
        self.places: Words = np.empty(longest // 20 + 1, np.uint64)
        self._ordinals = _ORDINALS
        self._above = np.uint64(_MASK ^ ((1 << self.bits) - 1))
        self._width, self._version, self._sink = width, version, sink
        self._data = np.zeros(_BEFORE + min(CHUNK, longest) + _AFTER, np.uint8)
        self._words: Words = np.ndarray((len(self._data) - 7,), "<u8", buffer=self._data, strides=(1,))
        self._stop = self._taken = _BEFORE

    def room(self, left: int) -> memoryview:
        """Where the next octets of the list go: at most `left`."""
        return self._data.data[self._stop : min(self._stop + left, len(self._data) - _AFTER)]

    def take(self, length: int, *, last: bool) -> None:
        """Read all whole entries of what has come; the rest waits for what follows, once there is room."""
        self._stop += length
        at = _BEFORE
        while at < self._stop and not self._cut_off(at):
            end = self._usual(at) or self._unusual(at)
            if end == at:
                break
            at = end
        if at < self._stop and (last or at == _BEFORE):
            raise RevocationUnknown("CRL: entries are not in DER")
        self._taken = at

    def make_room(self) -> None:
        """Forget what has been taken."""
        left = self._stop - self._taken
        self._data[_BEFORE : _BEFORE + left] = self._data[self._taken : self._stop].copy()
        self._stop = _BEFORE + left

    def _cut_off(self, begin: int) -> bool:
        """Whether the entry at `begin` is a short one that goes on in the next piece."""
        length = int(self._data[begin + 1])
        return length < 0x80 and begin + 2 + length > self._stop

    def _usual(self, begin: int) -> int:
        """Where the entries from `begin` on end, if all are in their usual form; 0 where any is not."""
        octets, words, stop = self._data, self._words, self._stop
        likely = octets[begin : stop - 2] == 0x30
        likely &= octets[begin + 2 : stop] == 0x02
        starts = np.flatnonzero(likely)
        starts += begin
        heads = words[starts]
        lengths = ((heads >> np.uint64(24)) & _OCTET).astype(np.int64)
        times = starts + 4 + lengths
        ends = starts + 2 + ((heads >> np.uint64(8)) & _OCTET).astype(np.int64)
        dates = words[times]
        good = ((dates & _TIME_MASK) == _TIME) & (ends >= times + 15) & (ends <= stop)
        if not good.all():  # a likeness, or an entry that ends in the next piece
            starts, heads, lengths, times, ends, dates = (
                each[good] for each in (starts, heads, lengths, times, ends, dates)
            )
        if not (starts[1:] == ends[:-1]).all():  # a serial number that looks like an entry: none ends where it begins
            reached = np.zeros(stop + 1, np.bool_)
            reached[ends] = reached[begin] = True
            real = reached[starts]
            starts, heads, lengths = starts[real], heads[real], lengths[real]
            times, ends, dates = times[real], ends[real], dates[real]
        if not starts.size or starts[0] != begin or not (starts[1:] == ends[:-1]).all():
            return 0
        first, second = (heads >> np.uint64(32)) & _OCTET, (heads >> np.uint64(40)) & _OCTET
        padded = first == 0
        right = (first < 0x80) & ~(padded & (second < 0x80) & (lengths > 1)) & (lengths - 1 <= 20)
        right &= (heads & np.uint64(0x8000)) == 0  # the entry's length is one octet
        detail = _moments(dates, words[times + 7], right)
        plain = ends == times + 15
        codes = words[times + 21]
        reasoned = (words[times + 15] == _REASON[0]) & ((codes << np.uint64(8)) == (_REASON[1] << np.uint64(8)))
        reasoned &= ends == times + 29
        if self._version == 1:
            reasoned[:] = False
        right &= plain | reasoned
        if not right.all() or (lengths == 0).any():
            return 0
        detail |= np.where(plain, np.uint64(0), codes & np.uint64(0xFF << 56))
        if self._width == NARROW and ((lengths > 9) | ((lengths == 9) & ~padded)).any():
            raise _TooWide
        serial = tuple(
            words[times - 8 * (index + 1)].byteswap() & _KEPT[index][lengths] for index in reversed(range(self._width))
        )
        self._keep(serial, detail)
        return int(ends[-1])

    def _unusual(self, begin: int) -> int:
        """The same for entries of any form, one by one. Raises RevocationUnknown for what is not in DER."""
        data = self._data.tobytes()  # with what stands behind the list, which arrays may read over
        end, starts = begin, []
        while end < self._stop:
            entry = _whole(data, end, self._stop)
            if entry is None:
                break
            starts.append(end)
            end = entry
        if not starts:
            return begin
        piece = der.Element(data, der.SEQUENCE, begin, begin, end)
        entries.read(piece, version=self._version)  # the judge of every entry's form
        read = [_entry(der.read(data, start, end)) for start in starts]
        if self._width == NARROW and any(serial > _MASK for serial, _ in read):
            raise _TooWide
        serials = tuple(
            np.array([serial >> 64 * index & _MASK for serial, _ in read], np.uint64)
            for index in reversed(range(self._width))
        )
        self._keep(serials, np.array([detail for _, detail in read], np.uint64))
        return end

    def _keep(self, serial: tuple[Words, ...], detail: Words) -> None:
        count = len(detail)
        places = self.places[self.count : self.count + count]
        np.bitwise_and(fold(serial), self._above, out=places)
        places |= self._ordinals[:count] + np.uint64(self.count)
        record = np.empty((count, self._width + 1), np.uint64)
        for column, words in enumerate((*serial, detail)):
            record[:, column] = words
        self._sink(record)
        self.count += count


def _moments(dates: Words, times: Words, right: NDArray[np.bool_]) -> Words:
    """UTCTimes as `detail` holds them, from the words that begin at their tag and seven octets later."""
    date, time = dates >> np.uint64(16), times >> np.uint64(8)
    right &= (times >> np.uint64(56)) == ord("Z")
    time &= _SIX
    for six in (date, time):
        right &= (six & _HIGH) == _DIGITS
        right &= ((six + _SIXES) & _HIGH) == _DIGITS
    date, time = _pairs(date), _pairs(time)
    right &= ((date + _TOP - _LEAST_DATE) & (_MOST_DATE + _TOP - date) & (_MOST_TIME + _TOP - time) & _TOP) == _TOP
    late = np.flatnonzero(date >= np.uint64(0x30 << 32))
    if late.size:
        month, day = ((date[late] >> np.uint64(16)) & _OCTET).astype(np.int64), date[late] >> np.uint64(32)
        right[late] &= (month != 2) & ~(_SHORT_MONTHS[month] & (day == 0x31))
    moments: Words = date | time << np.uint64(8)
    return moments


def _pairs(six: Words) -> Words:
    """Six digits as three pairs, four bits a digit, sixteen bits a pair, the first pair lowest."""
    digits = six & _LOW
    return (digits << np.uint64(4) | digits >> np.uint64(8)) & _LANES


def _whole(data: bytes, at: int, stop: int) -> int | None:
    """Where the entry at `at` ends, if it ends before `stop`."""
    if at + 2 > stop:
        return None
    length, content = data[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 3:
            raise RevocationUnknown("CRL: entries are not in DER")
        if content + size > stop:
            return None
        length = int.from_bytes(data[content : content + size], "big")
        content += size
    return content + length if content + length <= stop else None


_REASON_CODE: Final = bytes.fromhex("551d15")


def _entry(entry: der.Element) -> tuple[int, int]:
    """Serial number and detail of an entry that `entries` has judged."""
    number, moment, *extensions = entry.children()
    serial = int.from_bytes(number.value, "big", signed=True)
    code = 0
    for each in (each for sequence in extensions for each in sequence.children()):
        name, *_, value = each.children()
        if name.value == _REASON_CODE and len(value.value) == 3 and value.value[:2] == b"\x0a\x01":
            code = value.value[2]
    text, century = moment.value[:-1], 0
    if moment.tag == der.GENERALIZED_TIME:
        century, text = int(text[:2], 16), text[2:]
    lanes = bytes.fromhex(text.decode("ascii"))
    packed = bytes(lanes[index] for index in (0, 3, 1, 4, 2, 5))
    detail = int.from_bytes(packed, "little") | century << 48 | code << 56
    return serial if 0 <= serial < 1 << 160 else NOBODY, detail
