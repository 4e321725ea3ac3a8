"""Hands checkpoints to witnesses (C2SP tlog-witness), through the one gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from broker.audit.note import decimal
from broker.errors import CheckpointInvalid, OutboundFailed
from broker.network.outbound import OutboundGuard

_MAX_ANSWER: Final = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedWitnesses:
    """Fulfils flows.register_ports.Witnesses."""

    guard: OutboundGuard

    def add_checkpoint(self, url: str, body: bytes) -> str | int:
        """The lines of a 200, or the size of a 409. Raises OutboundRefused, OutboundFailed."""
        answer = self.guard.post(
            f"{url.rstrip('/')}/add-checkpoint", body, media_type="text/plain", limit=_MAX_ANSWER, accepted=(200, 409)
        )
        try:
            text = answer.decode("utf-8")
            return decimal(text.removesuffix("\n")) if text[:1].isdigit() else text  # no signature line begins so
        except (UnicodeDecodeError, CheckpointInvalid) as broken:
            raise OutboundFailed("the witness answered with neither lines nor a size") from broken
