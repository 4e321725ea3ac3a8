"""The state of many mandates in one signed list, in which nobody sees whose is whose (Token Status List, IETF OAuth).

A mandate has a random place in a list of at least 2^17; two bits say valid, invalid or suspended. A list is published
anew each epoch, and the register logs its hash, so that a state cannot be shown to one officer and hidden from another.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any, Final

from broker.audit.leaf import Happening, Leaf
from broker.errors import InvalidToken
from broker.jose import b64url, b64url_decode, parse_claims, verify_jws

TYP: Final = "statuslist+jwt"
SIZE: Final = 2**17
"""Places of one list: among so many others one mandate cannot be picked out."""
BITS: Final = 2
MAX_BYTES: Final = 2**20
"""Of a list unpacked: what we read of others."""
_BITS: Final = (1, 2, 4, 8)


class Status(IntEnum):
    """Registered states."""

    VALID = 0
    INVALID = 1
    SUSPENDED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusList:
    """States by place. Places that nothing was said of are VALID."""

    bits: int = BITS
    packed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if self.bits not in _BITS or not 0 < len(self.packed) <= MAX_BYTES:
            raise InvalidToken("a status list of no width or length that is read")

    def __len__(self) -> int:
        return len(self.packed) * 8 // self.bits

    def at(self, index: int) -> int:
        """The state at a place; a `Status`, or an application's own number. Raises InvalidToken: no such place."""
        if not 0 <= index < len(self):
            raise InvalidToken("the status list has no such place")
        place, shift = divmod(index * self.bits, 8)
        return self.packed[place] >> shift & (1 << self.bits) - 1

    def to_claim(self) -> dict[str, Any]:
        """The `status_list` claim."""
        return {"bits": self.bits, "lst": b64url(zlib.compress(self.packed, 9))}


def make_list(states: Mapping[int, int], *, size: int = SIZE, bits: int = BITS) -> StatusList:
    """A list with these states at their places. Raises ValueError: a place or state that does not fit."""
    if bits not in _BITS or size * bits % 8:
        raise ValueError("1, 2, 4 or 8 bits, and whole bytes")
    packed = bytearray(size * bits // 8)
    for index, state in states.items():
        if not 0 <= index < size or not 0 <= state < 1 << bits:
            raise ValueError("a place or state outside the list")
        place, shift = divmod(index * bits, 8)
        packed[place] |= state << shift
    return StatusList(bits=bits, packed=bytes(packed))


def read_claim(claim: object) -> StatusList:
    """The `status_list` claim, unpacked within bounds. Raises InvalidToken."""
    if not isinstance(claim, dict) or type(claim.get("bits")) is not int or not isinstance(claim.get("lst"), str):
        raise InvalidToken("no status list")
    unpacker = zlib.decompressobj()
    try:
        packed = unpacker.decompress(b64url_decode(claim["lst"]), MAX_BYTES + 1)
    except zlib.error as broken:
        raise InvalidToken("a status list that does not unpack") from broken
    if not unpacker.eof or unpacker.unused_data:
        raise InvalidToken("a status list that is too long, or ends early or late")
    return StatusList(bits=claim["bits"], packed=packed)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusToken:
    """A list that its publisher signed."""

    uri: str
    issued_at: datetime
    expires_at: datetime | None
    list: StatusList

    def is_fresh(self, *, now: datetime, max_age: timedelta) -> bool:
        """May its word be taken at `now`? Too old, run out and not yet issued are "cannot tell"."""
        return self.issued_at <= now <= self.issued_at + max_age and (self.expires_at is None or now < self.expires_at)


def claims_of(states: StatusList, *, uri: str, now: datetime, ttl: timedelta, lifetime: timedelta) -> dict[str, Any]:
    """What is signed as a `statuslist+jwt`; `uri` is where it is published and what records name."""
    issued = int(now.timestamp())
    return {
        "sub": uri,
        "iat": issued,
        "exp": issued + int(lifetime.total_seconds()),
        "ttl": int(ttl.total_seconds()),
        "status_list": states.to_claim(),
    }


def read_token(token: str | bytes, *, jwks: Mapping[str, Any], uri: str) -> StatusToken:
    """A status list token of the publisher whose keys these are, of this list. Its age is the caller's to judge.

    Raises InvalidToken.
    """
    claims = parse_claims(verify_jws(token, jwks=jwks, algorithms=("ES256", "EdDSA"), typ=TYP))
    if claims.get("sub") != uri or "iat" not in claims:
        raise InvalidToken("the status list is another one, or of no time")
    expires = claims.get("exp")
    return StatusToken(
        uri=uri,
        issued_at=datetime.fromtimestamp(claims["iat"], UTC),
        expires_at=None if expires is None else datetime.fromtimestamp(expires, UTC),
        list=read_claim(claims.get("status_list")),
    )


def random_place(entropy: Callable[[int], bytes], *, size: int = SIZE) -> int:
    """A place for a new mandate, every one as likely; that it is free is the store's promise.

    Raises ValueError where the size is no power of two up to 2^24.
    """
    if size & (size - 1) or not 0 < size <= 2**24:
        raise ValueError("the size of a list is a power of two")
    return int.from_bytes(entropy(3), "big") & (size - 1)


def epoch_leaf(token: bytes, *, at: datetime, prev: int | None) -> Leaf:
    """What the register logs of an epoch: the hash of the signed list, which is public, after the epoch before it."""
    return Leaf(event=Happening.STATUS_EPOCH, commit=hashlib.sha256(token).digest(), at=at, prev=prev)
