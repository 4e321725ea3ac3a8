"""The revokedCertificates of a list (RFC 5280 §5.1.2.6, §5.3), all of them read at once and none of them built.

A hostile list may have 400,000 entries: one Python object for each would cost a second. Here every entry is an
offset, every rule one array operation over all of them, and the time depends on the list's length alone. What is
not the one DER encoding of an entry refuses the whole list: of a list nobody can read, no part is believed.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from broker.errors import RevocationUnknown
from broker.jpki import der

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
_MAX_STRANGE: Final = 500
"""So many entries with two or more unknown extensions are compared one by one, and no more."""
_DAYS: Final = np.array([0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] + [0] * 150)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """Where every entry of a list begins and where its serial number stands; all offsets into `data`."""

    data: bytes = field(repr=False)
    starts: Offsets = field(repr=False)
    serials: Offsets = field(repr=False)
    """The first content octet of each serial number."""
    lengths: Offsets = field(repr=False)
    """How many octets each serial number has."""

    def find(self, serial: int) -> der.Element | None:
        """The first entry for `serial`, which has at most 21 octets."""
        wanted = serial.to_bytes(serial.bit_length() // 8 + 1, "big", signed=True)
        left = np.flatnonzero(self.lengths == len(wanted))
        last = max(len(wanted) - 8, 0)
        for begin in {0, min(8, last), last}:
            piece = wanted[begin : begin + 8]
            mask = np.uint64((1 << 8 * len(piece)) - 1)
            same = _words(self.data)[self.serials[left] + begin] & mask
            left = left[same == np.uint64(int.from_bytes(piece, "little"))]
        return der.read(self.data, int(self.starts[left[0]]), len(self.data)) if left.size else None


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
    starts = _starts(octets, revoked)
    if not starts.size:
        raise RevocationUnknown("CRL: entries are not in DER")
    tags, contents, ends = _elements(octets, starts)
    # Each entry begins where the one before it ends, from the list's first octet to its last: no other reading exists.
    _must(starts[:1] == revoked.content, starts[1:] == ends[:-1], ends[-1:] == revoked.end)
    _must(tags == der.SEQUENCE, ends - starts >= _SHORTEST)
    tags, serials, times = _elements(octets, contents)
    lengths = times - serials
    first, second = octets[serials], octets[serials + 1]
    _must(tags == der.INTEGER, lengths > 0, lengths < 0x80)
    shorter = ((first == 0) & (second < 0x80)) | ((first == 0xFF) & (second >= 0x80))  # X.690 §8.3.2
    _must((lengths == 1) | ~shorter)
    after = times + _check_times(octets, words, times)
    _must(after <= ends)
    extended = np.flatnonzero(after < ends)
    if extended.size:
        if version == 1:
            raise RevocationUnknown("CRL: entry extensions in version 1")
        _check_extensions(octets, words, after[extended], ends[extended])
    return Entries(data=revoked.data, starts=starts, serials=serials, lengths=lengths)


def _must(*rules: Mask) -> None:
    if not all(bool(rule.all()) for rule in rules):
        raise RevocationUnknown("CRL: entries are not in DER")


def _words(data: bytes) -> NDArray[np.uint64]:
    """The eight octets from each offset on as one number, the first octet lowest: a view, nothing is copied."""
    return np.ndarray((len(data) - 7,), "<u8", buffer=data, strides=(1,))


def _elements(octets: Octets, at: Offsets) -> tuple[Octets, Offsets, Offsets]:
    """Tag, content and end of the element at each offset; an end of -1 where the length is not in its DER form."""
    lengths = octets[at + 1].astype(np.int64)
    contents = at + 2
    ends = contents + lengths
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


def _starts(octets: Octets, revoked: der.Element) -> Offsets:
    """Where the entries begin if they are in DER; whoever asked proves the chain.

    Every place that looks like a SEQUENCE with an INTEGER is a candidate; likenesses inside an entry are jumped over.
    """
    window = octets[revoked.content : revoked.end]
    if window.size < _SHORTEST:
        raise RevocationUnknown("CRL: entries are not in DER")
    likely = window[:-2] == der.SEQUENCE
    likely &= (window[2:] == der.INTEGER) | (window[1:-1] - np.uint8(0x81) <= 2)  # or a length of more octets
    if np.count_nonzero(likely) > window.size // 6:
        return _walk(revoked)
    starts = np.flatnonzero(likely) + revoked.content
    _, _, ends = _elements(octets, starts)
    for _ in range(3):  # where no candidate ends, none begins: this takes nearly every likeness out
        if (starts[1:] == ends[:-1]).all():
            return starts
        reached = np.zeros(len(octets) + 1, np.bool_)
        reached[ends[ends <= revoked.end]] = True
        reached[revoked.content] = True
        kept = reached[starts]
        starts, ends = starts[kept], ends[kept]
    return _jump(starts, ends)


def _jump(starts: Offsets, ends: Offsets) -> Offsets:
    """From each candidate whose end is not the next one, over all between, to the one that begins there."""
    jumps = np.flatnonzero(starts[1:] != ends[:-1])
    landings = np.searchsorted(starts, ends[jumps])
    over: list[int] = []
    under: list[int] = []
    at = 0
    for jump, landing in zip(jumps.tolist(), landings.tolist(), strict=True):
        if jump >= at:
            over.append(jump + 1)
            under.append(landing)
            at = max(landing, jump + 1)
    depth = np.zeros(starts.size + 1, np.int8)
    depth[over] += 1
    depth[under] -= 1
    kept: Offsets = starts[np.cumsum(depth[:-1], dtype=np.int32) == 0]
    return kept


def _walk(revoked: der.Element) -> Offsets:
    """The same, entry by entry: for lists that hold more likenesses than entries."""
    data, at, end = revoked.data, revoked.content, revoked.end
    starts = array("q")
    while at < end:
        length = data[at + 1]
        starts.append(at)
        if length < 0x80:
            if length < _SHORTEST - 2:
                break
            at += 2 + length
        elif length < 0x84:
            size = length - 0x80
            at += 2 + size + int.from_bytes(data[at + 2 : at + 2 + size], "big")
        else:
            break
    return np.frombuffer(starts, np.int64)


# --- what stands in them ---------------------------------------------------------------------------------------------

_DIGITS: Final = np.uint64(0x3030303030303030)
_NIBBLES: Final = np.uint64(0xF0F0F0F0F0F0F0F0)
_SIXES: Final = np.uint64(0x0606060606060606)


def _check_times(octets: Octets, words: NDArray[np.uint64], at: Offsets) -> Offsets:
    """How long each revocationDate is. It has seconds, ends in Z and is a moment there can be (RFC 5280 §5.1.2.6)."""
    tags, lengths = octets[at], octets[at + 1]
    long = tags == der.GENERALIZED_TIME
    _must((tags == der.UTC_TIME) | long, lengths == np.where(long, 15, 13))
    ends = at + 2 + lengths
    _must(octets[ends - 1] == ord("Z"))
    for eight in (words[at + 2], words[ends - 9]):  # twelve or fourteen digits: two words cover them
        _must((eight & _NIBBLES) == _DIGITS, ((eight + _SIXES) & _NIBBLES) == _DIGITS)
    month, day, hour, minute, second = (
        octets[ends - 1 - back].astype(np.int16) * 10 + octets[ends - back] - 528 for back in (10, 8, 6, 4, 2)
    )
    _must(day >= 1, day <= _DAYS[month], hour <= 23, minute <= 59, second <= 59)
    return lengths.astype(np.int64) + 2


def _check_extensions(octets: Octets, words: NDArray[np.uint64], at: Offsets, limits: Offsets) -> None:
    """The crlEntryExtensions at each offset, first all first ones, then all second ones (RFC 5280 §5.3)."""
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


def _check_unknown(octets: Octets, unknown: list[tuple[Offsets, Offsets]]) -> None:
    """That each unknown extension has a name, and none stands twice in an entry: `unknown` has (entry, place of the
    name), round by round.
    """
    entries = np.concatenate([entries for entries, _ in unknown])
    names = np.concatenate([names for _, names in unknown])
    if names.size:
        _check_names(octets, names, names + octets[names - 1])
    several = np.flatnonzero(np.bincount(entries, minlength=1)[entries] > 1)
    if several.size > _MAX_STRANGE * 2:
        raise RevocationUnknown("CRL: more unknown entry extensions than are judged here")
    met = {
        (entry, octets[at - 1 : at + int(octets[at - 1])].tobytes()) for entry, at in _pairs(entries, names, several)
    }
    if len(met) != several.size:
        raise RevocationUnknown("CRL: an entry extension stands twice")


def _check_names(octets: Octets, at: Offsets, ends: Offsets) -> None:
    """That the numbers of each object identifier are whole and in their shortest form (X.690 §8.19.2)."""
    _must(octets[ends - 1] < 0x80)
    padded = np.flatnonzero((octets[1:] == 0x80) & (octets[:-1] < 0x80)) + 1
    _must(np.searchsorted(padded, at) == np.searchsorted(padded, ends))


def _pairs(entries: Offsets, names: Offsets, chosen: Offsets) -> zip[tuple[int, int]]:
    return zip(entries[chosen].tolist(), names[chosen].tolist(), strict=True)
