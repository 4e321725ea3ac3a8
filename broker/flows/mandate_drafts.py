"""The beginning of a mandate: what its principal typed becomes a draft, and those who sign beside them are invited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from broker.accounts.individual_number import holds_one
from broker.audit.entry import Entry, Event
from broker.delegation import drafting, grant_document, narrowing
from broker.delegation.acts import Kind
from broker.delegation.grant import Grant
from broker.delegation.life import Role, State
from broker.delegation.rules import Rule
from broker.errors import DelegationUnknown, NumberQuarantined, PowerRefused
from broker.flows.mandate_ports import Mandate, Part
from broker.flows.mandates import HELD, chain, context, grant_of, known, part_of
from broker.flows.my_page import Visit
from broker.flows.ports import Ports, Transaction
from broker.flows.rate import Rate, check_rate
from broker.flows.secret import digest, mint
from broker.ids import MandateNumber, Secret
from broker.jose import b64url

INVITED_FOR: Final = timedelta(days=14)
_DRAFTS: Final = Rate(limit=60, window=timedelta(hours=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafted:
    """A draft, and the invitations that its principal hands over; each is shown once."""

    number: MandateNumber
    agent: Secret = field(repr=False)
    """For the agent, and among a guardian's for the child."""
    approvers: tuple[Secret, ...] = field(repr=False)


def draft(who: Visit, fields: Mapping[str, str], *, ports: Ports) -> Drafted:
    """Keep what the form asks for. Raises PowerRefused (with the rule), NumberQuarantined, TooManyRequests,
    DelegationUnknown; nothing is kept then.
    """
    if any(holds_one(fields.get(name, "")) for name in drafting.TEXTS):
        raise NumberQuarantined("a box of the form holds what looks like an individual number")
    names = drafting.Names(
        number=b64url(ports.entropy(18)),
        nonce=b64url(ports.entropy(32)),
        issuer=ports.policy.issuer,
        principal=b64url(ports.entropy(12)),
        agent=b64url(ports.entropy(12)),
        approvers=tuple(b64url(ports.entropy(12)) for _ in range(drafting.MAX_APPROVERS)),
    )
    wanted = drafting.grant_of(
        fields, names=names, entities=ports.policy.procuring_entities, services=family_services(ports=ports)
    )
    if wanted.ends <= who.now:
        raise PowerRefused(Rule.TERM, "ends")
    number = MandateNumber(wanted.number)
    agent, approvers = mint(ports.entropy), tuple(mint(ports.entropy) for _ in wanted.approval.approvers)
    invited_until = who.now + INVITED_FOR
    drafter, other = (wanted.principal.id, Role.PRINCIPAL), (wanted.agent.id, Role.AGENT)
    if wanted.kind is Kind.GUARDIAN:  # a child drafts nothing
        drafter, other = other, drafter
    invited = [(*other, agent)]
    invited += [
        (part_id, Role.APPROVER, secret) for part_id, secret in zip(wanted.approval.approvers, approvers, strict=True)
    ]
    parts = [Part(number=number, part_id=drafter[0], role=drafter[1], account=who.account)]
    parts += [
        Part(
            number=number,
            part_id=part_id,
            role=role,
            invitation_digest=digest(secret),
            invited_until=invited_until,
        )
        for part_id, role, secret in invited
    ]
    with ports.store.transaction() as tx:
        check_rate(tx.attempts, f"mandate-draft:{who.account}", _DRAFTS, now=who.now)
        _check_before(tx, wanted, who, ports=ports)
        tx.mandates.draft(
            Mandate(
                number=number,
                kind=wanted.kind,
                state=State.DRAFT,
                grant_sealed=ports.keys.seal(grant_document.write(wanted), context=context(number, "grant")),
                begins=wanted.begins,
                ends=wanted.ends,
                created_at=who.now,
                changed_at=who.now,
                parent=None if wanted.parent is None else MandateNumber(wanted.parent),
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
                detail={"kind": wanted.kind.value},
            )
        )
    return Drafted(number=number, agent=agent, approvers=approvers)


def family_services(*, ports: Ports) -> Mapping[str, str]:
    """The services at which people may act for others, by name."""
    with ports.store.transaction() as tx:
        return {client.client_id: client.name for client in tx.clients.all() if client.takes_family_mandates}


def _check_before(tx: Transaction, wanted: Grant, who: Visit, *, ports: Ports) -> None:
    """A sub-agent's power lies within one that this person holds; what is superseded is this person's own."""
    try:
        if wanted.parent is not None:
            parent = known(tx, MandateNumber(wanted.parent))
            part_of(tx, parent.number, who.account, Role.AGENT)
            above = chain(tx, parent)
            if any(each.state is not State.ACTIVE for each in above):
                raise PowerRefused(Rule.CHILD_PARENT, "parent")
            narrowing.check_chain([*(grant_of(each, ports=ports) for each in above), wanted])
        if wanted.supersedes is not None:
            before = known(tx, MandateNumber(wanted.supersedes))
            part_of(tx, before.number, who.account, Role.PRINCIPAL)
            if before.state not in HELD:
                raise PowerRefused(Rule.CHILD_PARENT, "supersedes")
    except DelegationUnknown:
        raise PowerRefused(Rule.CHILD_PARENT, "parent" if wanted.parent else "supersedes") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What somebody who holds an invitation is shown before taking it up."""

    role: Role
    grant: Grant


def look(who: Visit, invitation: str, *, ports: Ports) -> Invitation:
    """Raises DelegationUnknown: unknown, run out, taken up, or for somebody who is a party already."""
    with ports.store.transaction() as tx:
        part = tx.mandates.invited(digest(invitation), now=who.now)
        if part is None:
            raise DelegationUnknown("no such invitation waits")
        mandate = known(tx, part.number)
        _check_new(tx, part.number, who)
    return Invitation(role=part.role, grant=grant_of(mandate, ports=ports))


def take(who: Visit, invitation: str, *, ports: Ports) -> MandateNumber:
    """Stand behind the part that somebody was invited to; nothing is signed by that. Raises DelegationUnknown."""
    with ports.store.transaction() as tx:
        part = tx.mandates.take(digest(invitation), who.account, now=who.now)
        if part is None:
            raise DelegationUnknown("no such invitation waits")
        if sum(each.account == who.account for each in tx.mandates.parts(part.number)) > 1:
            raise DelegationUnknown("a party to it already")
        tx.audit.append(
            Entry(
                at=who.now,
                event=Event.MANDATE_JOINED,
                account=who.account,
                reference=part.number,
                detail={"role": part.role.value},
            )
        )
    return part.number


def _check_new(tx: Transaction, number: MandateNumber, who: Visit) -> None:
    if any(part.account == who.account for part in tx.mandates.parts(number)):
        raise DelegationUnknown("a party to it already")
