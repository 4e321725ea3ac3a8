"""The grant: what the principal signs, byte for byte, and the only place where a power of attorney says its content.

Its bytes are canonical JSON (RFC 8785) when we write them, and are never written again: whoever checks one reads the
very bytes that were signed. A person is named for the reader; who they are here stands in an id that is drawn for this
one grant, so that two grants of one person cannot be joined.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from typing import Any, Final, TypeVar

from broker.delegation import corporate_number
from broker.delegation.acts import ALLOWED, Act, Kind
from broker.delegation.family import year_after
from broker.delegation.rules import Rule
from broker.errors import InvalidToken, PowerRefused
from broker.jose import compact_json, parse_json

VERSION: Final = 1
MAX_BYTES: Final = 32 * 1024
MAX_POWERS: Final = 16
MAX_ENTRIES: Final = 64
MAX_TEXT: Final = 300
MAX_DEPTH: Final = 2
"""Sub-agents of sub-agents, at most."""
MAX_AMOUNT: Final = 10**15
"""Yen. More than any budget, and exact in every JSON reader (RFC 8785 §3.2.2.3)."""
JST: Final = timezone(timedelta(hours=9))
NUMBER: Final = re.compile(r"[A-Za-z0-9_-]{22,64}\Z")  # 128 random bits or more
_ID: Final = re.compile(r"[A-Za-z0-9_-]{16,64}\Z")
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\+09:00\Z", re.ASCII)
_CODE: Final = re.compile(r"[A-Za-z0-9._:/-]{1,200}\Z")
ANY_ENTITY: Final = "*"


class Method(StrEnum):
    """How the Act has it recorded (電子委任状法施行規則 art. 2)."""

    OPERATOR_FILE = "operator_file"
    """取扱事業者記録ファイル方式: the operator seals what the principal signed."""
    PRINCIPAL_FILE = "principal_file"
    """委任者記録ファイル方式: the principal's own signature travels with it."""
    CERTIFICATE = "certificate"
    """電子証明書方式: it stands in the agent's certificate; read and checked here, never made."""


class PartyKind(StrEnum):
    """What a party is before the law."""

    CORPORATION = "corporation"
    SOLE_PROPRIETOR = "sole_proprietor"
    PERSON = "person"


class ScopeKind(StrEnum):
    """What a power is good for."""

    TERM = "term"
    """期間委任: every case of the entities during the term."""
    CASE = "case"
    """都度委任: one case."""
    SERVICE = "service"
    """One service of a family's dealings: a client of the broker."""


class Joint(StrEnum):
    """How many of the approvers must agree (共同代理)."""

    ALONE = "alone"
    ALL = "all"
    ONE_OF = "one_of"
    AT_LEAST = "at_least"
    MAJORITY = "majority"


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Principal (委任者) or agent (受任者). `id` is random and this grant's own."""

    kind: PartyKind
    id: str
    name: str = field(repr=False)
    title: str = field(default="", repr=False)
    corporate_number: str = ""
    address: str = field(default="", repr=False)
    """Of a business; a person's never stands here."""
    representative: str = field(default="", repr=False)
    representative_title: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    kind: ScopeKind
    entities: frozenset[str] = frozenset()
    """Codes of procuring entities (発注機関), or "*" alone."""
    categories: frozenset[str] = frozenset()
    """物品, 役務, 工事, 業務; none means all."""
    case_number: str = ""
    case_name: str = ""
    service: str = ""
    """client_id of the service."""
    service_name: str = ""
    """What it was called when the power was granted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most so much for each act, or for all together; a total cannot be enforced offline and is told as such."""

    amount: int
    """Whole yen."""
    tax_included: bool
    total: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    acts: frozenset[Act]
    scope: Scope
    limit: Limit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JointVenture:
    """共同企業体. `members` are corporate numbers, the principal's among them."""

    name: str
    lead: bool
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    kind: Joint = Joint.ALONE
    count: int = 0
    approvers: tuple[str, ...] = ()
    """Their ids in this grant."""

    @property
    def needed(self) -> int:
        """How many approvals make it whole."""
        return {
            Joint.ALONE: 0,
            Joint.ALL: len(self.approvers),
            Joint.ONE_OF: 1,
            Joint.AT_LEAST: self.count,
            Joint.MAJORITY: len(self.approvers) // 2 + 1,
        }[self.kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One power of attorney as it was granted; from `begins` up to, not at, `ends`. Built only by `read`."""

    kind: Kind
    number: str
    """The mandate's number: at least 128 random bits, by which it is looked up and nothing else."""
    issuer: str
    nonce: str
    """Of the transaction in which the principal signed: a grant is signed once."""
    method: Method
    principal: Party
    agent: Party
    powers: tuple[Power, ...]
    begins: datetime
    ends: datetime
    sub_delegation: int = 0
    """How many steps of sub-agents may follow: none, one or two; always within the same corporation."""
    parent: str | None = None
    joint_venture: JointVenture | None = None
    approval: Approval = field(default_factory=Approval)
    qualified_until: datetime | None = None
    """Until when the principal is qualified to tender (競争参加資格); the term never goes beyond it."""
    supersedes: str | None = None


# --- reading ---------------------------------------------------------------------------------------------------------

_T = TypeVar("_T")


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
        parent=members.optional("parent", _number),
        joint_venture=members.optional("joint_venture", _joint_venture),
        approval=members.optional("approval", _approval) or Approval(),
        qualified_until=qualified_until,
        supersedes=members.optional("supersedes", _number),
    )
    members.done()
    _check(grant)
    return grant


class Members:
    """One object of the document: each member is taken once, and none may be left."""

    def __init__(self, members: Any, where: str = "") -> None:
        if not isinstance(members, dict):
            raise PowerRefused(Rule.FORM, where)
        self._left: dict[str, Any] = dict(members)
        self._where = where

    def at(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name

    def of(self, name: str) -> Any:
        try:
            return self._left.pop(name)
        except KeyError:
            raise PowerRefused(Rule.FORM, self.at(name)) from None

    def optional(self, name: str, reader: Callable[[Any, str], _T]) -> _T | None:
        return reader(self._left.pop(name), self.at(name)) if name in self._left else None

    def text(self, name: str) -> str:
        return _text(self.of(name), self.at(name))

    def matching(self, name: str, pattern: re.Pattern[str]) -> str:
        value = self.of(name)
        if not isinstance(value, str) or pattern.match(value) is None:
            raise PowerRefused(Rule.FORM, self.at(name))
        return value

    def one(self, kind: Callable[[Any], _T], name: str) -> _T:
        return _one(kind, self.of(name), self.at(name))

    def flag(self, name: str) -> bool:
        value = self.of(name)
        if not isinstance(value, bool):
            raise PowerRefused(Rule.FORM, self.at(name))
        return value

    def whole(self, name: str, least: int, most: int, rule: Rule = Rule.FORM) -> int:
        value = self.of(name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise PowerRefused(rule, self.at(name))
        return value

    def part(self, name: str) -> Members:
        return Members(self.of(name), self.at(name))

    def parts(self, name: str, most: int) -> tuple[Members, ...]:
        where = self.at(name)
        return tuple(Members(each, f"{where}.{n}") for n, each in enumerate(_array(self.of(name), where, most)))

    def texts(self, name: str, most: int = MAX_ENTRIES) -> tuple[str, ...]:
        where = self.at(name)
        texts = tuple(_text(each, where) for each in _array(self.of(name), where, most))
        if len(set(texts)) != len(texts):
            raise PowerRefused(Rule.FORM, where)
        return texts

    def has(self, name: str) -> bool:
        return name in self._left

    def done(self) -> None:
        if self._left:
            raise PowerRefused(Rule.FORM, self.at(min(self._left)))


def _array(value: Any, where: str, most: int) -> list[Any]:
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        raise PowerRefused(Rule.FORM, where)
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT or value != value.strip():
        raise PowerRefused(Rule.FORM, where)
    if any(ord(each) < 0x20 or 0x7F <= ord(each) < 0xA0 or 0xD800 <= ord(each) < 0xE000 for each in value):
        raise PowerRefused(Rule.FORM, where)
    return value


def _one(kind: Callable[[Any], _T], value: Any, where: str) -> _T:
    try:
        return kind(value)
    except ValueError:
        raise PowerRefused(Rule.FORM, where) from None


def _number(value: Any, where: str) -> str:
    if not isinstance(value, str) or NUMBER.match(value) is None:
        raise PowerRefused(Rule.FORM, where)
    return value


def moment_of(value: Any, where: str) -> datetime:
    """RFC 3339 in Japanese time, to the second, in one spelling."""
    if not isinstance(value, str) or _TIME.match(value) is None:
        raise PowerRefused(Rule.FORM, where)
    return _one(datetime.fromisoformat, value, where)


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
    acts = frozenset(_one(Act, each, members.at("acts")) for each in members.texts("acts"))
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


def canonical(document: Mapping[str, Any]) -> bytes:
    """RFC 8785, for what stands in grants: ASCII names of members, texts, whole numbers, booleans."""
    return compact_json(json.loads(json.dumps(document, sort_keys=True)))


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


def stamp(moment: datetime) -> str:
    """As times stand in a grant: Japanese time, to the second."""
    return moment.astimezone(JST).replace(microsecond=0).isoformat()


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


def present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
