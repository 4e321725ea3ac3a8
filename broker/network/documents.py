"""Documents of clients, through the one gate to other machines (flows.documents.ClientDocuments)."""

from __future__ import annotations

from broker.network.outbound import OutboundGuard


class GuardedDocuments:
    """Fulfils ClientDocuments. Keeps nothing: how long a document may be kept is for those to say who know its kind."""

    __slots__ = ("_guard",)

    def __init__(self, guard: OutboundGuard) -> None:
        self._guard = guard

    def fetch(self, url: str, *, limit: int) -> bytes:
        return self._guard.get(url, limit=limit)
