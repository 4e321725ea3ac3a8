"""The story of a question about a mandate: may who logs in do this for somebody else?

answered   in the unit of work that issues tokens: the mandate is locked, judged anew, and the answer written down
standing   afterwards: what of an earlier answer still holds

Yes holds for one minute and for that act alone; everything else is no, and no reason leaves (design 4.15).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from broker.accounts.account import State as AccountState
from broker.audit.entry import Entry, Event
from broker.delegation.acts import Act, Kind
from broker.delegation.answering import Authority, Standing, allowing, authority
from broker.delegation.life import ENDED, Role, State
from broker.delegation.verdict import Question
from broker.errors import DelegationUnknown
from broker.flows import family_mandates
from broker.flows.mandate_ports import Decided, Mandate
from broker.flows.mandates import HELD, chain, grant_of, known
from broker.flows.ports import Ports, Transaction
from broker.ids import AccountID, MandateNumber, SectorID, Subject
from broker.jose import b64url, compact_json
from broker.oidc import authorization_details, mandate_question
from broker.oidc.authorization_details import Detail
from broker.oidc.client import Client
from broker.oidc.grants import Grant
from broker.oidc.mandate_question import PIN, MandateQuestion

HOLDS: Final = timedelta(seconds=60)
"""How long yes counts, for that act."""
ALLOW: Final = "allow"
DENY: Final = "deny"
_ADDED: Final = ("decision", "decision_id", "act", "decided_at", "holds_until", "principal", "total_checked")
"""Members of an answer that its question did not have."""
CORPORATION: Final = "urn:jpki-broker:corporation:"
"""With the corporate number: the `sub` of a corporation, which is as public as its name."""
ONCE_HELD: Final = HELD | (ENDED - {State.ABANDONED})


# --- what an answer rests on ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A mandate of which somebody is the agent."""

    mandate: Mandate
    standing: Standing
    root: MandateNumber
    principal: AccountID | None = field(repr=False)


def opened(tx: Transaction, mandate: Mandate, *, ports: Ports) -> Held:
    """Raises DelegationUnknown, StoreUnavailable."""
    links = chain(tx, mandate)
    return Held(
        mandate=mandate,
        standing=Standing(
            chain=tuple(grant_of(each, ports=ports) for each in links), states=tuple(each.state for each in links)
        ),
        root=links[0].number,
        principal=_account_of(tx, links[0].number, Role.PRINCIPAL),
    )


def _account_of(tx: Transaction, number: MandateNumber, role: Role) -> AccountID | None:
    return next((part.account for part in tx.mandates.parts(number) if part.role is role and part.done_at), None)


def question_of(asked: MandateQuestion, *, client: Client, now: datetime) -> Question:
    """What the verdict is asked."""
    return Question(
        as_of=now,
        act=Act(asked.act),
        entity=asked.entity,
        category=asked.category,
        case_number=asked.case_number,
        amount=asked.amount,
        tax_included=asked.tax_included,
        service=client.client_id if asked.entity is None else None,
    )


# --- with the tokens -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """`details` as they are told (RFC 9396 §7), and what the ID token may say of powers that were confirmed."""

    details: str
    authority: tuple[Authority, ...] = field(default=(), repr=False)


def answered(tx: Transaction, grant: Grant, client: Client, details: str, *, now: datetime, ports: Ports) -> Answered:
    """Answer what `details` ask, in the caller's unit of work. Raises StoreUnavailable.

    An answer and a revocation queue at the rows of the mandate and all it comes from, the outermost first.
    """
    parts = authorization_details.from_json(details)
    if not any(part.type == mandate_question.TYPE for part in parts):
        return Answered(details=details)
    told: list[Detail] = []
    confirmed: list[Authority] = []
    for part in parts:
        if part.type != mandate_question.TYPE:
            told.append(part)
            continue
        made = decide(tx, grant, client, mandate_question.read(_pinned(grant, part)), now=now, ports=ports)
        told.append(authorization_details.with_members(part, **{PIN: None}, **made.members))
        if made.authority is not None:
            confirmed.append(made.authority)
    return Answered(details=authorization_details.to_json(tuple(told)), authority=tuple(confirmed))


def pins(details: str) -> tuple[str, ...]:
    """The mandates that granted questions rest on."""
    found = (part.members.get(PIN) for part in authorization_details.from_json(details))
    return tuple(each for each in found if isinstance(each, str))


def _pinned(grant: Grant, part: Detail) -> dict[str, Any]:
    """The members with the pin of the granted question that covers them."""
    for whole in authorization_details.from_json(grant.authorization_details):
        if whole.type == part.type and mandate_question.covers(whole.members, _bare(part)):
            return _bare(part) | {PIN: whole.members.get(PIN)}
    return _bare(part)


def asked_of(part: Detail) -> Detail:
    """The question alone, without its answer; `mandate` stays, for the answer came from it."""
    return authorization_details.with_members(part, **dict.fromkeys(_ADDED))


def _bare(part: Detail) -> dict[str, Any]:
    return {name: value for name, value in part.members.items() if name != PIN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One answer: the members that it adds to its question."""

    members: dict[str, Any]
    authority: Authority | None = None
    standing: Standing | None = field(default=None, repr=False)
    holds_until: datetime


def decide(
    tx: Transaction, grant: Grant, client: Client, asked: MandateQuestion, *, now: datetime, ports: Ports
) -> Decision:
    """Lock, judge and write down, for both parties to see. Raises StoreUnavailable."""
    question = question_of(asked, client=client, now=now)
    held = _locked(tx, asked, grant, ports=ports) if client.asks_mandates else None
    subject = None
    if (
        held is not None
        and allowing(held.standing, question) is not None
        and stands(tx, held.standing, held.principal, now=now, ports=ports)
    ):
        subject = subject_of(tx, held.standing, held.principal, client.sector, ports=ports)
        if asked.identifier not in {None, subject}:
            subject = None
    allowed = held is not None and subject is not None
    until = now + HOLDS if allowed else now
    decision_id = b64url(ports.entropy(18))
    if held is not None:
        tx.mandates.decide(
            Decided(
                decision_id=decision_id,
                number=held.mandate.number,
                client_id=client.client_id,
                act=Act(asked.act),
                entity=asked.entity,
                amount=asked.amount,
                allowed=allowed,
                at=now,
                holds_until=until,
            )
        )
    tx.audit.append(
        Entry(
            at=now,
            event=Event.MANDATE_ANSWERED,
            client_id=client.client_id,
            account=grant.account,
            reference=None if held is None else held.mandate.number,
            detail={"decision": ALLOW if allowed else DENY, "decision_id": decision_id, "act": asked.act},
        )
    )
    members: dict[str, Any] = {
        "decision": ALLOW if allowed else DENY,
        "decision_id": decision_id,
        "act": asked.act,
        "decided_at": _stamp(now),
        "holds_until": _stamp(until),
    }
    if held is None or not allowed:
        return Decision(members=members, holds_until=until)
    members["principal"] = subject
    if held.mandate.kind is Kind.BUSINESS:
        members["mandate"] = held.mandate.number
    if any(power.limit is not None and power.limit.total for power in held.standing.last.powers):
        members["total_checked"] = False
    return Decision(
        members=members, authority=authority(held.standing, question), standing=held.standing, holds_until=until
    )


def _locked(tx: Transaction, asked: MandateQuestion, grant: Grant, *, ports: Ports) -> Held | None:
    """The mandate that the person was shown, of which they still are the agent; nobody changes it in this unit."""
    if asked.pin is None:
        return None
    try:
        number = MandateNumber(asked.pin)
        for link in chain(tx, known(tx, number)):
            tx.mandates.lock(link.number)
        mandate = known(tx, number)
        if _account_of(tx, number, Role.AGENT) != grant.account or mandate.state not in ONCE_HELD:
            return None
        if asked.mandate not in {None, number}:
            return None
        return opened(tx, mandate, ports=ports)
    except DelegationUnknown:
        return None


def stands(tx: Transaction, standing: Standing, principal: AccountID | None, *, now: datetime, ports: Ports) -> bool:
    """What must be so of the principal, beside the mandate itself. A corporation needs no account here; somebody of the
    family has a certificate that is good now (`family_mandates.ask` has been before).
    """
    if standing.last.principal.corporate_number:
        return True
    if principal is None:
        return False
    state = tx.standings.state(principal)
    if standing.last.kind is Kind.BUSINESS:
        return state is not AccountState.DELETED
    number = MandateNumber(standing.last.number)
    return state is AccountState.OPEN and family_mandates.may_act(tx, number, principal, now=now)


def subject_of(
    tx: Transaction, standing: Standing, principal: AccountID | None, sector: SectorID, *, ports: Ports
) -> str | None:
    """By what the client knows the principal: a corporation by its public number, everybody else by the pseudonym that
    they have, or would have, there.
    """
    corporate = standing.last.principal.corporate_number
    if corporate:
        return f"{CORPORATION}{corporate}"
    if principal is None:
        return None
    return tx.accounts.subject(principal, sector, fresh=Subject(b64url(ports.entropy(32))))


def actors(tx: Transaction, grant: Grant, standing: Standing, sector: SectorID, *, ports: Ports) -> dict[str, Any]:
    """The `act` claim (RFC 8693 §4.1): who acts now, and within it those who handed the power on."""
    told: dict[str, Any] | None = None
    for link in standing.chain[:-1]:
        account = _account_of(tx, MandateNumber(link.number), Role.AGENT)
        if account is None:
            continue
        before = {"sub": tx.accounts.subject(account, sector, fresh=Subject(b64url(ports.entropy(32))))}
        told = before if told is None else {**before, "act": told}
    mine = {"sub": grant.subject}
    return mine if told is None else {**mine, "act": told}


# --- afterwards ------------------------------------------------------------------------------------------------------


def standing(tx: Transaction, details: str, *, client: Client | None, now: datetime, ports: Ports) -> Answered:
    """What of earlier answers still holds now: a yes that does not is told as no. Nothing is asked or written anew."""
    told: list[dict[str, Any]] = []
    confirmed: list[Authority] = []
    for members in json.loads(details) if details else ():
        if members.get("type") != mandate_question.TYPE or members.get("decision") != ALLOW:
            told.append(members)
            continue
        found = _holding(tx, members, client, now=now, ports=ports)
        told.append(_as_no(members) if found is None else members)
        confirmed += [] if found is None else [found]
    return Answered(details=compact_json(told).decode() if told else "", authority=tuple(confirmed))


def _holding(
    tx: Transaction, members: dict[str, Any], client: Client | None, *, now: datetime, ports: Ports
) -> Authority | None:
    decided = tx.mandates.decision(members["decision_id"])
    if decided is None or client is None or not decided.allowed or now >= decided.holds_until:
        return None
    if decided.client_id != client.client_id:
        return None
    try:
        held = opened(tx, known(tx, decided.number), ports=ports)
    except DelegationUnknown:
        return None
    question = question_of(mandate_question.read(members), client=client, now=now)
    if allowing(held.standing, question) is None or not stands(tx, held.standing, held.principal, now=now, ports=ports):
        return None
    return authority(held.standing, question)


def _as_no(members: dict[str, Any]) -> dict[str, Any]:
    left = {name: value for name, value in members.items() if name not in {"principal", "total_checked"}}
    left.pop("mandate", None)
    return left | {"decision": DENY, "holds_until": members["decided_at"]}


def _stamp(moment: datetime) -> str:
    return moment.replace(microsecond=0).isoformat().replace("+00:00", "Z")
