"""What the register says of a mandate: that something happened, when, and a commitment to what (delegation, 4.1).

No person, business, number or pseudonym stands in a leaf. Whoever holds the salt and the documents can show that the
leaf is theirs; once the salt is destroyed nobody can, and the log is whole all the same.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from broker.errors import CheckpointInvalid

SALT_SIZE: Final = 32
_FORM: Final = re.compile(
    rb'\{"v":1,"event":"([a-z-]{1,20})","commit":"([0-9a-f]{64})",'
    rb'"prev":(null|0|[1-9][0-9]{0,18}),"t":([1-9][0-9]{0,11})\}\Z'
)


class Happening(StrEnum):
    """What is logged."""

    ISSUE = "issue"
    ACCEPT = "accept"
    REVOKE = "revoke"
    SUSPEND = "suspend"
    RESUME = "resume"
    SUPERSEDE = "supersede"
    STATUS_EPOCH = "status-epoch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One entry of the register."""

    event: Happening
    commit: bytes
    """SHA-256, by `commitment`; of a status epoch, of the status list itself, which is public."""
    at: datetime
    """When it was logged, to the second."""
    prev: int | None = None
    """The entry before it of the same story, where anybody may know the story: one status epoch after another. What
    happens to a mandate names its predecessor inside the commitment, so that nobody can join two entries.
    """

    def __post_init__(self) -> None:
        if len(self.commit) != 32 or not 0 < int(self.at.timestamp()) < 10**12 or not 0 <= (self.prev or 0) < 2**63:
            raise CheckpointInvalid("a leaf's commitment, time or predecessor is none")

    def to_bytes(self) -> bytes:
        """The entry: ASCII JSON in this order of members, without spaces."""
        prev = "null" if self.prev is None else str(self.prev)
        return (
            f'{{"v":1,"event":"{self.event.value}","commit":"{self.commit.hex()}",'
            f'"prev":{prev},"t":{int(self.at.timestamp())}}}'
        ).encode("ascii")


def read_leaf(entry: bytes) -> Leaf:
    """An entry of the register, in its one spelling. Raises CheckpointInvalid."""
    found = _FORM.match(entry) if type(entry) is bytes else None
    if found is None or found[1].decode("ascii") not in set(Happening):
        raise CheckpointInvalid("not an entry of a register of mandates")
    prev = None if found[3] == b"null" else int(found[3])
    try:
        at = datetime.fromtimestamp(int(found[4]), UTC)
    except (ValueError, OverflowError) as broken:
        raise CheckpointInvalid("an entry of a time that there is not") from broken
    return Leaf(
        event=Happening(found[1].decode("ascii")), commit=bytes.fromhex(found[2].decode("ascii")), prev=prev, at=at
    )


def commitment(salt: bytes, *documents: bytes) -> bytes:
    """SHA-256 over the salt and the SHA-256 of each document, in order. Raises ValueError for a salt of another size.

    Of an issued mandate: the record's bytes, then those of the unsigned PDF (design 4.15).
    """
    if len(salt) != SALT_SIZE or not documents:
        raise ValueError(f"a commitment takes a salt of {SALT_SIZE} bytes and at least one document")
    return hashlib.sha256(salt + b"".join(hashlib.sha256(each).digest() for each in documents)).digest()
