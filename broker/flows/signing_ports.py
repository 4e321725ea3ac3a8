"""Sign transactions as they are kept, and the ports that keep them (`tests/contracts/` holds every engine to them)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from broker.ids import ClientID, GrantID, InteractionID, SignTransactionID
from broker.oidc.sign_transaction import State


@dataclass(frozen=True, slots=True, kw_only=True)
class SignTransaction:
    """One order. What the card made of it is in `signed_sealed`, once there is something."""

    sign_transaction_id: SignTransactionID
    client_id: ClientID
    state: State
    created_at: datetime
    expires_at: datetime
    """While it waits the latest moment to sign; afterwards that of the wiping of all of it."""
    signed_at: datetime | None = None
    signed_sealed: bytes | None = field(default=None, repr=False)
    grant_id: GrantID | None = None
    """Of the login in which it was signed."""
    browser_digest: bytes | None = field(default=None, repr=False)
    """SHA-256 of the cookie of the browser in which it was signed."""
    fetched_by: str | None = field(default=None, repr=False)
    """`jti` of the access token that has the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedDocument:
    """One document of an order, at its place in it."""

    position: int
    described_sealed: bytes = field(repr=False)
    content_sealed: bytes | None = field(repr=False)
    """None where the client told a digest alone."""


class SignTransactionStore(Protocol):
    def open(self, transaction: SignTransaction, documents: Collection[SealedDocument]) -> None: ...

    def get(self, sign_transaction_id: SignTransactionID, *, now: datetime) -> SignTransaction | None:
        """None when unknown, cancelled or run out."""

    def of(self, interaction_id: InteractionID, *, now: datetime) -> SignTransaction | None:
        """The one that was signed in this interaction; None where none was, or it has run out."""

    def documents(self, sign_transaction_id: SignTransactionID) -> tuple[SealedDocument, ...]:
        """All of them in their order."""

    def cancel(self, sign_transaction_id: SignTransactionID, *, now: datetime) -> bool:
        """Wipe a waiting one with its documents; False when none waits by that name. One statement decides."""

    def sign(
        self,
        sign_transaction_id: SignTransactionID,
        *,
        signed: bytes,
        grant_id: GrantID,
        interaction_id: InteractionID,
        now: datetime,
        expires_at: datetime,
    ) -> bool:
        """Keep what the card made of a waiting one, in one statement: of two callers one gets True. The browser of the
        interaction may have copies.
        """

    def fetch(self, sign_transaction_id: SignTransactionID, token_id: str, *, now: datetime) -> bool:
        """Give the result of a signed one to this access token, in one statement: the first token that comes has it,
        and may come again; False for every other.
        """


class RawDigestStore(Protocol):
    """Digests that went to a card as a client chose them. None ever leaves."""

    def remember(self, digests: Collection[bytes], *, now: datetime) -> None:
        """Before the request to the agent is made."""

    def any_of(self, digests: Collection[bytes]) -> bool:
        """Whether one of these did."""
