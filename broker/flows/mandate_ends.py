"""How a mandate ends or rests: at once when the row commits, without a card; the register and witnesses follow."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from broker.audit.leaf import Happening, Leaf
from broker.delegation.life import STEPS, Deed, after
from broker.errors import DelegationStateRefused
from broker.flows import register
from broker.flows.mandates import commit_event, known, part_of, tell
from broker.flows.my_page import Visit
from broker.flows.ports import Ports, Transaction
from broker.ids import AccountID, MandateNumber

DRAFT_KEPT: Final = timedelta(days=30)
"""How long nobody has to do anything about a mandate that does not hold yet."""
_NARROWING: Final = frozenset({Deed.SUSPEND, Deed.REVOKE, Deed.ABANDON})
_HAPPENINGS: Final = {
    Deed.SUSPEND: Happening.SUSPEND,
    Deed.REVOKE: Happening.REVOKE,
    Deed.SUPERSEDE: Happening.SUPERSEDE,
}


def end(who: Visit, number: MandateNumber, deed: Deed, *, ports: Ports) -> None:
    """A party suspends, revokes or abandons. Raises DelegationUnknown, DelegationStateRefused."""
    if deed not in _NARROWING:
        raise DelegationStateRefused(f"{deed.value} needs the card, or is not a party's")
    with ports.store.transaction() as tx:
        state = tx.mandates.lock(number)
        part = part_of(tx, number, who.account)
        if state is not None:
            after(state, deed, role=part.role, card=False, kind=known(tx, number).kind)
        change(tx, number, deed, by=who.account, now=who.now, ports=ports)


def change(
    tx: Transaction, number: MandateNumber, deed: Deed, *, by: AccountID | None, now: datetime, ports: Ports
) -> None:
    """Do it in the caller's unit of work, with what the register will be told, the audit row and the notices; the
    powers that come from a revoked one are revoked with it. Raises DelegationStateRefused.
    """
    mandate = known(tx, number)
    if not tx.mandates.move(number, deed, now=now):
        raise DelegationStateRefused(f"{deed.value} is not possible while {mandate.state.value}")
    if deed in _HAPPENINGS:
        made = commit_event(tx, number, _HAPPENINGS[deed], now=now, ports=ports)
        tx.mandates.happen(number, _HAPPENINGS[deed], at=now, salt_sealed=made.salt_sealed, commit=made.leaf.commit)
    tell(tx, mandate, deed, by=by, now=now)
    if deed in {Deed.REVOKE, Deed.SUPERSEDE, Deed.EXPIRE}:
        for child in tx.mandates.children(number):
            finish(tx, child, by=None, now=now, ports=ports)


def block(tx: Transaction, number: MandateNumber, *, by: AccountID | None, now: datetime, ports: Ports) -> None:
    """Suspend it so that its principal's card alone does not bring it back; at once, and whatever it was resumed by.

    Raises DelegationUnknown, DelegationStateRefused.
    """
    mandate = known(tx, number)
    if not tx.mandates.block(number, now=now):
        raise DelegationStateRefused(f"it is blocked, or {mandate.state.value}")
    made = commit_event(tx, number, Happening.SUSPEND, now=now, ports=ports)
    tx.mandates.happen(number, Happening.SUSPEND, at=now, salt_sealed=made.salt_sealed, commit=made.leaf.commit)
    tell(tx, mandate, Deed.SUSPEND, by=by, now=now)


def finish(tx: Transaction, number: MandateNumber, *, by: AccountID | None, now: datetime, ports: Ports) -> bool:
    """End it for good: revoked where it held, abandoned where it never did; False where it had ended."""
    state = tx.mandates.lock(number)
    for deed in (Deed.REVOKE, Deed.ABANDON):
        if state in STEPS[deed].begins:
            change(tx, number, deed, by=by, now=now, ports=ports)
            return True
    return False


def of_deleted(tx: Transaction, account: AccountID, *, limit: int, now: datetime, ports: Ports) -> bool:
    """With an account ends what it granted and what was granted to it, `limit` of them; whether there may be more. The
    sealed documents and evidence stay for their term: they prove what was done while it held.
    """
    found = tx.mandates.unended(account, limit=limit)
    for each in found:
        finish(tx, each.number, by=account, now=now, ports=ports)
    return len(found) == limit


def expire(ports: Ports) -> Mapping[str, int]:
    """What the clock ends: terms that are over, and drafts that nobody finished."""
    now = ports.clock()
    counts = {"expired": 0, "abandoned": 0}
    with ports.store.transaction() as tx:
        due = tx.mandates.overdue(now=now, drafts_before=now - DRAFT_KEPT)
    for number, deed in due:
        try:
            with ports.store.transaction() as tx:
                change(tx, number, deed, by=None, now=now, ports=ports)
        except DelegationStateRefused:
            continue  # somebody ended it first
        counts["expired" if deed is Deed.EXPIRE else "abandoned"] += 1
    return counts


def log_changes(ports: Ports) -> Mapping[str, int]:
    """Tell the register what took effect already (design 4.15). Without one, nothing."""
    if ports.register is None:
        return {"logged": 0}
    now = ports.clock()
    origin = register.origin_at(ports.policy.issuer, now)
    with ports.store.transaction() as tx:
        waiting = tx.mandates.unlogged()
        if not waiting:
            return {"logged": 0}
        leaves = [Leaf(event=each.happening, commit=each.commit, at=each.at) for each in waiting]
        entries = register.append(tx, ports.keys, origin=origin, leaves=leaves)
        for each, entry in zip(waiting, entries, strict=True):
            tx.mandates.logged(each.event_id, origin=origin, index=entry.index)
    return {"logged": len(waiting)}
