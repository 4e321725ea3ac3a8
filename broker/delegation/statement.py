"""A statement that a business signs about one of its people: the certificate of employment (雇用証明書).

It goes the way of a grant: canonical JSON that the employer signs, verbatim within a record, printed, committed to in
the register, sealed and verified by the same functions. It states, and empowers nobody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final

from broker.delegation.grant import (
    MAX_AMOUNT,
    MAX_BYTES,
    NUMBER,
    Members,
    Party,
    PartyKind,
    canonical,
    party_document,
    party_of,
    present,
)
from broker.delegation.rules import Rule
from broker.errors import InvalidToken, PowerRefused
from broker.jose import parse_json

VERSION: Final = 1
TYPE: Final = "statement.employment"
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)


class Employment(StrEnum):
    """How somebody is employed (雇用形態)."""

    REGULAR = "regular"
    FIXED_TERM = "fixed_term"
    PART_TIME = "part_time"
    DISPATCHED = "dispatched"
    OFFICER = "officer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Income:
    """What was paid in a calendar year, before tax."""

    year: int
    income: int
    """Whole yen."""


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
    employed_until: date | None = None
    """The last day, of an employment that has ended or is for a term."""
    workplace: str = ""
    purpose: str = ""
    """What it is for, as whoever asked for it said (提出先・使用目的)."""
    income: Income | None = None


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
        employed_until=members.optional("employed_until", _day),
        workplace=members.text("workplace") if members.has("workplace") else "",
        purpose=members.text("purpose") if members.has("purpose") else "",
        income=members.optional("income", _income),
    )
    members.done()
    _check(statement)
    return statement


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


def _check(statement: Statement) -> None:
    if statement.employer.kind is PartyKind.PERSON:
        raise PowerRefused(Rule.EMPLOYER, "employer.kind")
    if statement.employee.kind is not PartyKind.PERSON:
        raise PowerRefused(Rule.EMPLOYER, "employee.kind")
    if statement.employer.id == statement.employee.id:
        raise PowerRefused(Rule.SAME_PARTY, "employee.id")
    if statement.employed_since > statement.certified_on:
        raise PowerRefused(Rule.EMPLOYMENT, "certified_on")
    if statement.employed_until is not None and statement.employed_until < statement.employed_since:
        raise PowerRefused(Rule.EMPLOYMENT, "employed_until")
    if statement.income is not None and not (
        statement.employed_since.year <= statement.income.year <= statement.certified_on.year
    ):
        raise PowerRefused(Rule.INCOME, "income.year")


def write(statement: Statement) -> bytes:
    """The canonical bytes of a statement that is yet to be signed (RFC 8785). Raises PowerRefused, as `read`."""
    until, income = statement.employed_until, statement.income
    data = canonical(
        present(
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
            workplace=statement.workplace or None,
            purpose=statement.purpose or None,
            income=None if income is None else {"year": income.year, "income": income.income},
        )
    )
    if read(data) != statement:
        raise PowerRefused(Rule.FORM)
    return data
