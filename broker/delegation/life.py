"""The life of a power of attorney: which deed leads from which state to which, and whose deed it may be.

What widens (granting, accepting, resuming) needs a card that is read for it; what narrows needs only a session, the
operator's desk or the clock, and takes effect when its row commits (design 4.13, 4.15).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from broker.delegation.acts import FAMILY, Kind
from broker.delegation.statement import StatementKind
from broker.errors import DelegationStateRefused


class State(StrEnum):
    DRAFT = "draft"
    SIGNED = "signed"
    """By the principal; approvals may be missing."""
    APPROVED = "approved"
    ACCEPTED = "accepted"
    """By the agent."""
    VERIFIED = "verified"
    """By the operator: path, revocation, corporate number, representative."""
    LOGGED = "logged"
    WITNESSED = "witnessed"
    ACTIVE = "active"
    """Sealed and handed out."""
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    ABANDONED = "abandoned"
    """Ended before it ever held."""


class Role(StrEnum):
    """Who may do it."""

    PRINCIPAL = "principal"
    AGENT = "agent"
    APPROVER = "approver"
    OPERATOR = "operator"
    CLOCK = "clock"


class Deed(StrEnum):
    SIGN = "sign"
    APPROVE = "approve"
    ACCEPT = "accept"
    VERIFY = "verify"
    LOG = "log"
    WITNESS = "witness"
    SEAL = "seal"
    SUSPEND = "suspend"
    RESUME = "resume"
    REVOKE = "revoke"
    SUPERSEDE = "supersede"
    EXPIRE = "expire"
    ABANDON = "abandon"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One row of the table below. `card`: a person's signature made for this very deed is needed."""

    begins: frozenset[State]
    leads: State
    roles: frozenset[Role]
    card: bool


_BEFORE: Final = frozenset(
    {State.DRAFT, State.SIGNED, State.APPROVED, State.ACCEPTED, State.VERIFIED, State.LOGGED, State.WITNESSED}
)
_HELD: Final = frozenset({State.ACTIVE, State.SUSPENDED})
ENDED: Final = frozenset({State.REVOKED, State.SUPERSEDED, State.EXPIRED, State.ABANDONED})
"""Nothing leads out of these."""

STEPS: Final[Mapping[Deed, Step]] = MappingProxyType(
    {
        Deed.SIGN: Step(
            begins=frozenset({State.DRAFT}), leads=State.SIGNED, roles=frozenset({Role.PRINCIPAL}), card=True
        ),
        Deed.APPROVE: Step(
            begins=frozenset({State.SIGNED}), leads=State.APPROVED, roles=frozenset({Role.APPROVER}), card=True
        ),
        Deed.ACCEPT: Step(
            begins=frozenset({State.APPROVED}), leads=State.ACCEPTED, roles=frozenset({Role.AGENT}), card=True
        ),
        Deed.VERIFY: Step(
            begins=frozenset({State.ACCEPTED}), leads=State.VERIFIED, roles=frozenset({Role.OPERATOR}), card=False
        ),
        Deed.LOG: Step(
            begins=frozenset({State.VERIFIED}), leads=State.LOGGED, roles=frozenset({Role.OPERATOR}), card=False
        ),
        Deed.WITNESS: Step(
            begins=frozenset({State.LOGGED}), leads=State.WITNESSED, roles=frozenset({Role.OPERATOR}), card=False
        ),
        Deed.SEAL: Step(
            begins=frozenset({State.WITNESSED}), leads=State.ACTIVE, roles=frozenset({Role.OPERATOR}), card=False
        ),
        Deed.SUSPEND: Step(
            begins=frozenset({State.ACTIVE}),
            leads=State.SUSPENDED,
            roles=frozenset({Role.PRINCIPAL, Role.AGENT, Role.OPERATOR}),
            card=False,
        ),
        Deed.RESUME: Step(
            begins=frozenset({State.SUSPENDED}), leads=State.ACTIVE, roles=frozenset({Role.PRINCIPAL}), card=True
        ),
        Deed.REVOKE: Step(
            begins=_HELD,
            leads=State.REVOKED,
            roles=frozenset({Role.PRINCIPAL, Role.AGENT, Role.OPERATOR}),
            card=False,
        ),
        Deed.SUPERSEDE: Step(begins=_HELD, leads=State.SUPERSEDED, roles=frozenset({Role.OPERATOR}), card=False),
        Deed.EXPIRE: Step(begins=_HELD, leads=State.EXPIRED, roles=frozenset({Role.CLOCK}), card=False),
        Deed.ABANDON: Step(
            begins=_BEFORE,
            leads=State.ABANDONED,
            roles=frozenset({Role.PRINCIPAL, Role.AGENT, Role.APPROVER, Role.OPERATOR, Role.CLOCK}),
            card=False,
        ),
    }
)


_OF_GUARDIANS: Final = MappingProxyType({Deed.SIGN: frozenset({Role.AGENT}), Deed.ACCEPT: frozenset({Role.PRINCIPAL})})
"""A child has no key for signatures: the guardian signs, and the child's own card joins."""
_NOT_OF_FAMILIES: Final = frozenset({Deed.APPROVE, Deed.SUSPEND, Deed.RESUME})
_NOT_OF_STATEMENTS: Final = frozenset({Deed.APPROVE, Deed.ACCEPT, Deed.SUSPEND, Deed.RESUME})


def roles(deed: Deed, kind: StrEnum) -> frozenset[Role]:
    """Whose deed it is. Among a family there is no rest: a power holds, or it has ended. A statement rests as little,
    and its holder has no deed: only who made it, or the desk, takes it back.
    """
    if isinstance(kind, StatementKind):
        return frozenset() if deed in _NOT_OF_STATEMENTS else STEPS[deed].roles - {Role.AGENT, Role.APPROVER}
    if kind in FAMILY and deed in _NOT_OF_FAMILIES:
        return frozenset()
    if kind is Kind.GUARDIAN and deed in _OF_GUARDIANS:
        return _OF_GUARDIANS[deed]
    return STEPS[deed].roles


def after(
    state: State,
    deed: Deed,
    *,
    role: Role,
    card: bool,
    approvals_missing: int = 0,
    accepted: bool = False,
    kind: StrEnum = Kind.BUSINESS,
) -> State:
    """The state that `deed` leads to. Raises DelegationStateRefused: not from here, not by this role, not without card.

    `approvals_missing` counts those still needed once this deed is done: with the principal's signature and none
    missing the grant is approved at once, and one approval of several changes nothing yet. `accepted`: nobody has to
    take anything on (a statement).
    """
    step = STEPS[deed]
    if state not in step.begins:
        raise DelegationStateRefused(f"{deed.value} is not possible while {state.value}")
    if role not in roles(deed, kind):
        raise DelegationStateRefused(f"{deed.value} is not for the {role.value}")
    if step.card and not card:
        raise DelegationStateRefused(f"{deed.value} needs the card")
    if deed is Deed.SIGN and accepted:
        return State.ACCEPTED
    if deed in {Deed.SIGN, Deed.APPROVE}:
        return State.APPROVED if approvals_missing <= 0 else State.SIGNED
    return step.leads


def holds(state: State) -> bool:
    """Whether a power of attorney in this state is good for anything."""
    return state is State.ACTIVE
