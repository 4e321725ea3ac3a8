"""A mandate opened: who may see it, and what everybody who changes one does beside (audit, notices, the register)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Generic, TypeVar

from broker.audit.entry import Entry, Event
from broker.audit.leaf import SALT_SIZE, Happening, Leaf, commitment
from broker.delegation import content as contents
from broker.delegation.content import Content
from broker.delegation.grant import Grant
from broker.delegation.life import Deed, Role, State
from broker.errors import DelegationUnknown
from broker.flows.mandate_ports import Decided, Happened, Mandate, Note, Part, Unended
from broker.flows.my_page import Visit, check_own
from broker.flows.ports import Ports, Transaction
from broker.ids import AccountID, ClientID, MandateNumber
from broker.jose import compact_json
from broker.oidc.client import Client

STATUS_PATH: Final = "/status-lists/1"
"""Where the one status list is published."""
MAX_CHAIN: Final = 3
PAGE: Final = 100
"""Mandates, or statements, on one page of somebody's list."""

View = TypeVar("View")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[View]):
    """Some of what somebody is a party to, the newest first."""

    views: tuple[View, ...]
    older: MandateNumber | None
    """After which the next page goes on; None where there is none."""
    notes: tuple[Note, ...] = ()
    """The newest notices about all of them; on the first page alone."""


def page(
    tx: Transaction, account: AccountID, *, statements: bool, older_than: MandateNumber | None, limit: int
) -> tuple[tuple[tuple[Mandate, Role], ...], MandateNumber | None]:
    """As many as `limit` says, and after which of them others follow."""
    found = tx.mandates.of(account, statements=statements, older_than=older_than, limit=limit + 1)
    shown = found[:limit]
    return shown, shown[-1][0].number if len(found) > limit else None


def held(who: Visit, *, older_than: MandateNumber | None = None, limit: int = PAGE, ports: Ports) -> Page[MandateView]:
    """The mandates that somebody is a party to, and the notices to them. Raises DelegationUnknown, StoreUnavailable."""
    with ports.store.transaction() as tx:
        found, older = page(tx, who.account, statements=False, older_than=older_than, limit=limit)
        views = tuple(in_short(tx, mandate, role, who.account, ports=ports) for mandate, role in found)
        notes = tx.mandates.notes(who.account) if older_than is None else ()
    check_own(who, *(note.account for note in notes))
    return Page(views=views, older=older, notes=notes)


def in_short(tx: Transaction, mandate: Mandate, role: Role, account: AccountID, *, ports: Ports) -> MandateView:
    """How a list shows one. Raises DelegationUnknown, StoreUnavailable."""
    return MandateView(
        mandate=mandate,
        grant=grant_of(mandate, ports=ports),
        role=role,
        parts=(),
        mine=part_of(tx, mandate.number, account, role),
    )


def every(tx: Transaction, account: AccountID, *, statements: bool = False) -> Iterator[tuple[Mandate, Role]]:
    """All that somebody is a party to, the newest first, however many."""
    older: MandateNumber | None = None
    while found := tx.mandates.of(account, statements=statements, older_than=older):
        yield from found
        older = found[-1][0].number


def unended(tx: Transaction, account: AccountID) -> Iterator[Unended]:
    """All powers of which somebody is principal or agent and that have not ended, however many."""
    after: MandateNumber | None = None
    while found := tx.mandates.unended(account, after=after):
        yield from found
        after = found[-1].number


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """How many hold now."""

    given: int
    received: int


def in_force(who: Visit, *, ports: Ports) -> InForce:
    """Without opening any of them."""
    with ports.store.transaction() as tx:
        found = tx.mandates.in_force(who.account)
    return InForce(given=found.get(Role.PRINCIPAL, 0), received=found.get(Role.AGENT, 0))


def everything(who: Visit, *, ports: Ports) -> tuple[MandateView, ...]:
    """Every mandate that somebody is a party to, with what happened to it and who was answered about it."""
    with ports.store.transaction() as tx:
        return tuple(
            replace(
                in_short(tx, mandate, role, who.account, ports=ports),
                story=tx.mandates.story(mandate.number),
                decisions=decisions,
                askers=_askers(tx, decisions),
            )
            for mandate, role in every(tx, who.account)
            for decisions in (tx.mandates.decisions(mandate.number),)
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
