"""What ends when a person takes back what they gave: grants with all that came of them, sessions, and word to the RPs.

Ending needs no card (R2): a session, a recovery code, or the desk. It takes effect where it commits: the RP's next
request with a token of it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from broker.accounts.activity import Activity, How, Kind
from broker.accounts.link import Ending
from broker.audit.entry import Entry, Event
from broker.flows import links
from broker.flows.backchannel_logout import deliver, queue_message
from broker.flows.logout_ports import LogoutDelivery
from broker.flows.my_page import MY_PAGE, OWN, settle_own_client
from broker.flows.ports import Ports, Transaction
from broker.ids import AccountID, ClientID, SessionID, Subject
from broker.oidc.consent import Consent

AT_ONCE: Final = 3
"""Clients told before the person's page comes back, at 3 s each if they do not answer; a job tells the rest."""


@dataclass(slots=True, kw_only=True)
class Ended:
    """How much ended, and who is still to be told of it."""

    grants: int = 0
    sessions: int = 0
    services: set[ClientID] = field(default_factory=set)
    deliveries: list[LogoutDelivery] = field(default_factory=list)

    def tell(self, *, ports: Ports) -> None:
        """Bring the messages that were kept for this moment; after the commit."""
        for delivery in self.deliveries:
            deliver(delivery, ports=ports)


def end_access(
    tx: Transaction,
    account: AccountID,
    client_id: ClientID | None,
    *,
    event: Event,
    keep: bytes | None = None,
    now: datetime,
    ports: Ports,
) -> Ended:
    """End what the account has at one client, or at all of them (None); the session with digest `keep` stays.

    Codes, access and refresh tokens hang on the grants and end with them.
    """
    ended = Ended()
    told: dict[tuple[ClientID, SessionID | None], Subject] = {}
    for session in tx.sessions.of(account):
        if client_id not in {None, session.client_id} or session.digest == keep:
            continue
        if tx.sessions.end(session.digest, now=now):
            ended.sessions += 1
            if session.client_id not in OWN:
                ended.services.add(session.client_id)
                told[session.client_id, session.session_id] = session.subject
    for grant in tx.grants.of(account, client_id):
        if tx.grants.end(grant.grant_id, now=now):
            ended.grants += 1
            ended.services.add(grant.client_id)
            told[grant.client_id, grant.session_id] = grant.subject
    for (told_client, session_id), subject in told.items():
        at_once = len(ended.deliveries) < AT_ONCE
        delivery = queue_message(
            tx,
            client_id=told_client,
            subject=subject,
            session_id=session_id or SessionID(""),
            now=now,
            at_once=at_once,
            ports=ports,
        )
        if delivery is not None and at_once:
            ended.deliveries.append(delivery)
    tx.audit.append(
        Entry(
            at=now,
            event=event,
            client_id=client_id,
            account=account,
            detail={"grants": ended.grants, "sessions": ended.sessions},
        )
    )
    return ended


def withdraw_consent(
    tx: Transaction, account: AccountID, client_id: ClientID, *, how: How, now: datetime, ports: Ports
) -> tuple[Consent, Ended] | None:
    """Take back what was agreed to; None, and nothing changed, where nothing is in force."""
    consent = tx.consents.withdraw(account, client_id, now=now)
    if consent is None:
        return None
    ended = end_access(tx, account, client_id, event=Event.CONSENT_WITHDRAWN, now=now, ports=ports)
    links.end_all(tx, account, client_id=client_id, because=Ending.CONSENT_WITHDRAWN, now=now)
    tx.activities.note(
        Activity(
            account=account,
            client_id=client_id,
            kind=Kind.WITHDRAWAL,
            how=how,
            items=tuple(sorted(consent.scope)),
            at=now,
        )
    )
    return consent, ended


def stop_account(
    tx: Transaction, account: AccountID, *, how: How, reference: str | None = None, now: datetime, ports: Ports
) -> Ended | None:
    """Nothing more is issued for the account, and what was issued ends. None where it was not open."""
    if not tx.standings.stop(account, now=now):
        return None
    ended = end_access(tx, account, None, event=Event.ACCOUNT_STOPPED, now=now, ports=ports)
    _note(tx, account, how, now=now, items=("stopped",), reference=reference, ports=ports)
    return ended


def reopen_account(tx: Transaction, account: AccountID, *, how: How, now: datetime, ports: Ports) -> bool:
    """It may log in again; what had ended stays ended. False where it was not stopped."""
    if not tx.standings.reopen(account):
        return False
    tx.audit.append(Entry(at=now, event=Event.ACCOUNT_REOPENED, account=account))
    _note(tx, account, how, now=now, items=("reopened",), reference=None, ports=ports)
    return True


def _note(
    tx: Transaction,
    account: AccountID,
    how: How,
    *,
    now: datetime,
    items: tuple[str, ...],
    reference: str | None,
    ports: Ports,
) -> None:
    settle_own_client(tx, now=now, ports=ports)
    tx.activities.note(
        Activity(
            account=account,
            client_id=MY_PAGE,
            kind=Kind.ACCOUNT if reference is None else Kind.RECOVERY,
            how=how,
            items=items,
            at=now,
        )
    )
