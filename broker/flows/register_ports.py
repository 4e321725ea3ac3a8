"""What the register of mandates needs from the outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from broker.audit.merkle import Growth
from broker.audit.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHead:
    """Where a log stands: what the next entry is added to."""

    id: int
    """The store's own number of the log."""
    origin: str
    size: int
    peaks: tuple[bytes, ...] = field(repr=False)
    note: bytes = field(repr=False)
    """The checkpoint of this size, signed; empty before the first entry. It leaves the house as `Published` only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A checkpoint that the policy's quorum has cosigned, or that a policy without a quorum lets out."""

    size: int
    note: bytes = field(repr=False)
    published_at: datetime


class RegisterStore(Protocol):
    """One appender at a time, and nothing of an entry without its tree and its signed head."""

    def lock(self, origin: str) -> LogHead:
        """The head, which nobody else moves before this unit of work ends; a new log begins empty."""

    def extend(self, head: LogHead, entries: Sequence[bytes], growth: Growth, note: bytes) -> None:
        """Add the entries, the new whole nodes (every eighth level), and put the head forward.

        `growth` and `note` are made from this `head`. Raises StoreUnavailable where the head is another one by now.
        """

    def publish(self, origin: str, size: int, note: bytes, *, now: datetime) -> None:
        """Let a checkpoint out, or put one with more cosignatures in the place of the one of its size."""


class RegisterTree(Protocol):
    """A log as it stands, for reading. An unknown origin has nothing."""

    def head(self, origin: str) -> LogHead | None: ...

    def entries(self, origin: str, first: int, count: int) -> tuple[bytes, ...]: ...

    def hashes(self, origin: str, level: int, first: int, count: int) -> tuple[bytes, ...]:
        """Of a level of tiles (0: the leaves), in their order; fewer where the level ends."""

    def published(self, origin: str, sizes: range | None = None) -> Published | None:
        """The newest that left the house, of these sizes where they are given."""

    def origins(self) -> tuple[str, ...]:
        """Every log, the oldest first."""


class Witnesses(Protocol):
    def add_checkpoint(self, url: str, body: bytes) -> str | int:
        """Hand in a checkpoint (tlog-witness): the cosignature lines, or the size that this witness saw last (409).

        Raises OutboundRefused, OutboundFailed: it did not answer, or refused.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """What the operator decided about the register."""

    policy: Policy
    """Whose cosignatures make an entry witnessed, with the addresses of those witnesses."""
    witnesses: Witnesses
