"""The end of an account, and its beginning anew (design 4.13).

What was known of the person goes at once. What stays is the tombstone: the keyed fingerprints of the certificates and
the pseudonyms, so that the same card has the same pseudonyms again and one person never counts as two; and the audit
record, for the legal term.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from broker.accounts.account import State
from broker.accounts.activity import Activity, How, Kind
from broker.audit.entry import Entry, Event
from broker.errors import AccountUnknown
from broker.flows import links, mandate_ends
from broker.flows.ending import Ended, end_access
from broker.flows.my_page import MY_PAGE, Visit, settle_own_client
from broker.flows.ports import Ports, Transaction
from broker.ids import AccountID, CredentialID

MANDATES_AT_ONCE: Final = 100
"""What one unit of work ends of an account's mandates, so that none holds the database for long."""


def delete(visit: Visit, *, at_once: int = MANDATES_AT_ONCE, ports: Ports) -> Ended:
    """Delete the account of this visit with all that it gave. Raises AccountUnknown: it is not open any more.

    Of more mandates than are ended `at_once` the first end in units of work of their own. Should it break off there,
    the account stands, and the person deletes it again.
    """
    now = visit.now
    while _end_mandates(visit, at_once, ports=ports):
        pass
    with ports.store.transaction() as tx:
        ended = end_access(tx, visit.account, None, event=Event.SESSIONS_ENDED, now=now, ports=ports)
        if not tx.standings.bury(visit.account, now=now):
            raise AccountUnknown("the account is not open")
        links.forget(tx, visit.account, now=now)
        while mandate_ends.of_deleted(tx, visit.account, limit=at_once, now=now, ports=ports):
            pass  # of those that came meanwhile
        for store in (tx.consents, tx.activities, tx.attributes, tx.recovery_codes):
            store.forget(visit.account)
        tx.audit.append(Entry(at=now, event=Event.ACCOUNT_DELETED, account=visit.account))
    ended.tell(ports=ports)
    return ended


def _end_mandates(visit: Visit, at_once: int, *, ports: Ports) -> bool:
    """End some; whether there may be more than one unit of work takes."""
    with ports.store.transaction() as tx:
        if (
            tx.standings.state(visit.account) is not State.OPEN
            or len(tx.mandates.unended(visit.account, limit=at_once)) < at_once
        ):
            return False
        return mandate_ends.of_deleted(tx, visit.account, limit=at_once, now=visit.now, ports=ports)


def admit(
    tx: Transaction,
    account: AccountID,
    credential: CredentialID,
    *,
    serial_sealed: bytes,
    now: datetime,
    ports: Ports,
) -> bool:
    """May this account log in by this certificate, which a card has just signed with?

    A deleted account begins anew, with the pseudonyms of before; a stopped one may not.
    """
    state = tx.standings.state(account)
    if state is State.DELETED and tx.standings.revive(
        account, credential=credential, serial_sealed=serial_sealed, now=now
    ):
        settle_own_client(tx, now=now, ports=ports)
        tx.audit.append(Entry(at=now, event=Event.ACCOUNT_REVIVED, account=account))
        tx.activities.note(
            Activity(account=account, client_id=MY_PAGE, kind=Kind.ACCOUNT, how=How.CARD, items=("revived",), at=now)
        )
        return True
    return state is State.OPEN
