"""A revocation list of any size as a sorted file: made in one pass, shared by all processes, asked in a microsecond.

The file has, in this order: the entries as the list has them (serial number and detail, `scan`), the sorted hashes of
their serial numbers with the place of the entry each leads to, a table of where each value of the hashes' first bits
begins, the heading, a trailer. Nobody reads it before all of it is there and the list's signature held. An answer
compares whole serial numbers: none ever stands for another.
"""

from __future__ import annotations

import json
import struct
import zlib
from base64 import b64decode, b64encode
from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, BinaryIO, Final

import numpy as np

from broker.errors import BrokerError, RevocationUnknown
from broker.jpki import crl as crl_
from broker.jpki import der, scan, walk
from broker.jpki.algorithms import PRODUCTION, Algorithms
from broker.jpki.certificate import issuer_key_hash, parse
from broker.jpki.issuer import check_digest, check_issued, read_issuer
from broker.jpki.moments import Words
from broker.jpki.verdict import RevocationStatus, RevocationVerdict

MAGIC: Final = b"JPKIREV2"
CLOCK_DIFFERENCE: Final = timedelta(minutes=5)
"""A list from further in the future would lock out every honest one after it."""
ORDINARY_CHANGE: Final = 10_000
"""So many entries more or fewer are never suspicious; beyond it, twice or half as many as before are."""

MAX_ENTRIES: Final = (1 << 32) - 1
"""A place among them is a number of four octets."""

_TRAILER: Final = struct.Struct("<8sQQQQ")  # magic, where the heading begins, CRC-32 of it, sum and xor of all words
_WORD: Final = 8
_NUMBER: Final = 4
_BLOCK: Final = 128 * 1024
_SHARE: Final = 4
"""At least so many sorted hashes share their first bits on average: few enough to lie in one or two cache lines."""
_MASK: Final = (1 << 64) - 1
_EXTENSIONS: Final = 0xA0
_SCOPE: Final = bytes.fromhex("551d1c")  # 2.5.29.28, issuingDistributionPoint
_DELTA_INDICATOR: Final = bytes.fromhex("551d1b")  # 2.5.29.27


class ListRefused(ValueError):
    """What came is not a list that may stand in the place of the one in force. Never reaches a person."""


class IndexDamaged(ValueError):
    """The file is not the one that was written. Never reaches a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What a list says of itself. `digest` (hex) is the hash of what was signed; `base` is None but for a delta list.

    `scope` (hex) is the issuingDistributionPoint as it stood, empty where the list has none; `width` is in words of
    eight octets, `bits` how many lower bits of a sorted word name the entry.
    """

    issuer_key_hash: str
    number: int | None
    base: int | None
    this_update: datetime
    next_update: datetime | None
    count: int
    digest: str
    scope: str
    width: int
    bits: int
    head: bytes = field(repr=False)

    def document(self) -> dict[str, Any]:
        """As `broker crl show --json` prints it."""
        return {
            "issuer_key_hash": self.issuer_key_hash,
            "number": self.number,
            "base": self.base,
            "this_update": self.this_update.isoformat(),
            "next_update": None if self.next_update is None else self.next_update.isoformat(),
            "count": self.count,
            "digest": self.digest,
            "scope": self.scope,
        }


# --- writing ---------------------------------------------------------------------------------------------------------


def write_index(source: scan.Source, out: BinaryIO, *, issuer: bytes, algorithms: Algorithms = PRODUCTION) -> Heading:
    """Turn the DER list `source` into an index on `out`, which may be used once this has returned.

    `issuer` is a certificate (DER) of the CA, which the caller trusts; its key must have signed the list.
    Raises ListRefused; OSError where `out` cannot take it.
    """
    sums = _Sums()

    def begin(_: int) -> walk.Sink:
        sums.sum, sums.xor = 0, 0
        out.seek(0)
        out.truncate()

        def sink(records: Words) -> None:
            sums.add(records)
            out.write(records.data.cast("B"))

        return sink

    try:
        scanned = scan.scan(source, begin)
        heading = _heading(scanned, issuer, algorithms)
    except (OSError, MemoryError):  # the machine's fault, not the list's
        raise
    except Exception as wrong:  # as in check_index: what cannot be read is no list
        raise ListRefused(str(wrong) if isinstance(wrong, BrokerError) else "CRL: cannot be read") from wrong
    scanned.places.sort()
    for words in (scanned.places, _begins(scanned.places)):
        sums.add(words)
        out.write(words.data.cast("B"))
    where = out.tell()
    text = _dump(heading)
    out.write(text)
    out.write(_TRAILER.pack(MAGIC, where, zlib.crc32(text), sums.sum, sums.xor))
    return heading


def _first_bits(count: int) -> int:
    """How many of a hash's first bits the table of a file of `count` entries tells apart."""
    return max(0, (count // _SHARE).bit_length() - 1)


def _table_size(count: int) -> int:
    """Its numbers: where each value of the first bits begins, the end of the last, and zero where a word needs one."""
    return (1 << _first_bits(count)) + 2 & ~1


def _begins(places: Words) -> Words:
    """The table for the sorted `places`: numbers of four octets, in words."""
    numbers = np.zeros(_table_size(len(places)), np.uint32)
    bits = _first_bits(len(places))
    for begin in range(0, len(places), _BLOCK):  # the arrays made for a block stay small
        firsts = (places[begin : begin + _BLOCK] >> np.uint64(64 - bits)).view(np.int64)
        least = int(firsts[0])
        counts = np.bincount(firsts - least).astype(np.uint32)
        numbers[least + 1 : least + 1 + len(counts)] += counts
    known = numbers[: (1 << bits) + 1]
    np.cumsum(known, dtype=np.uint32, out=known)
    return numbers.view(np.uint64)


def _heading(scanned: scan.Scanned, issuer: bytes, algorithms: Algorithms) -> Heading:
    authority = read_issuer(issuer)
    if not authority.may_sign_crls:
        raise RevocationUnknown("issuer may not sign CRLs")
    signed = scanned.head
    check_digest(
        authority.key,
        scanned.digest,
        signed.signature,
        algorithm=signed.algorithm,
        algorithms=algorithms,
        what="CRL",
    )
    head, base, scope = signed.body.data, None, b""
    extensions = _extensions(signed)
    for each in extensions:
        name, *_, value = each.children()
        if name.value == _SCOPE:
            scope = value.value
        elif name.value == _DELTA_INDICATOR:
            base = int.from_bytes(der.whole(value.value, der.INTEGER).value, "big")
            head = _without(each, extensions, signed)
    listed = crl_.read_list(signed if base is None else der.signed(head), authority)
    if scanned.count > MAX_ENTRIES:
        raise ListRefused(f"more than {MAX_ENTRIES} entries")
    return Heading(
        issuer_key_hash=issuer_key_hash(issuer).hex(),
        number=listed.number,
        base=base,
        this_update=listed.this_update,
        next_update=listed.next_update,
        count=scanned.count,
        digest=scanned.digest.hex(),
        scope=scope.hex(),
        width=scanned.width,
        bits=scanned.bits,
        head=head,
    )


def _extensions(signed: der.Signed) -> list[der.Element]:
    last = signed.parts[-1]
    return list(next(last.children()).children()) if last.tag == _EXTENSIONS else []


def _without(indicator: der.Element, extensions: list[der.Element], signed: der.Signed) -> bytes:
    """A delta list's head as a complete one's, so that one set of rules judges both (RFC 5280 §5.2.4)."""
    kept = [each.raw for each in extensions if each is not indicator]
    *parts, _ = signed.parts
    body = der.write(
        der.SEQUENCE,
        *(part.raw for part in parts),
        der.write(_EXTENSIONS, der.write(der.SEQUENCE, *kept)),
    )
    return der.write(der.SEQUENCE, body, signed.body.data[signed.body.end :])


class _Sums:
    """What every word of the file adds up to."""

    def __init__(self) -> None:
        self.sum, self.xor = 0, 0

    def add(self, words: Words) -> None:
        self.sum = (self.sum + int(np.add.reduce(words, axis=None))) & _MASK
        self.xor ^= int(np.bitwise_xor.reduce(words, axis=None))


def _dump(heading: Heading) -> bytes:
    members: dict[str, Any] = {name: getattr(heading, name) for name in Heading.__slots__}
    members["head"] = b64encode(heading.head).decode()
    for name in ("this_update", "next_update"):
        members[name] = None if members[name] is None else int(members[name].timestamp())
    return json.dumps(members).encode()


def _load(text: bytes) -> Heading:
    members = json.loads(text)
    members["head"] = b64decode(members["head"], validate=True)
    for name in ("this_update", "next_update"):
        members[name] = None if members[name] is None else datetime.fromtimestamp(members[name], UTC)
    return Heading(**members)


# --- reading ---------------------------------------------------------------------------------------------------------


def check_octets(source: scan.Source) -> None:
    """Raises IndexDamaged unless every octet of the index that `source` holds is as it was written.

    It is read, not mapped: what is only looked at once should not stay in the memory of every process.
    """
    try:
        trailer = memoryview(bytearray(_TRAILER.size))
        source.read_into(source.size - _TRAILER.size, trailer)
        _, where, _, total, xor = _TRAILER.unpack(trailer)
        sums, block = _Sums(), np.empty(_BLOCK, np.uint64)
        for begin in range(0, where, _BLOCK * _WORD):
            words = block[: (min(where - begin, _BLOCK * _WORD)) // _WORD]
            source.read_into(begin, words.data.cast("B"))
            sums.add(words)
    except (EOFError, OSError, ValueError) as broken:
        raise IndexDamaged("not a whole index") from broken
    if (sums.sum, sums.xor) != (total, xor):
        raise IndexDamaged("octets have changed")


class Index:
    """One index file in memory, most likely mapped. Threads may share it."""

    __slots__ = ("_above", "_begins", "_below", "_places", "_records", "_row", "_shift", "_width", "heading")

    def __init__(self, data: memoryview) -> None:
        """`data` is what `write_index` wrote and `check_octets` has let pass. Raises IndexDamaged."""
        try:
            magic, where, check, _, _ = _TRAILER.unpack(data[-_TRAILER.size :])
            text = bytes(data[where : len(data) - _TRAILER.size])
            if magic != MAGIC or zlib.crc32(text) != check:
                raise IndexDamaged("not a whole index")
            self.heading = _load(text)
            count, self._width, bits = self.heading.count, self.heading.width, self.heading.bits
            self._row = self._width + 1
            middle = count * self._row * _WORD
            after = middle + count * _WORD
            if where != after + _table_size(count) * _NUMBER:
                raise IndexDamaged("the sizes do not agree")
        except (struct.error, ValueError, TypeError, KeyError) as broken:
            raise IndexDamaged("not a whole index") from broken
        self._records = data[:middle].cast("Q")
        self._places = data[middle:after].cast("Q")
        self._begins = data[after:where].cast("I")
        self._shift = 64 - _first_bits(count)
        self._below = (1 << bits) - 1
        self._above = _MASK ^ self._below

    def __len__(self) -> int:
        return self.heading.count

    def find(self, serial: int) -> tuple[int, datetime] | None:
        """The first entry for `serial` (positive): its CRLReason and revocation date. Raises ValueError for a date that
        cannot be (30 February)."""
        at = self._find(serial)
        return None if at is None else _detail(self._records[at + self._width])

    def holds(self, serial: int) -> bool:
        """Is there an entry for `serial`?"""
        return self._find(serial) is not None

    def _find(self, serial: int) -> int | None:
        above, begins, places = self._above, self._begins, self._places
        wanted = (serial * 0x9E3779B97F4A7C15 if serial <= _MASK else walk.fold_one(serial)) & above
        first = wanted >> self._shift  # these bits say where it stands among some six; no others share them
        end = begins[first + 1]
        at = bisect_left(places, wanted, begins[first], end)
        while at < end:
            word = places[at]
            if word & above != wanted:
                return None
            row = (word & self._below) * self._row
            if self._serial(row) == serial:
                return row
            at += 1
        return None

    def _serial(self, row: int) -> int:
        records = self._records
        if self._width == walk.NARROW:
            return records[row]
        return records[row] << 128 | records[row + 1] << 64 | records[row + 2]


def _detail(word: int) -> tuple[int, datetime]:
    year, hour, month, minute, day, second = (int(f"{octet:02x}") for octet in word.to_bytes(8, "little")[:6])
    century = int(f"{word >> 48 & 0xFF:02x}") or (19 if year >= 50 else 20)
    return word >> 56, datetime(century * 100 + year, month, day, hour, minute, second, tzinfo=UTC)


# --- judging ---------------------------------------------------------------------------------------------------------


def check_succession(new: Heading, old: Heading | None, *, now: datetime, any_size: bool = False) -> None:
    """May `new` stand in the place of `old`? Raises ListRefused.

    RFC 5280 §5.2.3: numbers of one scope only rise. A list of twice or half as many entries is more likely a lost
    partition or another's list than the truth; an operator who knows better says `any_size`.
    """
    if new.this_update > now + CLOCK_DIFFERENCE:
        raise ListRefused("thisUpdate lies in the future")
    if old is None:
        return
    if new.issuer_key_hash != old.issuer_key_hash:
        return  # the source's CA was changed in the settings: another sequence of lists
    if new.this_update < old.this_update:
        raise ListRefused("thisUpdate went back")
    if old.number is not None and (new.number is None or new.number < old.number):
        raise ListRefused("the CRL number went back")
    if (new.base is None) != (old.base is None):
        raise ListRefused("a delta list is no complete list")
    if new.base is None and new.scope != old.scope:
        raise ListRefused("the list is for another distribution point")
    if new.base is not None or any_size or abs(new.count - old.count) <= ORDINARY_CHANGE:
        return
    if not old.count <= 2 * new.count <= 4 * old.count:
        raise ListRefused(f"entries went from {old.count} to {new.count}")


def check_delta(delta: Heading, base: Heading | None) -> None:
    """May `delta` be read together with `base` (RFC 5280 §5.2.4)? Raises ListRefused."""
    if delta.base is None:
        raise ListRefused("a complete list is no delta list")
    if base is None or base.number is None or delta.number is None:
        raise ListRefused("a delta list needs a numbered list to build on")
    if (delta.issuer_key_hash, delta.scope) != (base.issuer_key_hash, base.scope):
        raise ListRefused("the delta list is for another key or distribution point")
    if not delta.base <= base.number < delta.number:
        raise ListRefused("the delta list does not build on the list in force")


@lru_cache(maxsize=4096)
def _listed(head: bytes, issuer: bytes) -> crl_.List:
    return crl_.read_list(der.signed(head), read_issuer(issuer))


def check_index(
    index: Index,
    *,
    certificate: bytes,
    issuer: bytes,
    at: datetime,
    max_age: timedelta,
    delta: Index | None = None,
    algorithms: Algorithms = PRODUCTION,
) -> RevocationVerdict:
    """What `revocation.check_crl` says of the list that `index` was made of, whatever its size; arguments as there.

    `delta` is a newer delta list's index: its entries come first, removeFromCRL takes one of the complete list's out,
    and the verdict carries its dates. A delta list in the place of `index`, and one that `check_delta` refuses beside
    it, are UNKNOWN.
    """
    if at.tzinfo is None:
        raise ValueError("the time must say its zone")
    try:
        leaf, authority = parse(certificate), read_issuer(issuer)
        if index.heading.issuer_key_hash != issuer_key_hash(issuer).hex():
            raise RevocationUnknown("CRL: another key's")
        if index.heading.base is not None:  # what it does not list is not cleared by it
            raise RevocationUnknown("CRL: a delta list")
        if delta is not None:
            check_delta(delta.heading, index.heading)
        check_issued(leaf, authority, algorithms)

        def find(serial: int) -> tuple[int, datetime] | None:
            newer = None if delta is None else delta.find(serial)
            if newer is None:
                return index.find(serial)
            return None if newer[0] == crl_.REMOVE_FROM_CRL else newer

        newest = index if delta is None else delta
        return crl_.decide(
            _listed(newest.heading.head, issuer), leaf, authority, at=at.astimezone(UTC), max_age=max_age, find=find
        )
    except BrokerError as error:
        return RevocationVerdict(status=RevocationStatus.UNKNOWN, reason=str(error), source="crl")
    except ListRefused as error:
        return RevocationVerdict(status=RevocationStatus.UNKNOWN, reason=f"CRL: {error}", source="crl")
    except Exception as error:  # as in check_crl: what cannot be read tells nothing
        reason = f"CRL: cannot be read ({type(error).__name__})"
        return RevocationVerdict(status=RevocationStatus.UNKNOWN, reason=reason, source="crl")
