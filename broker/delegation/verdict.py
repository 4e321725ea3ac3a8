"""What an officer is told about a power of attorney: one of six verdicts, with every reason (ux, 4).

Nothing here is a ruling in law: it says whether record and power were found to be as asked for. What cannot be shown
to hold is never called valid, and what merely cannot be shown is never called forged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from broker.delegation import narrowing
from broker.delegation.acts import Act
from broker.delegation.faults import ALTERED, Fault
from broker.delegation.grant import ANY_ENTITY, Grant, Power, ScopeKind
from broker.delegation.life import State
from broker.delegation.policy import NONE_GIVEN, Policy
from broker.delegation.statement import Statement, term_of
from broker.errors import PowerRefused


class Outcome(StrEnum):
    """The six verdicts, from worst to best in the order in which one hides another."""

    FORGED = "forged"
    CANNOT_TELL = "cannot_tell"
    REVOKED = "revoked"
    EXPIRED = "expired"
    OUT_OF_SCOPE = "out_of_scope"
    VALID = "valid"


EXIT_STATUS: Final = {
    Outcome.VALID: 0,
    Outcome.EXPIRED: 10,
    Outcome.REVOKED: 11,
    Outcome.OUT_OF_SCOPE: 12,
    Outcome.FORGED: 13,
    Outcome.CANNOT_TELL: 14,
}
_WORST_FIRST: Final = tuple(Outcome)
TAMPERED: Final = ALTERED | {
    Fault.NO_SIGNATURE,
    Fault.MORE_SIGNATURES,
    Fault.REVISION_ADDED,
    Fault.ACTIVE_CONTENT,
    Fault.FORM_FIELDS,
    Fault.ANNOTATIONS,
    Fault.MORE_ATTACHMENTS,
}
"""What a document of ours never has: it was changed, or made by somebody else."""


class Reason(StrEnum):
    """Why the verdict is not "valid"; each has words in both languages on the page."""

    ALTERED = "altered"
    NOT_IN_REGISTER = "not_in_register"
    CHAIN_BROKEN = "chain_broken"
    PARENT_MISSING = "parent_missing"
    SEAL_UNKNOWN = "seal_unknown"
    SEAL_UNPROVED = "seal_unproved"
    SEAL_REVOKED = "seal_revoked"
    NOT_WITNESSED = "not_witnessed"
    STATUS_MISSING = "status_missing"
    STATUS_OLD = "status_old"
    REVOKED = "revoked"
    SUSPENDED = "suspended"
    SUPERSEDED = "superseded"
    NOT_YET = "not_yet"
    ENDED = "ended"
    ACT = "act"
    ENTITY = "entity"
    CATEGORY = "category"
    CASE = "case"
    AMOUNT = "amount"
    AMOUNT_UNKNOWN = "amount_unknown"
    SERVICE = "service"
    SUB_AGENT = "sub_agent"
    ACTS_TOGETHER = "acts_together"
    TERM_TOO_LONG = "term_too_long"
    NO_LIMIT = "no_limit"
    FOREIGN_OFFICE = "foreign_office"
    STATES_ONLY = "states_only"
    CERTIFICATE_METHOD = "certificate_method"
    PRINCIPAL_UNKNOWN = "principal_unknown"


OUTCOME_OF: Final = {
    Reason.ALTERED: Outcome.FORGED,
    Reason.NOT_IN_REGISTER: Outcome.FORGED,
    Reason.CHAIN_BROKEN: Outcome.FORGED,
    Reason.PARENT_MISSING: Outcome.CANNOT_TELL,
    Reason.SEAL_UNKNOWN: Outcome.CANNOT_TELL,
    Reason.SEAL_UNPROVED: Outcome.CANNOT_TELL,
    Reason.NOT_WITNESSED: Outcome.CANNOT_TELL,
    Reason.STATUS_MISSING: Outcome.CANNOT_TELL,
    Reason.STATUS_OLD: Outcome.CANNOT_TELL,
    Reason.CERTIFICATE_METHOD: Outcome.CANNOT_TELL,
    Reason.PRINCIPAL_UNKNOWN: Outcome.CANNOT_TELL,
    Reason.SEAL_REVOKED: Outcome.REVOKED,
    Reason.REVOKED: Outcome.REVOKED,
    Reason.SUSPENDED: Outcome.REVOKED,
    Reason.SUPERSEDED: Outcome.REVOKED,
    Reason.NOT_YET: Outcome.EXPIRED,
    Reason.ENDED: Outcome.EXPIRED,
    **dict.fromkeys(
        (
            Reason.ACT,
            Reason.ENTITY,
            Reason.CATEGORY,
            Reason.CASE,
            Reason.AMOUNT,
            Reason.AMOUNT_UNKNOWN,
            Reason.SERVICE,
            Reason.SUB_AGENT,
            Reason.ACTS_TOGETHER,
            Reason.TERM_TOO_LONG,
            Reason.NO_LIMIT,
            Reason.FOREIGN_OFFICE,
            Reason.STATES_ONLY,
        ),
        Outcome.OUT_OF_SCOPE,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the power is to be good for, and on which day. What is None is not asked."""

    as_of: datetime
    act: Act | None = None
    entity: str | None = None
    category: str | None = None
    case_number: str | None = None
    amount: int | None = None
    """Yen."""
    tax_included: bool = True
    service: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the status list said of one mandate, and of when that list is; `later` what happened after the day asked."""

    state: State
    listed_at: datetime
    run_out: bool = False
    """Whether the list had ended by the day asked, as it says itself."""
    later: State | None = None
    later_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found out about one document."""

    faults: frozenset[Fault] = frozenset()
    """What `verify_document` found."""
    logged: bool | None = None
    """Whether its entry stands under a checkpoint: None where no proof came with it."""
    witnessed: bool = False
    status: Status | None = None
    anchored: bool | None = None
    """Whether the principal's own signature leads to an authority named for it; None where there is neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link(Found):
    """One grant of the chain, the outermost first."""

    grant: Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated(Found):
    """A statement, which stands by itself."""

    statement: Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer; `reasons` has all of them, the worst first. `later` is shown beside a verdict, and changes none."""

    outcome: Outcome
    reasons: tuple[Reason, ...]
    policy: Policy
    later: State | None = None
    later_at: datetime | None = None
    total_unchecked: bool = False
    """A limit for all acts together stands in it: nobody can check that from one record."""

    @property
    def exit_status(self) -> int:
        return EXIT_STATUS[self.outcome]


def judge(chain: Sequence[Link], question: Question, *, policy: Policy = NONE_GIVEN) -> Verdict:
    """The verdict on the last grant of `chain` (first the one that comes from nobody else's power)."""
    reasons: set[Reason] = set()
    for link in chain:
        reasons |= _of_found(link, (link.grant.begins, link.grant.ends), question, policy)
    first = chain[0].grant
    if first.parent is not None:
        reasons.add(Reason.PARENT_MISSING)
    try:
        narrowing.check_chain([replace(first, parent=None), *(link.grant for link in chain[1:])])
    except PowerRefused:
        reasons.add(Reason.CHAIN_BROKEN)
    last = chain[-1].grant
    reasons |= covering(last, question)
    reasons |= _of_policy(last, len(chain) - 1, question, policy)
    later = next((link.status for link in chain if link.status is not None and link.status.later is not None), None)
    return replace(
        _told(reasons, policy),
        later=None if later is None else later.later,
        later_at=None if later is None else later.later_at,
        total_unchecked=any(power.limit is not None and power.limit.total for power in last.powers),
    )


def judge_statement(stated: Stated, question: Question, *, policy: Policy = NONE_GIVEN) -> Verdict:
    """The verdict on a statement: is it as it was made, and did it still stand? It empowers nobody."""
    reasons = _of_found(stated, term_of(stated.statement), question, policy)
    asked = (question.act, question.entity, question.category, question.case_number, question.amount, question.service)
    if any(part is not None for part in asked):
        reasons.add(Reason.STATES_ONLY)
    status = stated.status
    return replace(
        _told(reasons, policy),
        later=None if status is None else status.later,
        later_at=None if status is None else status.later_at,
    )


def judge_certificate(question: Question, *, begins: datetime, ends: datetime, policy: Policy = NONE_GIVEN) -> Verdict:
    """The verdict on an agent's certificate (電子証明書方式): what it states is shown, and never called valid here."""
    reasons = {Reason.CERTIFICATE_METHOD}
    if question.as_of < begins:
        reasons.add(Reason.NOT_YET)
    if question.as_of > ends:  # RFC 5280 §4.1.2.5: the last moment is part of it
        reasons.add(Reason.ENDED)
    return _told(reasons, policy)


def judge_unread(faults: Iterable[Fault], *, policy: Policy = NONE_GIVEN) -> Verdict:
    """The verdict where a document shows no grant that could be judged; with no fault at all it is of another kind."""
    return _told(_of_faults(faults) or {Reason.SEAL_UNPROVED}, policy)


def _told(reasons: set[Reason], policy: Policy) -> Verdict:
    told = tuple(sorted(reasons, key=lambda each: (_WORST_FIRST.index(OUTCOME_OF[each]), list(Reason).index(each))))
    return Verdict(outcome=OUTCOME_OF[told[0]] if told else Outcome.VALID, reasons=told, policy=policy)


def _of_faults(faults: Iterable[Fault]) -> set[Reason]:
    reasons = set[Reason]()
    for fault in faults:
        if fault in TAMPERED:
            reasons.add(Reason.ALTERED)
        elif fault is Fault.UNTRUSTED:
            reasons.add(Reason.SEAL_UNKNOWN)
        else:
            reasons.add(Reason.SEAL_REVOKED if fault is Fault.REVOKED else Reason.SEAL_UNPROVED)
    return reasons


def _of_found(found: Found, term: tuple[datetime, datetime], question: Question, policy: Policy) -> set[Reason]:
    reasons = _of_faults(found.faults)
    if found.logged is False:
        reasons.add(Reason.NOT_IN_REGISTER)
    elif found.logged is None or not found.witnessed:
        reasons.add(Reason.NOT_WITNESSED)
    if found.anchored is False:
        reasons.add(Reason.PRINCIPAL_UNKNOWN)
    reasons |= _of_status(found.status, question, policy)
    begins, ends = term
    if question.as_of < begins:
        reasons.add(Reason.NOT_YET)
    if question.as_of >= ends:
        reasons.add(Reason.ENDED)
    return reasons


def _of_status(status: Status | None, question: Question, policy: Policy) -> set[Reason]:
    """By the epoch in force on the day asked: an older one cannot tell, a revocation it shows holds for good."""
    if status is None:
        return {Reason.STATUS_MISSING}
    ended = {
        State.REVOKED: Reason.REVOKED,
        State.SUPERSEDED: Reason.SUPERSEDED,
        State.SUSPENDED: Reason.SUSPENDED,
        State.EXPIRED: Reason.ENDED,
    }.get(status.state)
    reasons = set() if ended is None else {ended}
    if not reasons and status.state is not State.ACTIVE:
        reasons.add(Reason.STATUS_MISSING)
    if status.run_out or question.as_of - status.listed_at > policy.status_age:
        reasons.add(Reason.STATUS_OLD)
    return reasons


def covering(grant: Grant, question: Question) -> set[Reason]:
    """Why no single power of the grant covers what is asked: the reasons of the one that comes nearest."""
    return min((_of_power(power, question) for power in grant.powers), key=len)


def _of_power(power: Power, question: Question) -> set[Reason]:
    reasons = set[Reason]()
    scope = power.scope
    if question.act is not None and question.act not in power.acts:
        reasons.add(Reason.ACT)
    if question.service is not None and question.service != scope.service:
        reasons.add(Reason.SERVICE)
    if question.entity is not None and question.entity not in scope.entities and ANY_ENTITY not in scope.entities:
        reasons.add(Reason.ENTITY)
    if scope.categories and question.category is not None and question.category not in scope.categories:
        reasons.add(Reason.CATEGORY)
    if scope.kind is ScopeKind.CASE and question.case_number != scope.case_number:
        reasons.add(Reason.CASE)
    if power.limit is not None and question.amount is not None:
        if power.limit.tax_included != question.tax_included:
            reasons.add(Reason.AMOUNT_UNKNOWN)
        elif question.amount > power.limit.amount:
            reasons.add(Reason.AMOUNT)
    return reasons


def _of_policy(grant: Grant, steps: int, question: Question, policy: Policy) -> set[Reason]:
    reasons = set[Reason]()
    if policy.entities and question.entity is not None and question.entity not in policy.entities:
        reasons.add(Reason.FOREIGN_OFFICE)
    if steps > policy.sub_agents:
        reasons.add(Reason.SUB_AGENT)
    if policy.longest is not None and grant.ends - grant.begins > policy.longest:
        reasons.add(Reason.TERM_TOO_LONG)
    powers = [power for power in grant.powers if question.act is None or question.act in power.acts]
    for together in policy.together:
        if any(power.acts & together and not together <= power.acts for power in powers):
            reasons.add(Reason.ACTS_TOGETHER)
    if policy.limit_needed and any(power.limit is None for power in powers):
        reasons.add(Reason.NO_LIMIT)
    return reasons
