"""CIBA notifications to clients, through the one gate to other machines (approval_ports.ClientPings)."""

from __future__ import annotations

import json
from typing import Final

from broker.network.outbound import OutboundGuard

_LIMIT: Final = 4096
"""Octets of an answer that nobody reads."""


class GuardedPings:
    """Fulfils ClientPings."""

    __slots__ = ("_guard",)

    def __init__(self, guard: OutboundGuard) -> None:
        self._guard = guard

    def ping(self, url: str, *, auth_req_id: str, token: str) -> None:
        self._guard.post(
            url,
            json.dumps({"auth_req_id": auth_req_id}).encode(),
            media_type="application/json",
            bearer=token,
            limit=_LIMIT,
            accepted=(200, 204),
        )
