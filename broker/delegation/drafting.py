"""A grant from what somebody typed into a form: every box is bounded, and a refusal names the rule and the box."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Final

from broker.delegation.acts import Act, Kind
from broker.delegation.boxes import Boxes
from broker.delegation.family import of_age, year_after
from broker.delegation.grant import (
    ANY_ENTITY,
    Approval,
    Grant,
    Joint,
    JointVenture,
    Limit,
    Method,
    Party,
    PartyKind,
    Power,
    Scope,
    ScopeKind,
)
from broker.delegation.grant_document import read, write
from broker.delegation.members import JST
from broker.delegation.rules import Rule
from broker.errors import PowerRefused

CATEGORIES: Final = ("物品", "役務", "工事", "業務")
MAX_APPROVERS: Final = 8
TEXTS: Final = (
    "principal_name", "principal_representative", "principal_representative_title", "principal_address", "agent_name",
    "agent_title", "case_number", "case_name", "jv_name",
)  # fmt: skip
"""Boxes that hold words of people's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What is drawn for one grant: its number and nonce, and an id for everybody in it."""

    number: str
    nonce: str
    issuer: str
    principal: str
    agent: str
    approvers: Sequence[str] = ()


def grant_of(
    fields: Mapping[str, str],
    *,
    names: Names,
    entities: Collection[str] = (),
    services: Mapping[str, str] = MappingProxyType({}),
) -> Grant:
    """The grant that a form asks for. `entities` are the procuring entities that are known; none: any code will do.
    `services` are the names of those at which people may act for others, by client_id.

    Raises PowerRefused.
    """
    box = Boxes(fields)
    kind = box.one(Kind, "kind")
    if kind is not Kind.BUSINESS:
        return _family_grant(box, kind, fields, names=names, services=services)
    corporate = box.text("principal_corporate_number")
    principal_kind = box.one(PartyKind, "principal_kind")
    if principal_kind is PartyKind.CORPORATION and not corporate:
        raise PowerRefused(Rule.CORPORATE_NUMBER, "principal_corporate_number")
    is_corporation = principal_kind is PartyKind.CORPORATION
    power = Power(acts=_acts(fields), scope=_scope(box, entities), limit=_limit(box))
    count = box.whole("approvers", 0, MAX_APPROVERS)
    ends = box.day("ends")
    grant = Grant(
        kind=kind,
        number=names.number,
        issuer=names.issuer,
        nonce=names.nonce,
        method=_method(box),
        principal=Party(
            kind=principal_kind,
            id=names.principal,
            name=box.text("principal_name", needed=True),
            corporate_number=corporate,
            address=box.text("principal_address"),
            representative=box.text("principal_representative", needed=True) if is_corporation else "",
            representative_title=box.text("principal_representative_title") if is_corporation else "",
        ),
        agent=Party(
            kind=PartyKind.PERSON,
            id=names.agent,
            name=box.text("agent_name", needed=True),
            title=box.text("agent_title"),
            corporate_number=box.text("agent_corporate_number"),
        ),
        powers=(power,),
        begins=_midnight(box.day("begins")),
        ends=_midnight(ends + timedelta(days=1)),
        sub_delegation=box.whole("sub_delegation", 0, 2),
        parent=box.text("parent") or None,
        supersedes=box.text("supersedes") or None,
        qualified_until=_midnight(box.day("qualified_until") + timedelta(days=1))
        if box.text("qualified_until")
        else None,
        joint_venture=_joint_venture(box),
        approval=_approval(box, names, count),
    )
    return read(write(grant))


def _family_grant(
    box: Boxes, kind: Kind, fields: Mapping[str, str], *, names: Names, services: Mapping[str, str]
) -> Grant:
    """Between two people, at one service. A last day that is left open is the last that the rules allow; of the child
    nothing but that day is kept.
    """
    service = box.text("service", needed=True)
    if service not in services:
        raise PowerRefused(Rule.SERVICE, "service")
    begins = _midnight(box.day("begins"))
    latest = year_after(begins)
    if kind is Kind.GUARDIAN:
        latest = min(latest, of_age(box.day("child_born")))
    if latest <= begins:
        raise PowerRefused(Rule.OF_AGE, "child_born")
    ends = _midnight(box.day("ends") + timedelta(days=1)) if box.text("ends") else latest
    if ends > latest:
        raise PowerRefused(Rule.TERM_TOO_LONG if latest == year_after(begins) else Rule.OF_AGE, "ends")
    grant = Grant(
        kind=kind,
        number=names.number,
        issuer=names.issuer,
        nonce=names.nonce,
        method=Method.OPERATOR_FILE,
        principal=Party(kind=PartyKind.PERSON, id=names.principal, name=box.text("principal_name", needed=True)),
        agent=Party(
            kind=PartyKind.PERSON,
            id=names.agent,
            name=box.text("agent_name", needed=True),
            title=box.text("agent_title"),
        ),
        powers=(
            Power(
                acts=_acts(fields),
                scope=Scope(kind=ScopeKind.SERVICE, service=service, service_name=services[service]),
            ),
        ),
        begins=begins,
        ends=ends,
    )
    return read(write(grant))


def _method(box: Boxes) -> Method:
    """The certificate's is read here, never made."""
    if not box.text("method"):
        return Method.OPERATOR_FILE
    method = box.one(Method, "method")
    if method is Method.CERTIFICATE:
        raise PowerRefused(Rule.FORM, "method")
    return method


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=JST)


def _acts(fields: Mapping[str, str]) -> frozenset[Act]:
    acts = frozenset(act for act in Act if fields.get(f"act_{act.value}") == "yes")
    if not acts:
        raise PowerRefused(Rule.ACTS, "acts")
    return acts


def _scope(box: Boxes, entities: Collection[str]) -> Scope:
    scope_kind = box.one(ScopeKind, "scope_kind")
    wanted = frozenset(box.words("entities"))
    if not wanted or (entities and not wanted <= {*entities, ANY_ENTITY}):
        raise PowerRefused(Rule.ENTITY, "entities")
    case = scope_kind is ScopeKind.CASE
    if case and not (box.text("case_number") and box.text("case_name")):
        raise PowerRefused(Rule.CASE, "case_number")
    categories = frozenset(each for n, each in enumerate(CATEGORIES) if box.text(f"category_{n}") == "yes")
    return Scope(
        kind=scope_kind,
        entities=wanted,
        categories=categories,
        case_number=box.text("case_number") if case else "",
        case_name=box.text("case_name") if case else "",
    )


def _limit(box: Boxes) -> Limit | None:
    if not box.text("limit_amount"):
        return None
    return Limit(
        amount=box.whole("limit_amount", 1, 10**15, Rule.AMOUNT),
        tax_included=box.text("limit_tax") != "excluded",
        total=box.text("limit_total") == "yes",
    )


def _joint_venture(box: Boxes) -> JointVenture | None:
    name = box.text("jv_name")
    if not name:
        return None
    return JointVenture(name=name, lead=box.text("jv_lead") == "yes", members=box.words("jv_members"))


def _approval(box: Boxes, names: Names, count: int) -> Approval:
    if not count:
        return Approval()
    kind = box.one(Joint, "approval_kind") if box.text("approval_kind") else Joint.ALL
    return Approval(
        kind=kind,
        count=box.whole("approval_count", 1, MAX_APPROVERS, Rule.APPROVAL) if kind is Joint.AT_LEAST else 0,
        approvers=tuple(names.approvers[:count]),
    )
