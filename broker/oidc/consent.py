"""Must this resident be asked before this client learns anything? (OIDC Core §3.1.2.4)"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from broker.ids import ClientID


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What a resident allowed a client to receive, until withdrawn."""

    client_id: ClientID
    scope: frozenset[str]
    granted_at: datetime


def needed(consent: Consent | None, *, scope: frozenset[str], prompt: frozenset[str]) -> bool:
    """Yes for the first time, for anything more than was allowed, and whenever the client asks for it."""
    return consent is None or not scope <= consent.scope or "consent" in prompt
