"""What residents register once: kept sealed, changed and removed by them alone, told to the services they allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from broker.accounts.activity import Activity, How, Kind
from broker.accounts.attribute import ATTRIBUTES, BY_NAME, Attribute, checked, context_of, from_bytes, to_bytes, told
from broker.audit.entry import Entry, Event
from broker.errors import AccountUnknown
from broker.flows.my_page import Visit, check_own, settle_own_client
from broker.flows.people_ports import SealedAttribute
from broker.flows.ports import Ports, Transaction
from broker.ids import AccountID


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """An attribute and what the person registered of it; no values: nothing."""

    attribute: Attribute
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    changed_at: datetime | None = None


def registered(visit: Visit, *, ports: Ports) -> tuple[Registered, ...]:
    """Every attribute there is, in the order of the page."""
    with ports.store.transaction() as tx:
        found = tx.attributes.of(visit.account)
    check_own(visit, *(one.account for one in found))
    kept = {one.name: one for one in found}
    return tuple(
        Registered(
            attribute=attribute,
            values=_open(kept[attribute.name], ports),
            changed_at=kept[attribute.name].changed_at,
        )
        if attribute.name in kept
        else Registered(attribute=attribute)
        for attribute in ATTRIBUTES
    )


def save(visit: Visit, name: str, given: Mapping[str, str], *, ports: Ports) -> None:
    """Keep what was typed in the form of one attribute. Raises AccountUnknown (no such attribute), FieldRefused."""
    values = checked(_named(name), given)
    sealed = ports.keys.seal(to_bytes(values), context=context_of(visit.account, name))
    with ports.store.transaction() as tx:
        tx.attributes.put(SealedAttribute(account=visit.account, name=name, sealed=sealed, changed_at=visit.now))
        _note(tx, visit, name, ports)


def remove(visit: Visit, name: str, *, ports: Ports) -> None:
    """Forget it; no service is told it any more. Raises AccountUnknown (no such attribute)."""
    with ports.store.transaction() as tx:
        if tx.attributes.remove(visit.account, _named(name).name):
            _note(tx, visit, name, ports)


def released(tx: Transaction, account: AccountID, scope: frozenset[str], *, ports: Ports) -> dict[str, Any]:
    """The claims of the attributes that `scope` names and the account has registered."""
    if not scope & BY_NAME.keys():
        return {}
    return {
        BY_NAME[one.name].claim: told(BY_NAME[one.name], _open(one, ports))
        for one in tx.attributes.of(account)
        if one.name in scope and one.name in BY_NAME and one.account == account
    }


def _named(name: str) -> Attribute:
    if name not in BY_NAME:
        raise AccountUnknown("no such attribute")
    return BY_NAME[name]


def _open(one: SealedAttribute, ports: Ports) -> dict[str, str]:
    return from_bytes(ports.keys.unseal(one.sealed, context=context_of(one.account, one.name)))


def _note(tx: Transaction, visit: Visit, name: str, ports: Ports) -> None:
    settle_own_client(tx, now=visit.now, ports=ports)
    tx.audit.append(
        Entry(at=visit.now, event=Event.ATTRIBUTE_CHANGED, account=visit.account, detail={"attribute": name})
    )
    tx.activities.note(
        Activity(
            account=visit.account,
            client_id=visit.session.client_id,
            kind=Kind.ATTRIBUTES,
            how=How.SESSION,
            items=(name,),
            at=visit.now,
            session_id=visit.session.session_id,
        )
    )
