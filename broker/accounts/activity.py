"""One use of an account as the person it belongs to sees it (R18): when, which service, what, how, with what result."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from broker.ids import AccountID, ClientID, GrantID, SessionID


class Kind(StrEnum):
    """What was done."""

    LOGIN = "login"
    CONSENT = "consent"
    WITHDRAWAL = "withdrawal"
    RESTORED = "restored"
    """A withdrawal was undone with the card."""
    REFRESH = "refresh"
    """The service came for new tokens while nobody was there."""
    READING = "reading"
    """The service fetched information."""
    ATTRIBUTES = "attributes"
    """The person changed what they have registered."""
    LINK = "link"
    PROOF = "proof"
    SIGNATURE = "signature"
    RECOVERY = "recovery"
    """Recovery codes were made, or one was used."""
    ACCOUNT = "account"
    """The account was stopped, opened again, deleted, or begun anew."""


class How(StrEnum):
    """By what it was done."""

    CARD = "card"
    PHONE = "phone"
    SESSION = "session"
    """A login before it in the same browser."""
    ELSEWHERE = "elsewhere"
    """With the card, for another device."""
    SERVICE = "service"
    """By the service itself, on what was agreed to."""
    CODE = "code"
    DESK = "desk"


class Result(StrEnum):
    """What came of it."""

    DONE = "done"
    REFUSED = "refused"
    DECLINED = "declined"
    """The person said no."""
    ENDED = "ended"
    """It holds no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """One row. `items` names what was given, never a value; many of one kind and day share a row where `repeats` says
    by what, and then `count` tells how many they were until `last_at`.
    """

    account: AccountID = field(repr=False)
    client_id: ClientID
    kind: Kind
    how: How
    result: Result = Result.DONE
    items: tuple[str, ...] = ()
    at: datetime
    session_id: SessionID | None = None
    grant_id: GrantID | None = None
    repeats: str | None = None
    number: int = 0
    """The store's; 0 before it is kept."""
    count: int = 1
    last_at: datetime | None = None
    reported_at: datetime | None = None


def how_of(kind: str) -> How:
    """By what a certificate of this kind (`TrustedCertificate.kind`) signs."""
    return How.CARD if kind in {"plastic", "hpki"} else How.PHONE


def daily(kind: Kind, grant_id: GrantID, at: datetime) -> str:
    """Uses of one grant on one day (UTC) share a row."""
    return f"{kind}:{grant_id}:{at:%Y%m%d}"
