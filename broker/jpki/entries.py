"""The revokedCertificates of a list (RFC 5280 §5.1.2.6, §5.3), all of them read at once and none of them built.

A hostile list may have 400,000 entries: one Python object for each would cost a second. Here every entry is an
offset, every rule one array operation over thousands of them, few enough for the cache, and the time depends
on the list's length alone. What is not the one DER encoding of an entry refuses the whole list: of a list nobody can
read, no part is believed.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from broker.errors import RevocationUnknown
from broker.jpki import der
from broker.jpki.moments import moments

Octets = NDArray[np.uint8]
Offsets = NDArray[np.int64]
Mask = NDArray[np.bool_]

_SHORTEST: Final = 20
"""No entry has fewer octets: a SEQUENCE of an INTEGER of one octet and a UTCTime."""
_KNOWN: Final = (0x151D55, 0x171D55, 0x181D55)
"""reasonCode, holdInstructionCode, invalidityDate: the object identifier's three octets, the last one highest."""
_CERTIFICATE_ISSUER: Final = 0x1D1D55
_MAX_EXTENSIONS: Final = 16
"""An entry with more is not read; four are defined."""
_WINDOW: Final = 1024 * 1024
"""Octets whose entries are judged at once."""
_AT_ONCE: Final = 16 * 1024
"""Entries that are searched at once."""
_FARTHEST: Final = 2**31 - 1
_MAX_STRANGE: Final = 500
"""So many entries with two or more unknown extensions are compared one by one, and no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """Where every entry of a list begins, as offsets into `data`, and where its serial number stands."""

    data: bytes = field(repr=False)
    starts: NDArray[np.int32] = field(repr=False)
    heads: Octets = field(repr=False)
    """How many octets come before the first content octet of each serial number."""
    lengths: Octets = field(repr=False)
    """How many octets each serial number has."""

    @property
    def serials(self) -> NDArray[np.int32]:
        """The first content octet of each serial number."""
        return self.starts + self.heads

    def find(self, serial: int) -> der.Element | None:
        """The first entry for `serial`, which has at most 21 octets."""
        wanted = serial.to_bytes(serial.bit_length() // 8 + 1, "big", signed=True)
        last = max(len(wanted) - 8, 0)
        words = _words(self.data)
        for first in range(0, len(self.starts), _AT_ONCE):
            left = np.flatnonzero(self.lengths[first : first + _AT_ONCE] == len(wanted)) + first
            for begin in {0, min(8, last), last}:
                piece = wanted[begin : begin + 8]
                mask = np.uint64((1 << 8 * len(piece)) - 1)
                same = words[self.starts[left] + self.heads[left] + begin] & mask
                left = left[same == np.uint64(int.from_bytes(piece, "little"))]
            if left.size:
                return der.read(self.data, int(self.starts[left[0]]), len(self.data))
        return None


def read(revoked: der.Element, *, version: int) -> Entries:
    """Every entry of `revoked`, its form and its extensions judged. Raises RevocationUnknown.

    Refused are entries that are not in DER, extensions in a version 1 list, an unknown critical extension, an entry
    of another issuer (an indirect list's), and an extension that stands twice. Something must follow the list (its
    signature does): an array may read some octets beyond the last entry before it is told that they are not its own.
    """
    try:
        return _read(revoked, version)
    except IndexError:
        raise RevocationUnknown("CRL: entries are not in DER") from None


def _read(revoked: der.Element, version: int) -> Entries:
    octets, words = np.frombuffer(revoked.data, np.uint8), _words(revoked.data)
    if revoked.end > _FARTHEST:
        raise RevocationUnknown("CRL: more octets than are judged here")
    starts: list[NDArray[np.int32]] = []
    heads: list[Octets] = []
    lengths: list[Octets] = []
    at, strange = revoked.content, 0
    while at < revoked.end:
        some = _starts(octets, revoked, at, min(at + _WINDOW, revoked.end))
        tags, contents, ends = _elements(octets, some)
        # Each begins where the one before it ends, from the list's first octet to its last: no other reading exists.
        if not some.size or some[0] != at or ends[-1] > revoked.end:
            raise RevocationUnknown("CRL: entries are not in DER")
        _must(some[1:] == ends[:-1], tags == der.SEQUENCE, ends - some >= _SHORTEST)
        tags, serials, times = _elements(octets, contents)
        sizes = times - serials
        first, second = octets[serials], octets[serials + 1]
        _must(tags == der.INTEGER, sizes > 0, sizes < 0x80)
        shorter = ((first == 0) & (second < 0x80)) | ((first == 0xFF) & (second >= 0x80))  # X.690 §8.3.2
        _must((sizes == 1) | ~shorter)
        after = times + _check_times(octets, times)
        _must(after <= ends)
        extended = np.flatnonzero(after < ends)
        if extended.size:
            if version == 1:
                raise RevocationUnknown("CRL: entry extensions in version 1")
            strange += _check_extensions(octets, words, after[extended], ends[extended])
            if strange > _MAX_STRANGE * 2:
                raise RevocationUnknown("CRL: more unknown entry extensions than are judged here")
        starts.append(some.astype(np.int32))
        heads.append((serials - some).astype(np.uint8))
        lengths.append(sizes.astype(np.uint8))
        at = int(ends[-1])
    if not starts:
        raise RevocationUnknown("CRL: entries are not in DER")
    return Entries(
        data=revoked.data, starts=np.concatenate(starts), heads=np.concatenate(heads), lengths=np.concatenate(lengths)
    )


def _must(*rules: Mask) -> None:
    if not all(bool(rule.all()) for rule in rules):
        raise RevocationUnknown("CRL: entries are not in DER")


def _words(data: bytes) -> NDArray[np.uint64]:
    """The eight octets from each offset on as one number, the first octet lowest: a view, nothing is copied."""
    return np.ndarray((len(data) - 7,), "<u8", buffer=data, strides=(1,))


def _elements(octets: Octets, at: Offsets) -> tuple[Octets, Offsets, Offsets]:
    """Tag, content and end of the element at each offset; an end of -1 where the length is not in its DER form."""
    contents = at + 2
    lengths = octets[at + 1]
    ends: Offsets = contents + lengths
    if not at.size or lengths.max() < 0x80:
        return octets[at], contents, ends
    for size in (1, 2, 3):
        these = np.flatnonzero(lengths == 0x80 + size)
        if these.size:
            long = np.zeros(these.size, np.int64)
            for index in range(size):
                long = long << 8 | octets[contents[these] + index]
            contents[these] += size
            shortest = 0x80 if size == 1 else 1 << 8 * (size - 1)
            ends[these] = np.where(long >= shortest, contents[these] + long, -1)
    ends[(lengths == 0x80) | (lengths > 0x83)] = -1
    return octets[at], contents, ends


# --- where entries begin ---------------------------------------------------------------------------------------------


def _starts(octets: Octets, revoked: der.Element, begin: int, stop: int) -> Offsets:
    """Where the entries begin that begin from `begin` to before `stop`, if all are in DER; whoever asked proves it."""
    last = min(stop, revoked.end - _SHORTEST + 1)
    first, second, third = (octets[begin + place : max(last, begin) + place] for place in range(3))
    likely = third == der.INTEGER
    likely &= second - np.uint8(_SHORTEST - 2) < 0x80 - (_SHORTEST - 2)
    likely |= second - np.uint8(0x81) <= 2  # a length of more octets
    likely &= first == der.SEQUENCE
    if np.count_nonzero(likely) <= len(likely) // 6:
        starts: Offsets = np.flatnonzero(likely)
        starts += begin
        _, _, ends = _elements(octets, starts)
        for _ in range(3):  # where no candidate ends, none begins: this takes nearly every likeness out
            if (starts[1:] == ends[:-1]).all():
                return starts
            reached = np.zeros(len(likely), np.bool_)
            reached[ends[(ends > begin) & (ends < last)] - begin] = reached[0] = True
            kept = reached[starts - begin]
            starts, ends = starts[kept], ends[kept]
    return _walk(revoked, begin, stop)


def _walk(revoked: der.Element, at: int, stop: int) -> Offsets:
    """The same, entry by entry: where too much looks like an entry and is none."""
    data, starts = revoked.data, array("q")
    append = starts.append
    while at < stop:
        append(at)
        length = data[at + 1]
        if length < 0x80:
            if length < _SHORTEST - 2:
                break
            at += 2 + length
        else:
            size = length - 0x80
            length = int.from_bytes(data[at + 2 : at + 2 + size], "big")
            if not 1 <= size <= 3 or length < 0x80:
                break
            at += 2 + size + length
    return np.frombuffer(starts, np.int64)


# --- what stands in them ---------------------------------------------------------------------------------------------

_UTC_HEAD: Final = np.uint64(0x0D17)  # a UTCTime's tag and length, as the first octets of a word
_CENTURY: Final = np.uint64(0xFFFF)


def _check_times(octets: Octets, at: Offsets) -> Offsets:
    """How long each revocationDate is. It has seconds, ends in Z and is a moment there can be (RFC 5280 §5.1.2.6)."""
    long = octets[at] == der.GENERALIZED_TIME
    lengths = octets[at + 1]
    _must((octets[at] == der.UTC_TIME) | long, lengths == np.where(long, np.uint8(15), np.uint8(13)))
    some_long = bool(long.any())
    # Behind its century a GeneralizedTime is a UTCTime.
    rows = _rows(octets)[at + 2 * long if some_long else at].view("<u8").reshape(len(at), 2)
    dates = rows[:, 0]
    if some_long:
        for digit in (octets[at[long] + 2], octets[at[long] + 3]):
            _must(digit - np.uint8(ord("0")) <= 9)
        dates = np.where(long, dates & ~_CENTURY | _UTC_HEAD, dates)
    if moments(dates, rows[:, 1]) is None:
        raise RevocationUnknown("CRL: entries are not in DER")
    return lengths.astype(np.int64) + 2


def _rows(octets: Octets) -> NDArray[np.void]:
    """The sixteen octets from each offset on."""
    return np.ndarray((len(octets) - 15,), "V16", octets, 0, (1,))


def _check_extensions(octets: Octets, words: NDArray[np.uint64], at: Offsets, limits: Offsets) -> int:
    """The crlEntryExtensions at each offset, first all first ones, then all second ones (RFC 5280 §5.3).

    How many unknown ones stand in entries that have several.
    """
    tags, at, ends = _elements(octets, at)
    _must(tags == der.SEQUENCE, ends == limits, at < ends)
    entries = np.arange(at.size)
    seen = np.zeros(at.size, np.int8)
    unknown: list[tuple[Offsets, Offsets]] = []
    for _ in range(_MAX_EXTENSIONS):
        tags, oids, next_ = _elements(octets, at)
        _must(tags == der.SEQUENCE, next_ <= limits, next_ >= at + 6)
        tags, names, values = _elements(octets, oids)
        _must(tags == der.OBJECT_IDENTIFIER, values - names > 0, values - names < 0x80)
        critical = octets[values] == der.BOOLEAN
        _must(~critical | ((octets[values + 1] == 1) & (octets[values + 2] == 0xFF)))  # FALSE is the default: left out
        tags, _, ends = _elements(octets, values + 3 * critical)
        _must(tags == der.OCTET_STRING, ends == next_)
        name = np.where(values - names == 3, (words[names] & np.uint64(0xFFFFFF)).astype(np.int64), 0)
        if (name == _CERTIFICATE_ISSUER).any():
            raise RevocationUnknown("CRL: an entry of another issuer")
        bits = np.zeros(at.size, np.int8)
        for bit, known in enumerate(_KNOWN):
            bits[name == known] = 1 << bit
        if (critical & (bits == 0)).any():
            raise RevocationUnknown("CRL: unknown critical entry extension")
        if (seen[entries] & bits).any():
            raise RevocationUnknown("CRL: an entry extension stands twice")
        seen[entries] |= bits
        strange = bits == 0
        unknown.append((entries[strange], names[strange]))
        left = np.flatnonzero(next_ < limits)
        if not left.size:
            return _check_unknown(octets, unknown)
        entries, at, limits = entries[left], next_[left], limits[left]
    raise RevocationUnknown("CRL: an entry has more extensions than are judged here")


def _check_unknown(octets: Octets, unknown: list[tuple[Offsets, Offsets]]) -> int:
    """That each unknown extension has a name, and none stands twice in an entry: `unknown` has (entry, place of the
    name), round by round. How many stand in entries that have several.
    """
    entries = np.concatenate([entries for entries, _ in unknown])
    names = np.concatenate([names for _, names in unknown])
    if not names.size:
        return 0
    _check_names(octets, names, names + octets[names - 1])
    several = np.flatnonzero(np.bincount(entries, minlength=1)[entries] > 1)
    if several.size > _MAX_STRANGE * 2:
        raise RevocationUnknown("CRL: more unknown entry extensions than are judged here")
    met = {
        (entry, octets[at - 1 : at + int(octets[at - 1])].tobytes()) for entry, at in _pairs(entries, names, several)
    }
    if len(met) != several.size:
        raise RevocationUnknown("CRL: an entry extension stands twice")
    return several.size


def _check_names(octets: Octets, at: Offsets, ends: Offsets) -> None:
    """That the numbers of each object identifier are whole and in their shortest form (X.690 §8.19.2)."""
    _must(octets[ends - 1] < 0x80)
    first, last = int(at.min()) - 1, int(ends.max())
    padded = np.flatnonzero((octets[first + 1 : last] == 0x80) & (octets[first : last - 1] < 0x80)) + first + 1
    if padded.size:
        _must(np.searchsorted(padded, at) == np.searchsorted(padded, ends))


def _pairs(entries: Offsets, names: Offsets, chosen: Offsets) -> zip[tuple[int, int]]:
    return zip(entries[chosen].tolist(), names[chosen].tolist(), strict=True)
