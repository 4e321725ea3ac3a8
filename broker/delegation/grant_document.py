"""A grant's bytes: read by its rules, and written canonically (RFC 8785).

They are canonical JSON when we write them, and are never written again: whoever checks a grant reads the very bytes
that were signed.
"""

from __future__ import annotations

import re
from typing import Any, Final

from broker.delegation import corporate_number
from broker.delegation.acts import ALLOWED, Act, Kind
from broker.delegation.family import year_after
from broker.delegation.grant import (
    ANY_ENTITY,
    MAX_AMOUNT,
    MAX_DEPTH,
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
from broker.delegation.members import (
    MAX_BYTES,
    MAX_ENTRIES,
    NUMBER,
    Members,
    canonical,
    moment_of,
    number_of,
    one_of,
    present,
    stamp,
)
from broker.delegation.rules import Rule
from broker.errors import InvalidToken, PowerRefused
from broker.jose import parse_json

VERSION: Final = 1
MAX_POWERS: Final = 16
_ID: Final = re.compile(r"[A-Za-z0-9_-]{16,64}\Z")
_CODE: Final = re.compile(r"[A-Za-z0-9._:/-]{1,200}\Z")


def read(data: bytes) -> Grant:
    """The grant in `data`. Raises PowerRefused with the first rule that it breaks, in the order of its members."""
    if len(data) > MAX_BYTES:
        raise PowerRefused(Rule.FORM)
    try:
        members = Members(parse_json(data, limit=MAX_BYTES))
    except InvalidToken:
        raise PowerRefused(Rule.FORM) from None
    if members.of("v") != VERSION:
        raise PowerRefused(Rule.VERSION, "v")
    kind = members.one(Kind, "type")
    qualified_until = members.optional("qualified_until", moment_of)
    grant = Grant(
        kind=kind,
        number=members.matching("number", NUMBER),
        issuer=members.text("issuer"),
        nonce=members.matching("nonce", NUMBER),
        method=members.one(Method, "method"),
        principal=party_of(members.part("principal")),
        agent=party_of(members.part("agent")),
        powers=tuple(_power(each) for each in members.parts("powers", MAX_POWERS)),
        begins=moment_of(members.of("begins"), "begins"),
        ends=moment_of(members.of("ends"), "ends"),
        sub_delegation=members.whole("sub_delegation", 0, MAX_DEPTH),
        parent=members.optional("parent", number_of),
        joint_venture=members.optional("joint_venture", _joint_venture),
        approval=members.optional("approval", _approval) or Approval(),
        qualified_until=qualified_until,
        supersedes=members.optional("supersedes", number_of),
    )
    members.done()
    _check(grant)
    return grant


def party_of(members: Members) -> Party:
    """Raises PowerRefused."""
    number = members.text("corporate_number") if members.has("corporate_number") else ""
    party = Party(
        kind=members.one(PartyKind, "kind"),
        id=members.matching("id", _ID),
        name=members.text("name"),
        title=members.text("title") if members.has("title") else "",
        corporate_number=number,
        address=members.text("address") if members.has("address") else "",
        representative=members.text("representative") if members.has("representative") else "",
        representative_title=members.text("representative_title") if members.has("representative_title") else "",
    )
    members.done()
    if number:
        corporate_number.check(number, members.at("corporate_number"))
    if party.kind is PartyKind.CORPORATION and not number:
        raise PowerRefused(Rule.CORPORATE_NUMBER, members.at("corporate_number"))
    if party.kind is PartyKind.CORPORATION and not party.representative:
        raise PowerRefused(Rule.FORM, members.at("representative"))
    if party.kind is not PartyKind.CORPORATION and party.representative:
        raise PowerRefused(Rule.FORM, members.at("representative"))
    if party.kind is PartyKind.PERSON and party.address:
        raise PowerRefused(Rule.FORM, members.at("address"))
    return party


def _power(members: Members) -> Power:
    acts = frozenset(one_of(Act, each, members.at("acts")) for each in members.texts("acts"))
    scope = _scope(members.part("scope"))
    limit = members.optional("limit", _limit)
    members.done()
    return Power(acts=acts, scope=scope, limit=limit)


def _scope(members: Members) -> Scope:
    kind = members.one(ScopeKind, "kind")
    if kind is ScopeKind.SERVICE:
        name = members.text("service_name") if members.has("service_name") else ""
        scope = Scope(kind=kind, service=members.matching("service", _CODE), service_name=name)
    else:
        entities = frozenset(members.texts("entities"))
        if (ANY_ENTITY in entities and len(entities) > 1) or not all(
            each == ANY_ENTITY or _CODE.match(each) for each in entities
        ):
            raise PowerRefused(Rule.ENTITY, members.at("entities"))
        if kind is ScopeKind.CASE and not (members.has("case_number") and members.has("case_name")):
            raise PowerRefused(Rule.CASE, members.at("case_number"))
        one_case = kind is ScopeKind.CASE
        scope = Scope(
            kind=kind,
            entities=entities,
            categories=frozenset(members.texts("categories")) if members.has("categories") else frozenset(),
            case_number=members.text("case_number") if one_case else "",
            case_name=members.text("case_name") if one_case else "",
        )
        if one_case and ANY_ENTITY in entities:
            raise PowerRefused(Rule.CASE, members.at("entities"))  # a case belongs to somebody
    members.done()
    return scope


def _limit(value: Any, where: str) -> Limit:
    members = Members(value, where)
    limit = Limit(
        amount=members.whole("amount", 1, MAX_AMOUNT, Rule.AMOUNT),
        tax_included=members.flag("tax_included"),
        total=members.flag("total"),
    )
    members.done()
    return limit


def _joint_venture(value: Any, where: str) -> JointVenture:
    members = Members(value, where)
    venture = JointVenture(name=members.text("name"), lead=members.flag("lead"), members=members.texts("members"))
    members.done()
    for each in venture.members:
        corporate_number.check(each, members.at("members"))
    if len(venture.members) < 2:
        raise PowerRefused(Rule.JOINT_VENTURE, where)
    return venture


def _approval(value: Any, where: str) -> Approval:
    members = Members(value, where)
    kind = members.one(Joint, "kind")
    approvers = members.texts("approvers") if members.has("approvers") else ()
    count = members.whole("count", 1, MAX_ENTRIES, Rule.APPROVAL) if members.has("count") else 0
    members.done()
    if not all(_ID.match(each) for each in approvers):
        raise PowerRefused(Rule.FORM, f"{where}.approvers")
    if (kind is Joint.ALONE) == bool(approvers) or (kind is Joint.AT_LEAST) != bool(count) or count > len(approvers):
        raise PowerRefused(Rule.APPROVAL, where)
    return Approval(kind=kind, count=count, approvers=approvers)


# --- the rules of one grant ------------------------------------------------------------------------------------------


def _check(grant: Grant) -> None:
    business = grant.kind is Kind.BUSINESS
    if business == (grant.principal.kind is PartyKind.PERSON):
        raise PowerRefused(Rule.KIND_OF_PRINCIPAL, "principal.kind")
    if not business and grant.agent.kind is not PartyKind.PERSON:
        raise PowerRefused(Rule.KIND_OF_PRINCIPAL, "agent.kind")
    if grant.principal.id == grant.agent.id:
        raise PowerRefused(Rule.SAME_PARTY, "agent.id")
    if grant.begins >= grant.ends:
        raise PowerRefused(Rule.TERM, "ends")
    if not business and grant.ends > year_after(grant.begins):
        raise PowerRefused(Rule.TERM_TOO_LONG, "ends")
    if grant.qualified_until is not None and grant.ends > grant.qualified_until:
        raise PowerRefused(Rule.QUALIFICATION, "ends")
    for n, power in enumerate(grant.powers):
        _check_power(grant.kind, power, f"powers.{n}")
    granted = frozenset[Act]().union(*(power.acts for power in grant.powers))
    if bool(grant.sub_delegation) != (Act.APPOINT_SUBAGENT in granted):
        raise PowerRefused(Rule.SUB_DELEGATION, "sub_delegation")
    if grant.number in {grant.supersedes, grant.parent}:
        raise PowerRefused(Rule.FORM, "number")
    if grant.joint_venture is not None and grant.principal.corporate_number not in grant.joint_venture.members:
        raise PowerRefused(Rule.JOINT_VENTURE, "joint_venture.members")
    if not business and (grant.joint_venture or grant.sub_delegation or grant.parent or grant.qualified_until):
        raise PowerRefused(Rule.KIND_OF_PRINCIPAL, "type")
    if not business and grant.approval.approvers:
        raise PowerRefused(Rule.APPROVAL, "approval")


def _check_power(kind: Kind, power: Power, where: str) -> None:
    if not power.acts <= ALLOWED[kind]:
        raise PowerRefused(Rule.ACTS, f"{where}.acts")
    if (power.scope.kind is ScopeKind.SERVICE) == (kind is Kind.BUSINESS):
        raise PowerRefused(Rule.SCOPE, f"{where}.scope.kind")
    if power.limit is not None and kind is not Kind.BUSINESS:
        raise PowerRefused(Rule.AMOUNT, f"{where}.limit")


# --- writing ---------------------------------------------------------------------------------------------------------


def write(grant: Grant) -> bytes:
    """The canonical bytes of a grant that is yet to be signed (RFC 8785). Raises PowerRefused, as `read` of them."""
    data = canonical(_document(grant))
    if read(data) != grant:  # what is signed is what was meant
        raise PowerRefused(Rule.FORM)
    return data


def _document(grant: Grant) -> dict[str, Any]:
    document: dict[str, Any] = {
        "v": VERSION,
        "type": grant.kind.value,
        "number": grant.number,
        "issuer": grant.issuer,
        "nonce": grant.nonce,
        "method": grant.method.value,
        "principal": party_document(grant.principal),
        "agent": party_document(grant.agent),
        "powers": [_power_document(power) for power in grant.powers],
        "begins": stamp(grant.begins),
        "ends": stamp(grant.ends),
        "sub_delegation": grant.sub_delegation,
        "parent": grant.parent,
        "supersedes": grant.supersedes,
        "qualified_until": None if grant.qualified_until is None else stamp(grant.qualified_until),
    }
    if grant.joint_venture is not None:
        venture = grant.joint_venture
        document["joint_venture"] = {"name": venture.name, "lead": venture.lead, "members": list(venture.members)}
    if grant.approval.kind is not Joint.ALONE:
        document["approval"] = present(
            kind=grant.approval.kind.value,
            approvers=list(grant.approval.approvers) or None,
            count=grant.approval.count or None,
        )
    return present(**document)


def party_document(party: Party) -> dict[str, Any]:
    return present(
        kind=party.kind.value,
        id=party.id,
        name=party.name,
        title=party.title or None,
        corporate_number=party.corporate_number or None,
        address=party.address or None,
        representative=party.representative or None,
        representative_title=party.representative_title or None,
    )


def _power_document(power: Power) -> dict[str, Any]:
    scope = present(
        kind=power.scope.kind.value,
        entities=sorted(power.scope.entities) or None,
        categories=sorted(power.scope.categories) or None,
        case_number=power.scope.case_number or None,
        case_name=power.scope.case_name or None,
        service=power.scope.service or None,
        service_name=power.scope.service_name or None,
    )
    limit = None
    if power.limit is not None:
        limit = {
            "amount": power.limit.amount,
            "tax_included": power.limit.tax_included,
            "total": power.limit.total,
        }
    return present(acts=sorted(act.value for act in power.acts), scope=scope, limit=limit)
