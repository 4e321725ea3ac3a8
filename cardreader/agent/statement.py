"""A certificate of employment (雇用証明書): it stands whole in the request, and what is shown is of the signed bytes.

The employer signs; nobody is empowered. As with a power of attorney, nothing is signed that this program has no words
for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Final

from cardreader.agent.jose import canonical_json, parse_json
from cardreader.agent.mandate import MAX_GRANT, party_line, shown_text
from cardreader.errors import ActionUnknown, RequestMalformed

KIND: Final = "statement"
TYPE: Final = "statement.employment"
EMPLOYMENTS: Final = ("regular", "fixed_term", "part_time", "dispatched", "officer")
LEAVES: Final = ("maternity", "childcare")
_NEEDED: Final = frozenset(
    {
        "v", "type", "number", "issuer", "nonce", "employer", "employee", "employment", "employed_since",
        "certified_on", "told_until",
    }
)  # fmt: skip
_TEXTS: Final = ("industry", "workplace", "workplace_address", "purpose", "remarks", "contact")
_OPTIONAL: Final = frozenset(
    {*_TEXTS, "employed_until", "hours", "worked", "leave", "returns_on", "income", "supersedes"}
)
_PARTS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "hours": frozenset({"days_a_week", "hours_a_month", "starts", "finishes", "rest_minutes"}),
        "leave": frozenset({"kind", "since", "until"}),
        "income": frozenset({"year", "income"}),
    }
)
_CLOCK: Final = re.compile(r"[0-2][0-9]:[0-5][0-9]\Z", re.ASCII)
_MONTH: Final = re.compile(r"[0-9]{4}-[01][0-9]\Z", re.ASCII)
_MOST: Final = 10**15


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement as it is shown; everything safe to show. Days are YYYY-MM-DD, "" where nothing is said."""

    employer: str
    address: str
    """The employer's."""
    employee: str
    employment: str
    since: str
    until: str
    certified_on: str
    told_until: str
    texts: Mapping[str, str]
    """By the names of _TEXTS; what is not said is not there."""
    hours: Mapping[str, Any]
    worked: tuple[tuple[str, int, int], ...]
    """Month, days, hours."""
    leave: Mapping[str, str]
    returns_on: str
    income: tuple[int, int] | None
    """Year and yen."""
    corrects: bool
    sha256: bytes
    """Of the statement."""


def parse_statement(action: Mapping[str, Any]) -> Statement:
    """Read the action of a statement's request; its documents are for the caller. Raises ActionUnknown,
    RequestMalformed.
    """
    if action.keys() != {"kind", "statement", "documents"}:
        raise ActionUnknown("a statement's action has other members")
    text = action["statement"]
    if not isinstance(text, str) or len(text) > MAX_GRANT:
        raise RequestMalformed(f"statement is no text of at most {MAX_GRANT} characters")
    said = parse_json(text, what="statement")
    if not isinstance(said, dict) or canonical_json(said) != text:
        raise RequestMalformed("statement is not an object in RFC 8785 form")
    if not _NEEDED <= said.keys() <= _NEEDED | _OPTIONAL or said["type"] != TYPE or said["v"] != 1:
        raise ActionUnknown("a statement has members without a template, or lacks some, or is another")
    if said["employment"] not in EMPLOYMENTS:
        raise ActionUnknown("a kind of employment without a template")
    income = _part(said, "income")
    return Statement(
        employer=party_line(said["employer"]),
        address=shown_text(said["employer"].get("address", "")),
        employee=party_line(said["employee"]),
        employment=said["employment"],
        since=_day(said["employed_since"]),
        until=_day(said.get("employed_until", "")),
        certified_on=_day(said["certified_on"]),
        told_until=_day(said["told_until"]),
        texts=MappingProxyType({name: shown_text(said[name]) for name in _TEXTS if name in said}),
        hours=_hours(_part(said, "hours")),
        worked=_worked(said.get("worked", [])),
        leave=_leave(_part(said, "leave")),
        returns_on=_day(said.get("returns_on", "")),
        income=None if not income else (_whole(income["year"]), _whole(income["income"])),
        corrects="supersedes" in said,
        sha256=hashlib.sha256(text.encode()).digest(),
    )


def _part(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    if name not in said:
        return {}
    part = said[name]
    if not isinstance(part, dict) or part.keys() != _PARTS[name]:
        raise ActionUnknown(f"{name} has members without a template, or lacks some")
    return part


def _hours(hours: Mapping[str, Any]) -> Mapping[str, Any]:
    told = {
        name: shown_text(value) if name in {"starts", "finishes"} else _whole(value) for name, value in hours.items()
    }
    if told and not (_CLOCK.match(str(told["starts"])) and _CLOCK.match(str(told["finishes"]))):
        raise RequestMalformed("a statement's hours are none of a clock")
    return MappingProxyType(told)


def _leave(leave: Mapping[str, Any]) -> Mapping[str, str]:
    if not leave:
        return MappingProxyType({})
    if leave["kind"] not in LEAVES:
        raise ActionUnknown("a kind of leave without a template")
    return MappingProxyType({"kind": leave["kind"], "since": _day(leave["since"]), "until": _day(leave["until"])})


def _worked(rows: object) -> tuple[tuple[str, int, int], ...]:
    if not isinstance(rows, list) or len(rows) > 3:
        raise RequestMalformed("worked is no list of three months at most")
    told = []
    for row in rows:
        if not isinstance(row, dict) or row.keys() != {"month", "days", "hours"}:
            raise ActionUnknown("a month worked has members without a template, or lacks some")
        month = shown_text(row["month"])
        if not _MONTH.match(month):
            raise RequestMalformed("a month worked is none")
        told.append((month, _whole(row["days"]), _whole(row["hours"])))
    return tuple(told)


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MOST:
        raise RequestMalformed("a statement has a number that is none")
    return value


def _day(value: object) -> str:
    if value == "":
        return ""
    try:
        if isinstance(value, str) and date.fromisoformat(value).isoformat() == value:
            return value
    except ValueError:
        pass
    raise RequestMalformed("a statement's day is none")
