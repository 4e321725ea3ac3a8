"""A time-stamp authority, asked over HTTP (RFC 3161 §3.4) through the outbound guard."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from broker.network.outbound import OutboundGuard

MAX_RESPONSE: Final = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampAuthority:
    """Fulfils delegation.sealing.Stamp. `url` is configuration; what an answer proves is judged by who asked."""

    url: str
    guard: OutboundGuard = field(repr=False)

    def __call__(self, request: bytes) -> bytes:
        """The TimeStampResp (DER) to a TimeStampReq. Raises OutboundRefused, OutboundFailed."""
        return self.guard.post(self.url, request, media_type="application/timestamp-query", limit=MAX_RESPONSE)
