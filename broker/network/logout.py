"""Logout tokens to clients, through the one gate to other machines (flows.logout_ports.LogoutReceivers)."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from broker.network.outbound import OutboundGuard

_LIMIT: Final = 4096
"""Octets of an answer that nobody reads."""


class GuardedLogouts:
    """Fulfils LogoutReceivers."""

    __slots__ = ("_guard",)

    def __init__(self, guard: OutboundGuard) -> None:
        self._guard = guard

    def post(self, url: str, logout_token: str) -> None:
        self._guard.post(
            url,
            urlencode({"logout_token": logout_token}).encode(),
            media_type="application/x-www-form-urlencoded",
            limit=_LIMIT,
            accepted=(200, 204),  # Back-Channel §2.8: 204 is what some frameworks make of an empty 200
        )
