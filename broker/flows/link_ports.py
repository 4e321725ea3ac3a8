"""The port of links (官民ID連携); `tests/contracts/test_links.py` holds every engine to it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from broker.accounts.link import Ending, Link, LinkAlarm, LinkRequest, Start
from broker.ids import AccountID, ClientID, LinkID


class LinkStore(Protocol):
    # --- what is asked -----------------------------------------------------------------------------------------------

    def ask(self, request: LinkRequest) -> None: ...

    def asked(self, digest: bytes, *, now: datetime) -> LinkRequest | None:
        """None when unknown, run out or answered."""

    def waits(self, link_id: LinkID, client_id: ClientID, *, now: datetime) -> bool:
        """Whether this client's request of that name still waits for its answer."""

    def start(self, digest: bytes, start: Start, *, now: datetime) -> bool:
        """Keep what the first reading left, in one statement: the first card binds the request, and only the same
        card of the same account may begin anew. False for everybody else, and where it does not wait any more.
        """

    def use(self, digest: bytes, *, now: datetime) -> LinkRequest | None:
        """Mark a waiting one answered, in one statement: of two callers one gets None."""

    def stumbled(self, digest: bytes) -> None:
        """One more refusal on its way (R9)."""

    # --- what is bound -----------------------------------------------------------------------------------------------

    def add(self, link: Link) -> bool:
        """False, and nothing changed, where the person or the number has an active link at the client by now."""

    def get(self, link_id: LinkID) -> Link | None: ...

    def active(self, client_id: ClientID, account: AccountID) -> Link | None: ...

    def earlier(self, client_id: ClientID, account: AccountID) -> Link | None:
        """The person's active link at the client, else one that has ended; None where there never was any."""

    def rival(self, client_id: ClientID, fingerprint: bytes, account: AccountID, *, ended: bool) -> Link | None:
        """Another person's active link to the same number of the client; where `ended`, else one that has ended."""

    def of(self, account: AccountID) -> tuple[Link, ...]:
        """Every link that the person has or had, the newest first."""

    def activate(self, link_id: LinkID, *, now: datetime) -> bool:
        """Make a held one active; False where it is not held, or person or number have an active one."""

    def end(self, link_id: LinkID, *, because: Ending, now: datetime) -> bool:
        """True when it had not ended."""

    def end_all(
        self, account: AccountID, *, client_id: ClientID | None, because: Ending, now: datetime
    ) -> tuple[Link, ...]:
        """End all of a person, or those at one client; which."""

    def forget(self, account: AccountID) -> int:
        """Wipe the sealed numbers of what has ended; the keyed fingerprints stay (one person, one ticket)."""

    def overdue(self, *, before: datetime) -> tuple[Link, ...]:
        """Held ones that were signed for before that instant, a thousand at most."""

    # --- what R6, R8 and R9 want known -------------------------------------------------------------------------------

    def alarm(self, alarm: LinkAlarm) -> None: ...

    def alarms(self, *, closed: bool) -> tuple[LinkAlarm, ...]:
        """The open ones, or all; the newest thousand."""

    def alarms_of(self, link_id: LinkID) -> tuple[LinkAlarm, ...]:
        """The open ones of one link."""

    def close_alarms(self, link_id: LinkID, *, by: str, decision: str, now: datetime) -> int:
        """Close the open ones of a link; how many."""

    def count(self, name: str, *, now: datetime) -> None:
        """One more of it on this day (UTC)."""

    def counts(self, *, day: str) -> Mapping[str, int]:
        """What was counted on a day (YYYY-MM-DD)."""

    def survey(self) -> Mapping[str, int]:
        """How many there are by state, and how many impossible things, zeros included (R8)."""

    def batch(self, *, after: LinkID) -> tuple[Link, ...]:
        """The next thousand active links in the order of their ids."""
