"""The desk ends or blocks a power of attorney: one operator orders, another confirms (as of an account, design 4.13).

A protection notice, a court's word, a principal without card and session: what narrows needs nobody's card, but never
one operator's word alone. Taking a block back only lets the principal's own card resume it.
"""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Final

from broker.audit.entry import Entry, Event
from broker.delegation.life import ENDED, Deed, State, roles
from broker.errors import DelegationStateRefused, OperatorRefused
from broker.flows import mandate_ends
from broker.flows.account_orders import ORDER_LIFETIME, check_operator
from broker.flows.mandate_ports import Mandate, MandateOrder
from broker.flows.mandates import HELD, known
from broker.flows.ports import Ports, Transaction
from broker.ids import MandateNumber
from broker.jose import b64url

LIFETIME: Final[timedelta] = ORDER_LIFETIME
_REASON: Final = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


class Action(StrEnum):
    """What two operators may do to a power of attorney."""

    REVOKE = "revoke"
    """For good; what never held is given up."""
    BLOCK = "block"
    """Suspend it, and let nobody resume it."""
    UNBLOCK = "unblock"


def order(number: MandateNumber, action: Action, *, by: str, secret: str, reason: str, ports: Ports) -> MandateOrder:
    """Ask for it; nothing happens before another operator confirms.

    Raises OperatorRefused, DelegationUnknown; DelegationStateRefused: it is in no state for that, or without a reason.
    """
    now = ports.clock()
    if not _REASON.fullmatch(reason):
        raise DelegationStateRefused("a reason of 1 to 200 characters")
    placed = MandateOrder(
        order_id=b64url(ports.entropy(9)),
        number=number,
        action=action.value,
        reason=reason,
        ordered_by=by,
        ordered_at=now,
        expires_at=now + LIFETIME,
    )
    with ports.store.transaction() as tx:
        check_operator(tx, by, secret)
        mandate = known(tx, number)
        if action is Action.BLOCK and not roles(Deed.SUSPEND, mandate.kind):
            raise DelegationStateRefused(
                "no power among a family and no certificate rests: revoke it, or protect the person's account"
            )
        if not _possible(mandate, action):
            raise DelegationStateRefused(f"{action} is not possible while {mandate.state.value}")
        tx.mandates.order(placed)
        detail = {"action": action.value, "by": by, "order": placed.order_id, "reason": reason}
        tx.audit.append(Entry(at=now, event=Event.ORDER_PLACED, reference=number, detail=detail))
    return placed


def confirm(order_id: str, *, by: str, secret: str, ports: Ports) -> MandateOrder:
    """Do what another operator ordered. Raises OperatorRefused: unknown, run out, done, or ordered by the same one;
    DelegationStateRefused: it has ended meanwhile.
    """
    now = ports.clock()
    with ports.store.transaction() as tx:
        check_operator(tx, by, secret)
        confirmed = tx.mandates.confirm(order_id, by=by, now=now)
        if confirmed is None:
            raise OperatorRefused("no order waits under that number, or it is your own")
        _do(tx, confirmed, ports=ports)
        detail = {
            "action": confirmed.action,
            "by": by,
            "order": order_id,
            "ordered_by": confirmed.ordered_by,
        }
        tx.audit.append(Entry(at=now, event=Event.ORDER_CONFIRMED, reference=confirmed.number, detail=detail))
    return confirmed


def _possible(mandate: Mandate, action: Action) -> bool:
    match action:
        case Action.REVOKE:
            return mandate.state not in ENDED
        case Action.BLOCK:
            return mandate.state in HELD and mandate.blocked_at is None
        case Action.UNBLOCK:
            return mandate.state is State.SUSPENDED and mandate.blocked_at is not None


def _do(tx: Transaction, confirmed: MandateOrder, *, ports: Ports) -> None:
    now, number = ports.clock(), confirmed.number
    match Action(confirmed.action):
        case Action.REVOKE:
            done = mandate_ends.finish(tx, number, by=None, now=now, ports=ports)
        case Action.BLOCK:
            mandate_ends.block(tx, number, by=None, now=now, ports=ports)
            done = True
        case Action.UNBLOCK:
            done = tx.mandates.unblock(number, now=now)
    if not done:
        raise DelegationStateRefused("it has ended meanwhile, or is not blocked")
