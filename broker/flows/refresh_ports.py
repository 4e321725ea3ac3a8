"""What refreshing needs from the store (flows.ports)."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from broker.oidc.refresh import RefreshToken


class RefreshTokenStore(Protocol):
    def issue(self, token: RefreshToken) -> None: ...

    def get(self, digest: bytes) -> RefreshToken | None:
        """None when unknown. Whether it was used, ran out or ended with its grant is the caller's to judge."""

    def consume(self, digest: bytes, *, now: datetime) -> bool:
        """Mark used, in one statement: of two callers with one token exactly one gets True."""
