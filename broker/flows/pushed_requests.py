"""The port of pushed authorization requests (RFC 9126)."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from broker.ids import ClientID
from broker.oidc.authorization import AuthorizationRequest


class PushedRequestStore(Protocol):
    """Found by the SHA-256 of their `request_uri`."""

    def push(self, digest: bytes, request: AuthorizationRequest, *, expires_at: datetime) -> None: ...

    def get(self, digest: bytes, client_id: ClientID, *, now: datetime) -> AuthorizationRequest | None:
        """None when unknown, another client's, run out or used. What comes back knows that it was pushed."""

    def use(self, digest: bytes, *, now: datetime) -> bool:
        """Mark it used, in one statement: of two callers one gets True. A login that began in time may end later."""
