"""An answer to a service that asks whether somebody may act for another: yes for that very question, or no.

What a power restricts must be asked about: a question that leaves it out is answered no, for nobody could tell what
the answer would then be good for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from broker.delegation.acts import Kind
from broker.delegation.grant import ANY_ENTITY, Grant, Power, ScopeKind
from broker.delegation.life import State
from broker.delegation.verdict import Link, Outcome, Question, Status, covering, judge

_UNLIMITED: Final = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A power of attorney as the register's keeper sees it now: the chain it ends, and the state of each link."""

    chain: tuple[Grant, ...]
    states: tuple[State, ...]

    @property
    def last(self) -> Grant:
        return self.chain[-1]


def concerns(grant: Grant, question: Question) -> bool:
    """Whether the question is about powers of this kind: a business's towards an office, a family's at one service."""
    if grant.kind is Kind.BUSINESS:
        return question.entity is not None
    return question.service is not None and all(power.scope.service == question.service for power in grant.powers)


def allows(standing: Standing, question: Question) -> bool:
    """Whether it does. Never yes where `verdict.judge` finds anything, and never for what was not asked."""
    return allowing(standing, question) is not None


def allowing(standing: Standing, question: Question) -> Power | None:
    """The single power that covers all that is asked; None: the answer is no."""
    if question.act is None or not concerns(standing.last, question):
        return None
    links = [
        Link(grant=grant, logged=True, witnessed=True, status=Status(state=state, listed_at=question.as_of))
        for grant, state in zip(standing.chain, standing.states, strict=True)
    ]
    if judge(links, question).outcome is not Outcome.VALID:
        return None
    fitting = [power for power in standing.last.powers if _covers(standing.last, power, question)]
    return min(fitting, key=_breadth_of_power) if fitting else None


def _covers(grant: Grant, power: Power, question: Question) -> bool:
    if covering(replace(grant, powers=(power,)), question):
        return False
    if power.scope.categories and question.category is None:
        return False
    return power.limit is None or question.amount is not None


def breadth(grant: Grant) -> tuple[object, ...]:
    """Sorts powers of attorney from the narrowest on."""
    return (*max(_breadth_of_power(power) for power in grant.powers), grant.ends, grant.number)


def _breadth_of_power(power: Power) -> tuple[int, int, int, int, int]:
    scope = power.scope
    return (
        0 if scope.kind is ScopeKind.CASE else 1,
        _UNLIMITED if ANY_ENTITY in scope.entities else len(scope.entities),
        len(scope.categories) or _UNLIMITED,
        _UNLIMITED if power.limit is None else power.limit.amount,
        len(power.acts),
    )


def distance(standing: Standing, question: Question) -> int:
    """How many reasons stand against it: the nearest is the one that a refusal is written down with."""
    reasons = len(covering(standing.last, question))
    reasons += sum(state is not State.ACTIVE for state in standing.states)
    return reasons + sum(not grant.begins <= question.as_of < grant.ends for grant in standing.chain)


def best(standings: Sequence[Standing], question: Question) -> Standing | None:
    """The one that an answer rests on: of those that allow it the narrowest, else the nearest of all."""
    fitting = [each for each in standings if allows(each, question)]
    if fitting:
        return min(fitting, key=lambda each: breadth(each.last))
    return min(standings, key=lambda each: (distance(each, question), breadth(each.last)), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """What a service is told of a power beside yes: that much of it as it asked about, and no more."""

    organization: str
    """The principal's name; empty for a family's, whom the service knows by a pseudonym."""
    corporate_number: str
    act: str
    entity: str | None
    amount: int | None
    """What was asked about, never the limit itself."""
    tax_included: bool
    begins: datetime
    ends: datetime
    number: str | None
    """None for a family's."""
    steps: int
    """How many sub-agents stand between the principal and who acts."""


def authority(standing: Standing, question: Question) -> Authority:
    """Of a standing that allows it. The limit is nobody's business: to a buyer it is what a bid could cost at most."""
    last, business = standing.last, standing.last.kind is Kind.BUSINESS
    return Authority(
        organization=last.principal.name if business else "",
        corporate_number=last.principal.corporate_number,
        act="" if question.act is None else question.act.value,
        entity=question.entity,
        amount=question.amount,
        tax_included=question.tax_included,
        begins=last.begins,
        ends=last.ends,
        number=last.number if business else None,
        steps=len(standing.chain) - 1,
    )
