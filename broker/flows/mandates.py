"""A mandate opened: who may see it, and what everybody who changes one does beside (audit, notices, the register)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from broker.audit.entry import Entry, Event
from broker.audit.leaf import SALT_SIZE, Happening, Leaf, commitment
from broker.delegation import content as contents
from broker.delegation.content import Content
from broker.delegation.grant import Grant
from broker.delegation.life import Deed, Role, State
from broker.errors import DelegationUnknown
from broker.flows.mandate_ports import Decided, Happened, Mandate, Note, Part
from broker.flows.my_page import Visit, check_own
from broker.flows.ports import Ports, Transaction
from broker.ids import AccountID, ClientID, MandateNumber
from broker.jose import compact_json
from broker.oidc.client import Client

STATUS_PATH: Final = "/status-lists/1"
"""Where the one status list is published."""
MAX_CHAIN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MandateView:
    """What a party is shown."""

    mandate: Mandate
    grant: Grant
    role: Role
    """The viewer's own."""
    parts: tuple[Part, ...]
    mine: Part = field(repr=False)
    story: tuple[Happened, ...] = ()
    decisions: tuple[Decided, ...] = ()
    askers: Mapping[ClientID, Client] = field(default_factory=dict)
    """Who asked; one that was removed since is missing."""


def context(number: MandateNumber, what: str) -> bytes:
    """Under which a part of a mandate is sealed: it opens in its own place alone."""
    return f"mandate\x00{number}\x00{what}".encode()


def grant_bytes(mandate: Mandate, *, ports: Ports) -> bytes:
    """The draft, or what was signed. Raises StoreUnavailable."""
    return ports.keys.unseal(mandate.grant_sealed, context=context(mandate.number, "grant"))


def content_of(mandate: Mandate, *, ports: Ports) -> Content:
    """Raises StoreUnavailable."""
    return contents.read(grant_bytes(mandate, ports=ports))


def grant_of(mandate: Mandate, *, ports: Ports) -> Grant:
    """Raises StoreUnavailable; DelegationUnknown for a statement, which empowers nobody."""
    found = content_of(mandate, ports=ports)
    if not isinstance(found, Grant):
        raise DelegationUnknown("a statement, and no power")
    return found


def known(tx: Transaction, number: MandateNumber) -> Mandate:
    """Raises DelegationUnknown."""
    found = tx.mandates.get(number)
    if found is None:
        raise DelegationUnknown("no such mandate")
    return found


def part_of(tx: Transaction, number: MandateNumber, account: AccountID, *roles: Role) -> Part:
    """Somebody's part in a mandate, in one of these roles where they are given. Raises DelegationUnknown."""
    for part in tx.mandates.parts(number):
        if part.account == account and (not roles or part.role in roles):
            return part
    raise DelegationUnknown("no party to it")


def see(who: Visit, number: MandateNumber, *, ports: Ports) -> MandateView:
    """Raises DelegationUnknown, StoreUnavailable."""
    with ports.store.transaction() as tx:
        mandate = known(tx, number)
        mine = part_of(tx, number, who.account)
        decisions = tx.mandates.decisions(number)
        view = MandateView(
            mandate=mandate,
            grant=grant_of(mandate, ports=ports),
            role=mine.role,
            parts=tx.mandates.parts(number),
            mine=mine,
            story=tx.mandates.story(number),
            decisions=decisions,
            askers=_askers(tx, decisions),
        )
    if view.mine.account is not None:
        check_own(who, view.mine.account)
    return view


def _askers(tx: Transaction, decisions: tuple[Decided, ...]) -> dict[ClientID, Client]:
    asked = {client_id: tx.clients.get(client_id) for client_id in {each.client_id for each in decisions}}
    return {client_id: client for client_id, client in asked.items() if client is not None}


def held(who: Visit, *, ports: Ports) -> tuple[tuple[MandateView, ...], tuple[Note, ...]]:
    """Every mandate that somebody is a party to, the newest first, and the notices to them."""
    with ports.store.transaction() as tx:
        found = tx.mandates.of(who.account)
        views = tuple(
            MandateView(
                mandate=mandate,
                grant=grant_of(mandate, ports=ports),
                role=role,
                parts=(),
                mine=part_of(tx, mandate.number, who.account, role),
            )
            for mandate, role in found
        )
        notes = tx.mandates.notes(who.account)
    check_own(who, *(note.account for note in notes))
    return views, notes


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """How many hold now."""

    given: int
    received: int


def in_force(who: Visit, *, ports: Ports) -> InForce:
    """Without opening any of them."""
    with ports.store.transaction() as tx:
        found = [role for mandate, role in tx.mandates.of(who.account) if mandate.state is State.ACTIVE]
    return InForce(given=found.count(Role.PRINCIPAL), received=found.count(Role.AGENT))


def everything(who: Visit, *, ports: Ports) -> tuple[MandateView, ...]:
    """Every mandate that somebody is a party to, with what happened to it and who was answered about it."""
    views, _notes = held(who, ports=ports)
    with ports.store.transaction() as tx:
        return tuple(
            replace(
                view,
                story=tx.mandates.story(view.mandate.number),
                decisions=decisions,
                askers=_askers(tx, decisions),
            )
            for view in views
            for decisions in (tx.mandates.decisions(view.mandate.number),)
        )


def chain(tx: Transaction, mandate: Mandate) -> tuple[Mandate, ...]:
    """The powers that it comes from, the first one first, and itself last. Raises DelegationUnknown."""
    found = [mandate]
    while found[0].parent is not None:
        if len(found) >= MAX_CHAIN:
            raise DelegationUnknown("a chain that is too long")
        found.insert(0, known(tx, found[0].parent))
    return tuple(found)


def tell(tx: Transaction, mandate: Mandate, deed: Deed, *, by: AccountID | None, now: datetime) -> None:
    """The audit row, and a notice to every party but who did it."""
    tx.audit.append(
        Entry(
            at=now,
            event=Event.MANDATE_CHANGED,
            account=by,
            reference=mandate.number,
            detail={"deed": deed.value},
        )
    )
    for account in {part.account for part in tx.mandates.parts(mandate.number)} - {None, by}:
        if account is not None:
            tx.mandates.notify(Note(number=mandate.number, account=account, deed=deed, at=now))


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What the register is told, and the salt that opens it."""

    leaf: Leaf
    salt_sealed: bytes = field(repr=False)


def commit_event(
    tx: Transaction, number: MandateNumber, happening: Happening, *, now: datetime, ports: Ports
) -> Committed:
    """A leaf for something that happens to a mandate: it names what happened before inside the commitment, so that
    nobody can join two entries.
    """
    story = tx.mandates.story(number)
    before = story[-1].commit.hex() if story else None
    said = compact_json({"at": int(now.timestamp()), "event": happening.value, "number": number, "prev": before})
    salt = ports.entropy(SALT_SIZE)
    return Committed(
        leaf=Leaf(event=happening, commit=commitment(salt, said), at=now),
        salt_sealed=ports.keys.seal(salt, context=context(number, f"salt {happening.value} {before}")),
    )


def sha256(data: bytes) -> str:
    """As it stands in a record."""
    return hashlib.sha256(data).hexdigest()


HELD: Final = frozenset({State.ACTIVE, State.SUSPENDED})
