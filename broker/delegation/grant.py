"""The grant: what the principal signs, and the only place where a power of attorney says its content.

A person is named for the reader; who they are here stands in an id that is drawn for this one grant, so that two grants
of one person cannot be joined. Its bytes are `grant_document`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from broker.delegation.acts import Act, Kind

MAX_DEPTH: Final = 2
"""Sub-agents of sub-agents, at most."""
MAX_AMOUNT: Final = 10**15
"""Yen. More than any budget, and exact in every JSON reader (RFC 8785 §3.2.2.3)."""
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
    """One power of attorney as it was granted; from `begins` up to, not at, `ends`.

    Built only by `grant_document.read`.
    """

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
