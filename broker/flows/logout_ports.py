"""Clients that must be told that a session ended (Back-Channel Logout 1.0): who, how often, and through what."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from broker.ids import ClientID, SessionID, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutDelivery:
    """One client to be told of one ended session. It is open while it has a next try."""

    delivery_id: str
    client_id: ClientID
    subject: Subject = field(repr=False)
    session_id: SessionID
    """Empty: all that the person has at the client."""
    attempts: int
    """How often it was begun, one that is under way included."""
    next_at: datetime | None
    """None once it was delivered or given up."""
    expires_at: datetime
    delivered_at: datetime | None = None
    last_error: str | None = None


class LogoutDeliveryStore(Protocol):
    def queue(self, delivery: LogoutDelivery) -> None: ...

    def take(self, *, now: datetime, until: datetime) -> tuple[LogoutDelivery, ...]:
        """Some that are due, each with an attempt more and its next try set to `until`, in one statement: of two
        hosts one gets each. Who takes one and dies has it tried again after `until`.
        """

    def delivered(self, delivery_id: str, *, now: datetime) -> None: ...

    def failed(self, delivery_id: str, *, error: str, next_at: datetime | None) -> None:
        """Tried in vain; None gives it up."""

    def undelivered(self) -> tuple[LogoutDelivery, ...]:
        """What is still open and what was given up, the newest first; at most a thousand."""


class LogoutReceivers(Protocol):
    def post(self, url: str, logout_token: str) -> None:
        """Bring a logout token to a registered address (Back-Channel §2.5), the form's only field.

        Raises OutboundRefused: an address that is not called (design 4.20); OutboundFailed: neither 200 nor 204 in 3 s.
        """
