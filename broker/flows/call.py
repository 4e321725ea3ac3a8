"""A program's call as the flows are given it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What one request to an endpoint brought, nothing judged yet."""

    method: str
    url: str
    """The endpoint's own address, from configuration: what DPoP proofs (`htu`) and assertions (`aud`) may name."""
    pairs: tuple[tuple[str, str], ...] = field(repr=False)
    authorization: tuple[str, ...] = field(default=(), repr=False)
    """Authorization headers, as received."""
    dpop: tuple[str, ...] = ()
    """DPoP headers, as received (RFC 9449 §4.1)."""
    certificate: str | None = field(default=None, repr=False)
    """The client certificate of the connection, as the TLS front hands it on (RFC 8705 §6.3)."""
    address: str | None = field(default=None, repr=False)
    """From which network address it came (for IPv6, from which network); None where that is not known."""
