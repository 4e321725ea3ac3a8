"""Statements that an employer makes about its people, from the form to the hands of whom they are about.

A statement goes the way of a mandate (`mandate_cards`, `mandate_issue`, `mandate_ends`): signed with both keys,
checked, logged, witnessed, sealed. Nobody has to accept it, and only its employer takes it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from broker.accounts.individual_number import holds_one
from broker.audit.entry import Entry, Event
from broker.delegation import statement as statements
from broker.delegation import stating
from broker.delegation.drafting import Names
from broker.delegation.life import Role, State
from broker.delegation.members import JST
from broker.delegation.rules import Rule
from broker.delegation.statement import Statement, StatementKind
from broker.errors import DelegationUnknown, NumberQuarantined, PowerRefused
from broker.flows.mandate_drafts import INVITED_FOR
from broker.flows.mandate_ports import Happened, Mandate, Part
from broker.flows.mandates import HELD, PAGE, Page, content_of, context, every, known, page, part_of
from broker.flows.my_page import Visit, check_own
from broker.flows.ports import Ports, Transaction
from broker.flows.rate import Rate, check_rate
from broker.flows.secret import digest, mint
from broker.ids import MandateNumber, Secret
from broker.jose import b64url

_DRAFTS: Final = Rate(limit=60, window=timedelta(hours=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementView:
    """What a party is shown; `role` is the viewer's own: employers are principals, employees agents."""

    mandate: Mandate
    statement: Statement
    role: Role
    parts: tuple[Part, ...] = ()
    story: tuple[Happened, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafted:
    """A draft, and the invitation for whom it is about; it is shown once."""

    number: MandateNumber
    employee: Secret = field(repr=False)


def draft(who: Visit, fields: Mapping[str, str], *, ports: Ports) -> Drafted:
    """Keep what the form states. Raises PowerRefused (with the rule), NumberQuarantined, TooManyRequests; nothing is
    kept then.
    """
    if any(holds_one(fields.get(name, "")) for name in stating.TEXTS):
        raise NumberQuarantined("a box of the form holds what looks like an individual number")
    names = Names(
        number=b64url(ports.entropy(18)),
        nonce=b64url(ports.entropy(32)),
        issuer=ports.policy.issuer,
        principal=b64url(ports.entropy(12)),
        agent=b64url(ports.entropy(12)),
    )
    wanted = stating.statement_of(fields, names=names, today=who.now.astimezone(JST).date())
    begins, ends = statements.term_of(wanted)
    if ends <= who.now:
        raise PowerRefused(Rule.TOLD_UNTIL, "certified_on")
    number, secret = MandateNumber(wanted.number), mint(ports.entropy)
    parts = (
        Part(number=number, part_id=wanted.employer.id, role=Role.PRINCIPAL, account=who.account),
        Part(
            number=number,
            part_id=wanted.employee.id,
            role=Role.AGENT,
            invitation_digest=digest(secret),
            invited_until=who.now + INVITED_FOR,
        ),
    )
    with ports.store.transaction() as tx:
        check_rate(tx.attempts, f"statement-draft:{who.account}", _DRAFTS, now=who.now)
        if wanted.supersedes is not None:
            _check_own_before(tx, MandateNumber(wanted.supersedes), who)
        tx.mandates.draft(
            Mandate(
                number=number,
                kind=StatementKind.EMPLOYMENT,
                state=State.DRAFT,
                grant_sealed=ports.keys.seal(statements.write(wanted), context=context(number, "grant")),
                begins=begins,
                ends=ends,
                created_at=who.now,
                changed_at=who.now,
                supersedes=None if wanted.supersedes is None else MandateNumber(wanted.supersedes),
            ),
            parts,
        )
        tx.audit.append(
            Entry(
                at=who.now,
                event=Event.MANDATE_DRAFTED,
                account=who.account,
                reference=number,
                detail={"kind": StatementKind.EMPLOYMENT.value},
            )
        )
    return Drafted(number=number, employee=secret)


def _check_own_before(tx: Transaction, number: MandateNumber, who: Visit) -> None:
    """What is corrected is a statement of this very person's that still stands. Raises PowerRefused."""
    try:
        before = known(tx, number)
        part_of(tx, number, who.account, Role.PRINCIPAL)
    except DelegationUnknown:
        raise PowerRefused(Rule.SUPERSEDES, "supersedes") from None
    if before.state not in HELD or not isinstance(before.kind, StatementKind):
        raise PowerRefused(Rule.SUPERSEDES, "supersedes")


def look(who: Visit, invitation: str, *, ports: Ports) -> Statement:
    """What somebody who holds an invitation is shown. Raises DelegationUnknown: unknown, run out, taken up, or for
    somebody who is a party already.
    """
    with ports.store.transaction() as tx:
        part = tx.mandates.invited(digest(invitation), now=who.now)
        if part is None:
            raise DelegationUnknown("no such invitation waits")
        mandate = known(tx, part.number)
        if any(each.account == who.account for each in tx.mandates.parts(part.number)):
            raise DelegationUnknown("a party to it already")
    return _statement_of(mandate, ports=ports)


def see(who: Visit, number: MandateNumber, *, ports: Ports) -> StatementView:
    """Raises DelegationUnknown, StoreUnavailable."""
    with ports.store.transaction() as tx:
        mandate = known(tx, number)
        mine = part_of(tx, number, who.account)
        return StatementView(
            mandate=mandate,
            statement=_statement_of(mandate, ports=ports),
            role=mine.role,
            parts=tx.mandates.parts(number),
            story=tx.mandates.story(number),
        )


def held(
    who: Visit, *, older_than: MandateNumber | None = None, limit: int = PAGE, ports: Ports
) -> Page[StatementView]:
    """The statements that somebody made or is the subject of, and the notices to them."""
    with ports.store.transaction() as tx:
        found, older = page(tx, who.account, statements=True, older_than=older_than, limit=limit)
        views = tuple(
            StatementView(mandate=mandate, statement=_statement_of(mandate, ports=ports), role=role)
            for mandate, role in found
        )
        notes = tx.mandates.notes(who.account, statements=True) if older_than is None else ()
    check_own(who, *(note.account for note in notes))
    return Page(views=views, older=older, notes=notes)


def everything(who: Visit, *, ports: Ports) -> tuple[StatementView, ...]:
    """Every statement that somebody made or is the subject of, with what happened to it. Raises StoreUnavailable."""
    with ports.store.transaction() as tx:
        return tuple(
            StatementView(
                mandate=mandate,
                statement=_statement_of(mandate, ports=ports),
                role=role,
                story=tx.mandates.story(mandate.number),
            )
            for mandate, role in every(tx, who.account, statements=True)
        )


def _statement_of(mandate: Mandate, *, ports: Ports) -> Statement:
    found = content_of(mandate, ports=ports)
    if not isinstance(found, Statement):
        raise DelegationUnknown("no statement")
    return found
