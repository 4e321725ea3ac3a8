"""A login session: one card, one client, minted at each login (R1, design 4.10)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from broker.ids import AccountID, ClientID, CredentialID, KioskID, SessionID, Subject

IDLE = timedelta(minutes=15)
LIFETIME = timedelta(hours=12)
KIOSK_IDLE = timedelta(seconds=60)
KIOSK_LIFETIME = timedelta(minutes=5)
"""At a terminal that everybody uses (R4)."""


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
    kiosk_id: KioskID | None = None
    """The terminal that everybody uses at which it began; None at a person's own."""

    @property
    def ends_at(self) -> datetime:
        """When it is over, however much it is used."""
        return self.authenticated_at + (LIFETIME if self.kiosk_id is None else KIOSK_LIFETIME)


def alive(session: Session, *, now: datetime) -> bool:
    """Idle at most 15 minutes, 12 hours at most (NIST SP 800-63B-4 AAL3); at a kiosk 60 seconds and 5 minutes (R4)."""
    return now < session.last_used_at + (IDLE if session.kiosk_id is None else KIOSK_IDLE) and now < session.ends_at


def serves(session: Session, client_id: ClientID, *, max_age: int | None, now: datetime) -> bool:
    """May this session answer `prompt=none` for this client? (OIDC Core §3.1.2.1) At a kiosk none ever does (R4)."""
    if (
        session.kiosk_id is not None
        or session.superseded
        or not alive(session, now=now)
        or session.client_id != client_id
    ):
        return False
    return max_age is None or now - session.authenticated_at <= timedelta(seconds=max_age)
