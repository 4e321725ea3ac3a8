"""A power of attorney (委任): the grant stands whole in the request, and what is shown is read out of the signed bytes.

Nothing that this program has no words for is signed: an unknown member, act or kind of scope is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Literal

from cardreader.agent.display import displayable
from cardreader.agent.jose import canonical_json, parse_json
from cardreader.errors import ActionUnknown, RequestMalformed

MANDATE_TAG: Final = "JPKI-FED-MANDATE/1"
ACCEPT_TAG: Final = "JPKI-FED-ACCEPT/1"
MANDATE_TAGS: Final = (MANDATE_TAG, ACCEPT_TAG)
DOCUMENT_TYPE: Final = "application/json"
ACTS: Final = (
    "bid", "quote", "contract", "amend", "deliver", "invoice", "receive", "bond", "submit", "attend_opening",
    "appoint_subagent", "view_record", "write_record", "book",
)  # fmt: skip
"""In the order of showing them."""
METHODS: Final = ("operator_file", "principal_file")
MAX_GRANT: Final = 16 * 1024  # characters
Step = Literal["grant", "resume", "approve", "accept"]
Kind = Literal["poa.business", "poa.person", "poa.guardian"]
_STEPS: Final[Mapping[tuple[str, str], Step]] = MappingProxyType(
    {
        (MANDATE_TAG, "mandate"): "grant",
        (MANDATE_TAG, "resume"): "resume",
        (ACCEPT_TAG, "approve"): "approve",
        (ACCEPT_TAG, "accept"): "accept",
    }
)
_NEEDED: Final = frozenset(
    {
        "v", "type", "number", "issuer", "nonce", "method", "principal", "agent", "powers", "begins", "ends",
        "sub_delegation",
    }
)  # fmt: skip
_OPTIONAL: Final = frozenset({"parent", "supersedes", "qualified_until", "joint_venture", "approval"})
_PARTY: Final = frozenset(
    {"kind", "id", "name", "title", "corporate_number", "address", "representative", "representative_title"}
)
_SCOPE: Final = frozenset({"kind", "entities", "categories", "case_number", "case_name", "service", "service_name"})
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+09:00\Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """What may be done, where, and up to which amount (yen); everything safe to show."""

    acts: tuple[str, ...]
    places: str
    """The procuring entities, or the service; "*" for every entity."""
    case: str
    categories: str
    amount: int | None
    tax_included: bool
    total: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """One grant as it is shown; everything safe to show."""

    step: Step
    kind: Kind
    principal: str
    agent: str
    powers: tuple[Power, ...]
    begins: str
    ends: str
    """The last day, YYYY-MM-DD."""
    sub_delegation: int
    travels: bool
    """Whether the signature, and with it the certificate, goes to everybody who receives the document."""
    approvals: int
    """How many people have to agree as well; 0 for none."""
    sha256: bytes
    """Of the grant."""


def parse_mandate(tag: str, action: Mapping[str, Any]) -> Mandate:
    """Read the action of a mandate's request; its documents are for the caller. Raises ActionUnknown, RequestMalformed.

    With the principal's signature exactly one document is signed, and it is the grant that is shown.
    """
    step = _STEPS.get((tag, str(action.get("kind"))))
    if step is None or action.keys() != {"kind", "grant"} | ({"documents"} if step == "grant" else set()):
        raise ActionUnknown("a mandate's action is of a kind without a template, or has other members")
    text = action["grant"]
    if not isinstance(text, str) or len(text) > MAX_GRANT:
        raise RequestMalformed(f"grant is no text of at most {MAX_GRANT} characters")
    grant = parse_json(text, what="grant")
    if not isinstance(grant, dict) or canonical_json(grant) != text:
        raise RequestMalformed("grant is not an object in RFC 8785 form")
    if not _NEEDED <= grant.keys() <= _NEEDED | _OPTIONAL:
        raise ActionUnknown("a grant has members without a template, or lacks some")
    powers = grant["powers"]
    if not isinstance(powers, list) or not 1 <= len(powers) <= 16:
        raise RequestMalformed("powers has not 1 to 16 entries")
    steps = grant["sub_delegation"]
    if type(steps) is not int or not 0 <= steps <= 2:
        raise RequestMalformed("sub_delegation is not 0 to 2")
    approval = grant.get("approval", {})
    if not isinstance(approval, dict) or not isinstance(approval.get("approvers", []), list):
        raise RequestMalformed("approval is no object with approvers")
    if grant["method"] not in METHODS:
        raise ActionUnknown("a method of recording without a template")
    return Mandate(
        step=step,
        kind=_kind(grant["type"]),
        travels=grant["method"] == "principal_file" and step == "grant",
        principal=party_line(grant["principal"]),
        agent=party_line(grant["agent"]),
        powers=tuple(_power(power) for power in powers),
        begins=_day(grant["begins"]),
        ends=_day(grant["ends"], last=True),
        sub_delegation=steps,
        approvals=len(approval.get("approvers", [])),
        sha256=hashlib.sha256(text.encode()).digest(),
    )


def _kind(value: object) -> Kind:
    kinds: tuple[Kind, ...] = ("poa.business", "poa.person", "poa.guardian")
    for kind in kinds:
        if value == kind:
            return kind
    raise ActionUnknown("a grant of a type without a template")


def party_line(party: object) -> str:
    """Who they are, in one line. Raises ActionUnknown, RequestMalformed."""
    if not isinstance(party, dict) or not {"kind", "id", "name"} <= party.keys() <= _PARTY:
        raise ActionUnknown("a party has members without a template, or lacks some")
    words = [shown_text(party.get(name, "")) for name in ("name", "title", "representative_title", "representative")]
    number = shown_text(party.get("corporate_number", ""))
    shown = " ".join(word for word in words if word)
    return f"{shown}（{number}）" if number else shown


def _power(power: object) -> Power:
    if not isinstance(power, dict) or not {"acts", "scope"} <= power.keys() <= {"acts", "scope", "limit"}:
        raise ActionUnknown("a power has members without a template, or lacks some")
    acts, scope, limit = power["acts"], power["scope"], power.get("limit")
    if not isinstance(acts, list) or not acts or not all(act in ACTS for act in acts):
        raise ActionUnknown("an act without a template")
    if not isinstance(scope, dict) or not {"kind"} <= scope.keys() <= _SCOPE:
        raise ActionUnknown("a scope has members without a template")
    if scope["kind"] not in ("term", "case", "service"):
        raise ActionUnknown("a kind of scope without a template")
    if limit is not None and (
        not isinstance(limit, dict)
        or limit.keys() != {"amount", "tax_included", "total"}
        or type(limit["amount"]) is not int
        or not 0 < limit["amount"] <= 10**15
        or not all(isinstance(limit[name], bool) for name in ("tax_included", "total"))
    ):
        raise ActionUnknown("a limit without a template")
    places = scope.get("entities", [])
    if scope["kind"] == "service":
        places = [scope[name] for name in ("service_name", "service") if name in scope]
    return Power(
        acts=tuple(act for act in ACTS if act in acts),
        places=_list(places),
        case=" ".join(filter(None, (shown_text(scope.get("case_number", "")), shown_text(scope.get("case_name", ""))))),
        categories=_list(scope.get("categories", [])),
        amount=None if limit is None else limit["amount"],
        tax_included=limit is not None and limit["tax_included"],
        total=limit is not None and limit["total"],
    )


def _list(values: object) -> str:
    if not isinstance(values, list) or len(values) > 64:
        raise RequestMalformed("a scope lists more than 64 things, or no list")
    return ", ".join(shown_text(value) for value in values)


def shown_text(value: object) -> str:
    """A text of the signed bytes, safe to show. Raises RequestMalformed."""
    if not isinstance(value, str) or len(value) > 300:
        raise RequestMalformed("a grant has a text of more than 300 characters, or none")
    return displayable(value, at_most=300)


def _day(value: object, *, last: bool = False) -> str:
    """The day in Japan; of an end, at which a power holds no more, the last day."""
    if not isinstance(value, str) or not _TIME.match(value):
        raise RequestMalformed("a grant's time is not one of Japan")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise RequestMalformed("a grant's time is none") from None
    return (moment - timedelta(seconds=1) if last else moment).date().isoformat()
