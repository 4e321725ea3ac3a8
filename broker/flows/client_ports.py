"""What is kept about clients: who they are, who may register as what, and which sectors are shared."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from broker.ids import ClientID, SectorID
from broker.oidc.client import Client, SecurityProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialAccess:
    """An initial access token (RFC 7591 §3): who holds it may register `uses_left` clients of this profile."""

    digest: bytes = field(repr=False)
    """SHA-256 of the token."""
    profile: SecurityProfile
    vetted: bool
    """Whether the operator answers for the names of those who come with it."""
    uses_left: int
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedClient:
    """A client that manages its own registration (RFC 7592)."""

    client: Client
    issued_at: datetime
    """`client_id_issued_at`."""


class ClientStore(Protocol):
    def get(self, client_id: ClientID) -> Client | None:
        """None when unknown or removed."""

    def add(self, client: Client, *, now: datetime, manager: bytes | None = None) -> bool:
        """False, and nothing changed, when the client id is taken, now or ever. `manager` is the SHA-256 of the
        registration access token; without one the operator alone changes it.
        """

    def all(self) -> tuple[Client, ...]: ...

    def change(self, client: Client, *, now: datetime) -> bool:
        """On the operator's word; its sector stays what it was. False when unknown or removed."""

    def remove(self, client_id: ClientID, *, now: datetime) -> bool:
        """End the client with its access tokens, sessions and open logins; nobody can authenticate as it any more.

        False when unknown or removed before. The id is never given out again. Its grants follow by `end_grants`.
        """

    def end_grants(self, client_id: ClientID, *, after: str, now: datetime) -> str | None:
        """End those of its grants that lie among the next some thousand of all grants after `after` ("" at first).

        Answers where to go on, in another unit of work so that nobody waits long; None at the end.
        """


class ManagedClientStore(Protocol):
    """Clients by their registration access token, whose SHA-256 `manager` is."""

    def get(self, client_id: ClientID, *, manager: bytes) -> ManagedClient | None:
        """None for every other token, and for a client that was removed."""

    def change(self, client: Client, *, manager: bytes, fresh: bytes, now: datetime) -> bool:
        """Replace the client's members and its token in one statement: of two callers with one token, one gets False.

        Its sector stays what it was.
        """


class InitialAccessStore(Protocol):
    def open(self, access: InitialAccess) -> None: ...

    def get(self, digest: bytes, *, now: datetime) -> InitialAccess | None:
        """None when unknown, used up or run out."""

    def use(self, digest: bytes, *, now: datetime) -> bool:
        """Take one use, in one statement; False when there was none."""


class SectorStore(Protocol):
    """Which sector a sector_identifier_uri stands for (design 4.9); never changes once approved."""

    def get(self, uri: str) -> SectorID | None: ...

    def approve(self, uri: str, *, fresh: SectorID, now: datetime) -> SectorID:
        """The sector of `uri`: `fresh` the first time, later the one it got then."""
