"""A statement that a business signs about one of its people: the certificate of employment (雇用証明書・就労証明書).

It goes the way of a grant: canonical JSON that the employer signs, verbatim within a record, printed, committed to in
the register, sealed and verified by the same functions. It states, and empowers nobody. Its parts are those that
nurseries ask for (就労証明書の標準的な様式), but for birth date and home address: whoever receives it knows its
holder by a proof of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from broker.delegation.grant import MAX_AMOUNT, Party, PartyKind
from broker.delegation.grant_document import party_document, party_of
from broker.delegation.members import JST, MAX_BYTES, NUMBER, Members, canonical, present
from broker.delegation.rules import Rule
from broker.errors import InvalidToken, PowerRefused
from broker.jose import parse_json

VERSION: Final = 1
MAX_WORKED: Final = 3
"""Months of which the work done is stated."""
MAX_YEARS: Final = 10
"""For how long at most its employer has itself be asked whether it still stands."""
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)
_MONTH: Final = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])\Z", re.ASCII)
_CLOCK: Final = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d\Z", re.ASCII)


class StatementKind(StrEnum):
    """What is stated."""

    EMPLOYMENT = "statement.employment"


TYPE: Final = StatementKind.EMPLOYMENT.value


class Employment(StrEnum):
    """How somebody is employed (雇用形態)."""

    REGULAR = "regular"
    FIXED_TERM = "fixed_term"
    PART_TIME = "part_time"
    DISPATCHED = "dispatched"
    OFFICER = "officer"


class LeaveKind(StrEnum):
    """Why somebody is not at work for a while."""

    MATERNITY = "maternity"
    CHILDCARE = "childcare"


@dataclass(frozen=True, slots=True, kw_only=True)
class Income:
    """What was paid in a calendar year, before tax."""

    year: int
    income: int
    """Whole yen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """When somebody works (就労時間); the clock is Japan's, HH:MM, and a night's work ends on the day after."""

    days_a_week: int
    hours_a_month: int
    starts: str
    finishes: str
    rest_minutes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """What was worked in one month (就労実績)."""

    month: str
    """YYYY-MM."""
    days: int
    hours: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Both days are part of it."""

    kind: LeaveKind
    since: date
    until: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One certificate of employment, of the day `certified_on`. Built only by `read`."""

    number: str
    issuer: str
    nonce: str
    """Of the transaction in which the employer signed: a statement is signed once."""
    employer: Party
    employee: Party
    """Their title is the position held."""
    employment: Employment
    employed_since: date
    certified_on: date
    told_until: date
    """The last day on which a withdrawal or correction is told to whoever asks; then it is merely old."""
    employed_until: date | None = None
    """The last day, of an employment that has ended or is for a term."""
    industry: str = ""
    workplace: str = ""
    workplace_address: str = ""
    purpose: str = ""
    """What it is for, as whoever asked for it said (提出先・使用目的)."""
    hours: Hours | None = None
    worked: tuple[Worked, ...] = ()
    leave: Leave | None = None
    returns_on: date | None = None
    income: Income | None = None
    remarks: str = ""
    contact: str = field(default="", repr=False)
    """Who at the employer's answers questions, and how they are reached."""
    supersedes: str | None = None
    """The number of the one that it corrects."""


def term_of(statement: Statement) -> tuple[datetime, datetime]:
    """From the beginning of the day certified, up to, not at, the end of the last day on which it is told of."""
    day, last = statement.certified_on, statement.told_until + timedelta(days=1)
    return datetime(day.year, day.month, day.day, tzinfo=JST), datetime(last.year, last.month, last.day, tzinfo=JST)


def read(data: bytes) -> Statement:
    """The statement in `data`. Raises PowerRefused with the first rule that it breaks, in the order of its members."""
    try:
        members = Members(parse_json(data, limit=MAX_BYTES))
    except InvalidToken:
        raise PowerRefused(Rule.FORM) from None
    if members.of("v") != VERSION:
        raise PowerRefused(Rule.VERSION, "v")
    if members.of("type") != TYPE:
        raise PowerRefused(Rule.FORM, "type")
    statement = Statement(
        number=members.matching("number", NUMBER),
        issuer=members.text("issuer"),
        nonce=members.matching("nonce", NUMBER),
        employer=party_of(members.part("employer")),
        employee=party_of(members.part("employee")),
        employment=members.one(Employment, "employment"),
        employed_since=_day(members.of("employed_since"), "employed_since"),
        certified_on=_day(members.of("certified_on"), "certified_on"),
        told_until=_day(members.of("told_until"), "told_until"),
        employed_until=members.optional("employed_until", _day),
        industry=_said(members, "industry"),
        workplace=_said(members, "workplace"),
        workplace_address=_said(members, "workplace_address"),
        purpose=_said(members, "purpose"),
        hours=members.optional("hours", _hours),
        worked=tuple(_worked(each) for each in members.parts("worked", MAX_WORKED)) if members.has("worked") else (),
        leave=members.optional("leave", _leave),
        returns_on=members.optional("returns_on", _day),
        income=members.optional("income", _income),
        remarks=_said(members, "remarks"),
        contact=_said(members, "contact"),
        supersedes=members.matching("supersedes", NUMBER) if members.has("supersedes") else None,
    )
    members.done()
    _check(statement)
    return statement


def _said(members: Members, name: str) -> str:
    return members.text(name) if members.has(name) else ""


def _day(value: Any, where: str) -> date:
    try:
        if isinstance(value, str) and _DATE.match(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise PowerRefused(Rule.FORM, where)


def _income(value: Any, where: str) -> Income:
    members = Members(value, where)
    income = Income(
        year=members.whole("year", 1900, 9999, Rule.INCOME),
        income=members.whole("income", 0, MAX_AMOUNT, Rule.INCOME),
    )
    members.done()
    return income


def _hours(value: Any, where: str) -> Hours:
    members = Members(value, where)
    hours = Hours(
        days_a_week=members.whole("days_a_week", 1, 7, Rule.HOURS),
        hours_a_month=members.whole("hours_a_month", 1, 744, Rule.HOURS),
        starts=members.matching("starts", _CLOCK),
        finishes=members.matching("finishes", _CLOCK),
        rest_minutes=members.whole("rest_minutes", 0, 720, Rule.HOURS),
    )
    members.done()
    return hours


def _worked(members: Members) -> Worked:
    worked = Worked(
        month=members.matching("month", _MONTH),
        days=members.whole("days", 0, 31, Rule.HOURS),
        hours=members.whole("hours", 0, 744, Rule.HOURS),
    )
    members.done()
    return worked


def _leave(value: Any, where: str) -> Leave:
    members = Members(value, where)
    leave = Leave(
        kind=members.one(LeaveKind, "kind"),
        since=_day(members.of("since"), members.at("since")),
        until=_day(members.of("until"), members.at("until")),
    )
    members.done()
    if leave.until < leave.since:
        raise PowerRefused(Rule.LEAVE, where)
    return leave


def _check(statement: Statement) -> None:
    if statement.employer.kind is PartyKind.PERSON:
        raise PowerRefused(Rule.EMPLOYER, "employer.kind")
    if statement.employee.kind is not PartyKind.PERSON:
        raise PowerRefused(Rule.EMPLOYER, "employee.kind")
    if statement.employer.id == statement.employee.id:
        raise PowerRefused(Rule.SAME_PARTY, "employee.id")
    if statement.employed_since > statement.certified_on:
        raise PowerRefused(Rule.EMPLOYMENT, "certified_on")
    if not 0 <= (statement.told_until - statement.certified_on).days <= 366 * MAX_YEARS:
        raise PowerRefused(Rule.TOLD_UNTIL, "told_until")
    if statement.employed_until is not None and statement.employed_until < statement.employed_since:
        raise PowerRefused(Rule.EMPLOYMENT, "employed_until")
    months = [each.month for each in statement.worked]
    if len(set(months)) != len(months) or any(month > statement.certified_on.isoformat()[:7] for month in months):
        raise PowerRefused(Rule.HOURS, "worked")
    if statement.returns_on is not None and (statement.leave is None or statement.returns_on <= statement.leave.since):
        raise PowerRefused(Rule.LEAVE, "returns_on")
    if statement.income is not None and not (
        statement.employed_since.year <= statement.income.year <= statement.certified_on.year
    ):
        raise PowerRefused(Rule.INCOME, "income.year")
    if statement.supersedes == statement.number:
        raise PowerRefused(Rule.FORM, "supersedes")


def write(statement: Statement) -> bytes:
    """The canonical bytes of a statement that is yet to be signed (RFC 8785). Raises PowerRefused, as `read`."""
    data = canonical(_document(statement))
    if read(data) != statement:
        raise PowerRefused(Rule.FORM)
    return data


def _document(statement: Statement) -> dict[str, Any]:
    hours, leave, income = statement.hours, statement.leave, statement.income
    until, returns = statement.employed_until, statement.returns_on
    return present(
        v=VERSION,
        type=TYPE,
        number=statement.number,
        issuer=statement.issuer,
        nonce=statement.nonce,
        employer=party_document(statement.employer),
        employee=party_document(statement.employee),
        employment=statement.employment.value,
        employed_since=statement.employed_since.isoformat(),
        employed_until=None if until is None else until.isoformat(),
        certified_on=statement.certified_on.isoformat(),
        told_until=statement.told_until.isoformat(),
        industry=statement.industry or None,
        workplace=statement.workplace or None,
        workplace_address=statement.workplace_address or None,
        purpose=statement.purpose or None,
        hours=None
        if hours is None
        else {
            "days_a_week": hours.days_a_week,
            "hours_a_month": hours.hours_a_month,
            "starts": hours.starts,
            "finishes": hours.finishes,
            "rest_minutes": hours.rest_minutes,
        },
        worked=[{"month": each.month, "days": each.days, "hours": each.hours} for each in statement.worked] or None,
        leave=None
        if leave is None
        else {"kind": leave.kind.value, "since": leave.since.isoformat(), "until": leave.until.isoformat()},
        returns_on=None if returns is None else returns.isoformat(),
        income=None if income is None else {"year": income.year, "income": income.income},
        remarks=statement.remarks or None,
        contact=statement.contact or None,
        supersedes=statement.supersedes,
    )
