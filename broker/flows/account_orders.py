"""The desk stops an account without the card, or opens it again: one operator orders, another confirms (design 4.13).

The desk finds an account by the support number on the person's page or recovery sheet, by the pseudonym that a service
knows its own customer by, or by the `sid` of a login; never by name, birth date or address (R7).
"""

from __future__ import annotations

import hmac
import re
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from typing import Final

from broker.accounts.account import State, read_support_number
from broker.accounts.activity import How
from broker.audit.entry import Entry, Event
from broker.errors import AccountUnknown, OperatorRefused
from broker.flows import family_mandates
from broker.flows.ending import Ended, reopen_account, stop_account
from broker.flows.people_ports import AccountOrder
from broker.flows.ports import Ports, Transaction
from broker.flows.secret import digest, mint
from broker.ids import AccountID, ClientID, Secret, SessionID, Subject
from broker.jose import b64url

ORDER_LIFETIME: Final = timedelta(hours=1)
_NAME: Final = re.compile(r"[a-z][a-z0-9._-]{0,31}")
_REASON: Final = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


class Action(StrEnum):
    """What two operators may do to an account."""

    STOP = "stop"
    RESUME = "resume"
    PROTECT = "protect"
    """A protection notice: nobody acts for this person any more."""
    UNPROTECT = "unprotect"


def find(
    *,
    number: str | None = None,
    client_id: ClientID | None = None,
    subject: Subject | None = None,
    session_id: SessionID | None = None,
    ports: Ports,
) -> AccountID:
    """The account that goes by one of these. Raises AccountUnknown."""
    found: AccountID | None = None
    with ports.store.transaction() as tx:
        if number is not None:
            read = read_support_number(number)
            found = None if read is None else tx.standings.numbered(read)
        elif session_id is not None:
            session = tx.sessions.named(session_id)
            found = None if session is None else session.account
        elif client_id is not None and subject is not None:
            client = tx.clients.get(client_id)
            found = None if client is None else tx.accounts.holder(client.sector, subject)
    if found is None:
        raise AccountUnknown("no account goes by that")
    return found


def state(account: AccountID, *, ports: Ports) -> State:
    """Raises AccountUnknown."""
    with ports.store.transaction() as tx:
        found = tx.standings.state(account)
    if found is None:
        raise AccountUnknown("no such account")
    return found


def add_operator(name: str, *, ports: Ports) -> Secret:
    """A new operator, and the secret to hand to that person alone. Raises OperatorRefused: the name is taken."""
    if not _NAME.fullmatch(name):
        raise OperatorRefused("a name is 1 to 32 of a-z 0-9 . _ - and begins with a letter")
    secret, now = mint(ports.entropy), ports.clock()
    with ports.store.transaction() as tx:
        if not tx.operators.add(name, digest(secret), now=now):
            raise OperatorRefused("the name is taken, now or ever")
        tx.audit.append(Entry(at=now, event=Event.OPERATOR_ADDED, reference=name))
    return secret


def remove_operator(name: str, *, ports: Ports) -> bool:
    """False when there is none."""
    now = ports.clock()
    with ports.store.transaction() as tx:
        removed = tx.operators.remove(name, now=now)
        if removed:
            tx.audit.append(Entry(at=now, event=Event.OPERATOR_REMOVED, reference=name))
    return removed


def check_operator(tx: Transaction, name: str, secret: str) -> None:
    """Raises OperatorRefused, which does not say whether the name or the secret is wrong."""
    known = tx.operators.secret(name)
    if known is None or not hmac.compare_digest(known, digest(secret)):
        raise OperatorRefused("no such operator, or another secret")


def order(account: AccountID, action: Action, *, by: str, secret: str, reason: str, ports: Ports) -> AccountOrder:
    """Ask for it; nothing happens before another operator confirms.

    Raises OperatorRefused, AccountUnknown (no such account, or in no state for it).
    """
    now = ports.clock()
    if not _REASON.fullmatch(reason):
        raise AccountUnknown("a reason of 1 to 200 characters")
    placed = AccountOrder(
        order_id=b64url(ports.entropy(9)),
        account=account,
        action=action.value,
        reason=reason,
        ordered_by=by,
        ordered_at=now,
        expires_at=now + ORDER_LIFETIME,
    )
    with ports.store.transaction() as tx:
        check_operator(tx, by, secret)
        if not _fits(tx, account, action):
            raise AccountUnknown(f"the account is in no state for {action}")
        tx.operators.order(placed)
        tx.audit.append(
            Entry(
                at=now,
                event=Event.ORDER_PLACED,
                account=account,
                reference=placed.order_id,
                detail={"action": action.value, "by": by, "reason": reason},
            )
        )
    return placed


def _fits(tx: Transaction, account: AccountID, action: Action) -> bool:
    state = tx.standings.state(account)
    match action:
        case Action.STOP:
            return state is State.OPEN
        case Action.RESUME:
            return state is State.STOPPED
        case Action.PROTECT:
            return state in {State.OPEN, State.STOPPED} and not tx.mandates.protected(account)
        case _:
            return tx.mandates.protected(account)


def confirm(order_id: str, *, by: str, secret: str, ports: Ports) -> AccountOrder:
    """Do what another operator ordered. Raises OperatorRefused: unknown, run out, done, or ordered by the same one."""
    now = ports.clock()
    ended: Ended | None = None
    with ports.store.transaction() as tx:
        check_operator(tx, by, secret)
        confirmed = tx.operators.confirm(order_id, by=by, now=now)
        if confirmed is None:
            raise OperatorRefused("no order waits under that number, or it is your own")
        tx.audit.append(
            Entry(
                at=now,
                event=Event.ORDER_CONFIRMED,
                account=confirmed.account,
                reference=order_id,
                detail={"action": confirmed.action, "by": by, "ordered_by": confirmed.ordered_by},
            )
        )
        match Action(confirmed.action):
            case Action.STOP:
                ended = stop_account(tx, confirmed.account, how=How.DESK, now=now, ports=ports)
            case Action.RESUME:
                reopen_account(tx, confirmed.account, how=How.DESK, now=now, ports=ports)
            case Action.PROTECT:
                family_mandates.protect(tx, confirmed.account, now=now, ports=ports)
            case Action.UNPROTECT:
                tx.mandates.unprotect(confirmed.account)
    if ended is not None:
        ended.tell(ports=ports)
    return replace(confirmed)
