"""A login session: one card, one client, minted at each login (R1, design 4.10)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from broker.ids import AccountID, ClientID, CredentialID, SessionID, Subject

IDLE = timedelta(minutes=15)
LIFETIME = timedelta(hours=12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Found by the SHA-256 of its cookie. It never serves another client: there is no SSO across clients."""

    digest: bytes = field(repr=False)
    session_id: SessionID
    account: AccountID = field(repr=False)
    credential: CredentialID = field(repr=False)
    client_id: ClientID
    subject: Subject = field(repr=False)
    authenticated_at: datetime
    last_used_at: datetime
    superseded: bool = False
    """The same person has logged in anew in the same browser: it answers nobody, and what it began may be finished."""


def alive(session: Session, *, now: datetime) -> bool:
    """Idle at most 15 minutes, 12 hours at most (NIST SP 800-63B-4 AAL3)."""
    return now < session.last_used_at + IDLE and now < session.authenticated_at + LIFETIME


def serves(session: Session, client_id: ClientID, *, max_age: int | None, now: datetime) -> bool:
    """May this session answer `prompt=none` for this client? (OIDC Core §3.1.2.1)"""
    if session.superseded or not alive(session, now=now) or session.client_id != client_id:
        return False
    return max_age is None or now - session.authenticated_at <= timedelta(seconds=max_age)
