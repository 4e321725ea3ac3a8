"""The entries of a revocation list, piece by piece as they are read: array operations over all that come at once.

Each entry must begin where the one before it ends. A piece in which all are in their usual form takes some seventy
operations; any other goes to `entries`, which is slow and exact, and judges the form of every entry in it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from broker.errors import RevocationUnknown
from broker.jpki import der, entries
from broker.jpki.moments import Words, moments, word

Octets: TypeAlias = NDArray[np.uint8]
Offsets: TypeAlias = NDArray[np.int64]

NARROW: Final = 1
"""Words of a serial number below 2**64."""
WIDE: Final = 3
"""Words of any other; a certificate's has at most 20 octets (RFC 5280 §4.1.2.2)."""
NOBODY: Final = (1 << 64 * WIDE) - 1
"""Stands for a serial number no certificate can have: negative, or of more than 20 octets."""

Sink: TypeAlias = Callable[[Words], None]
"""Takes the records of entries, in the list's order: rows of `width` words of serial number (highest first) and one of
`detail`."""

_BEFORE: Final = 32  # octets before a piece that a word ending in its first entry may reach into
_AFTER: Final = 512  # octets after a piece that a length octet may point to before it is judged
_MASK: Final = (1 << 64) - 1


class TooWide(Exception):
    """A serial number does not fit into one word: the pass begins anew with three."""


def fold(words: tuple[Words, ...]) -> Words:
    """A serial number's hash, from its words, highest first; `fold_one` is the same for one number."""
    hashed = words[-1] * _ODD[0]
    for each, odd in zip(reversed(words[:-1]), _ODD[1:], strict=False):
        hashed ^= each * odd
    return hashed


def fold_one(serial: int) -> int:
    """As `fold`; words that are zero change nothing, so the width makes no difference."""
    hashed = (serial & _MASK) * _ODD_INT[0]
    if serial > _MASK:
        hashed ^= ((serial >> 64) & _MASK) * _ODD_INT[1] ^ (serial >> 128) * _ODD_INT[2]
    return hashed & _MASK


_ODD_INT: Final = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)  # odd, so that no two words meet
_ODD: Final = tuple(np.uint64(each) for each in _ODD_INT)


# --- an entry in its usual form --------------------------------------------------------------------------------------


_PLAIN: Final = 17
"""How many octets more an entry's content has than its serial number: a UTCTime, and a tag and a length."""
_REASONED: Final = 31
"""The same with a reasonCode behind, alone, not critical."""

_REASON: Final = word("0c300a0603551d15")  # a reasonCode from its second octet on, and how it goes on up to the code
_CODE_FOLLOWS: Final = word("0000000004030a01")
_KEPT: Final = (
    tuple(  # how much of a serial number's n-th word, counted from its end, are its own octets, by its length
        np.array([(1 << 8 * max(0, min(length - 8 * index, 8))) - 1 for length in range(256)], np.uint64)
        for index in range(WIDE)
    )
)


class Desk:
    """Room to work in. It is kept for the next list: to touch new memory costs more than to look at what lies there."""

    __slots__ = ("data", "integers", "likely")

    def __init__(self, piece: int) -> None:
        self.data = np.zeros(_BEFORE + piece + _AFTER, np.uint8)
        self.likely, self.integers = np.empty(piece, np.bool_), np.empty(piece, np.bool_)


_FREE: Final[deque[Desk]] = deque(maxlen=4)


@contextmanager
def desk(piece: int) -> Iterator[Desk]:
    """A desk for pieces of so many octets, at which nobody else works meanwhile."""
    try:
        found = _FREE.pop()
    except IndexError:
        found = Desk(piece)
    if len(found.likely) != piece:
        found = Desk(piece)
    try:
        yield found
    finally:
        _FREE.append(found)


class Walk:
    """The pieces of a list as they come, and what has been found in them."""

    def __init__(self, desk: Desk, *, width: int, version: int, longest: int, sink: Sink) -> None:
        """`longest` octets will come."""
        self.count = 0
        self.bits = max(1, (longest // 20 + 1).bit_length())  # no entry has fewer than 20 octets
        self.places: Words = np.empty(longest // 20 + 1, np.uint64)
        self._above = np.uint64(_MASK ^ ((1 << self.bits) - 1))
        self._width, self._version, self._sink = width, version, sink
        self._desk = desk
        self._data = desk.data
        self._stop = self._taken = _BEFORE

    def room(self, left: int) -> memoryview:
        """Where the next octets of the list go: at most `left`."""
        return self._data.data[self._stop : min(self._stop + left, len(self._data) - _AFTER)]

    def take(self, length: int, *, last: bool) -> None:
        """Read all whole entries of what has come; the rest waits for what follows, once there is room."""
        self._stop += length
        self._data[self._stop : self._stop + _AFTER] = 0
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
        octets, size = self._data[begin:], self._stop - begin
        room = max(0, size - 2)
        likely = np.equal(octets[:room], der.SEQUENCE, out=self._desk.likely[:room])
        likely &= np.equal(octets[2 : room + 2], der.INTEGER, out=self._desk.integers[:room])
        starts: Offsets = np.flatnonzero(likely)
        serials, more = octets[3:][starts], octets[1:][starts]  # lengths
        ends: Offsets = starts + more + 2
        dates: Offsets = starts + serials  # a date's tag stands four octets on
        more -= serials
        usual = (more == _PLAIN) | (more == _REASONED)
        usual &= octets[4:][dates] == der.UTC_TIME
        usual &= ends <= size
        if not usual.all():  # a likeness, or an entry that ends in the next piece
            starts, ends, dates = starts[usual], ends[usual], dates[usual]
            serials, more = serials[usual], more[usual]
        if not (starts[1:] == ends[:-1]).all():  # a serial number that looks like an entry: none ends where it begins
            reached = np.zeros(size + 1, np.bool_)
            reached[ends] = reached[0] = True
            real = reached[starts]
            starts, ends, dates = starts[real], ends[real], dates[real]
            serials, more = serials[real], more[real]
        if not starts.size or starts[0] or not (starts[1:] == ends[:-1]).all():
            return 0
        if not self._serials_are_usual(octets, starts, serials):
            return 0
        found = self._rows(begin)[dates]
        rows, columns = found.view("<u8").reshape(len(found), -1), found.view(np.uint8).reshape(len(found), -1)
        detail = moments(rows[:, self._width], rows[:, self._width + 1])
        if detail is None:
            return 0
        reasoned = more == _REASONED
        if reasoned.any():
            behind = 8 * self._width + 15  # the octet after the date
            same = columns[:, behind] == der.SEQUENCE
            same &= rows[:, self._width + 2] == _REASON
            same &= rows[:, self._width + 3] << 32 == _CODE_FOLLOWS
            if self._version == 1 or (reasoned > same).any():
                return 0
            codes = columns[:, behind + 13] * reasoned
            detail |= codes.astype(np.uint64) << 56
        words = tuple(
            rows[:, index].byteswap() & _KEPT[self._width - 1 - index][serials] for index in range(self._width)
        )
        self._keep(words, detail)
        return begin + int(ends[-1])

    def _serials_are_usual(self, octets: Octets, starts: Offsets, lengths: Octets) -> bool:
        """Whether all are positive, in DER, and such as a certificate may have. Raises TooWide."""
        if not lengths.min() or lengths.max() > 21:
            return False
        first, second = octets[4:][starts], octets[5:][starts]
        padded = first == 0
        needless = padded & (second < 0x80)
        needless &= lengths > 1
        if first.max() >= 0x80 or needless.any():
            return False
        significant = (lengths - padded).max()
        if significant > 8 and self._width == NARROW:
            raise TooWide
        return bool(significant <= 20)

    def _rows(self, begin: int) -> NDArray[np.void]:
        """From each octet on what an entry in its usual form has from its serial number's last words to its end."""
        at, size = begin + 4 - 8 * self._width, 8 * self._width + 32
        return np.ndarray((len(self._data) - at - size + 1,), f"V{size}", self._data, at, (1,))

    def _unusual(self, begin: int) -> int:
        """The same for entries of any form, one by one. Raises RevocationUnknown for what is not in DER."""
        data = self._data[
            : self._stop + _AFTER
        ].tobytes()  # with what stands behind the list, which arrays may read over
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
            raise TooWide
        serials = tuple(
            np.array([serial >> 64 * index & _MASK for serial, _ in read], np.uint64)
            for index in reversed(range(self._width))
        )
        self._keep(serials, np.array([detail for _, detail in read], np.uint64))
        return end

    def _keep(self, serial: tuple[Words, ...], detail: Words) -> None:
        before, self.count = self.count, self.count + len(detail)
        places = self.places[before : self.count]
        np.bitwise_and(fold(serial), self._above, out=places)
        places |= np.arange(before, self.count, dtype=np.uint64)
        record = np.empty((len(detail), self._width + 1), np.uint64)
        for column, words in enumerate((*serial, detail)):
            record[:, column] = words
        self._sink(record)


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
