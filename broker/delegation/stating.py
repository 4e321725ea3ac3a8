"""A statement from what an employer typed into a form; the counterpart of `drafting`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

from broker.delegation.boxes import Boxes
from broker.delegation.drafting import Names
from broker.delegation.grant import MAX_AMOUNT, Party, PartyKind
from broker.delegation.rules import Rule
from broker.delegation.statement import (
    MAX_WORKED,
    Employment,
    Hours,
    Income,
    Leave,
    LeaveKind,
    Statement,
    Worked,
    read,
    write,
)
from broker.errors import PowerRefused

TOLD_FOR: Final = timedelta(days=365)
"""For how long after the day certified a withdrawal is told; who needs it later asks for a newer one."""
TEXTS: Final = (
    "employer_name", "employer_representative", "employer_representative_title", "employer_address", "employee_name",
    "employee_title", "industry", "workplace", "workplace_address", "purpose", "remarks", "contact",
)  # fmt: skip
"""Boxes that hold words of people's own."""


def statement_of(fields: Mapping[str, str], *, names: Names, today: date) -> Statement:
    """The statement that a form asks for; `names` are drawn for it, `today` is Japan's. Raises PowerRefused."""
    box = Boxes(fields)
    kind = box.one(PartyKind, "employer_kind")
    corporation = kind is PartyKind.CORPORATION
    number = box.text("employer_corporate_number")
    if corporation and not number:
        raise PowerRefused(Rule.CORPORATE_NUMBER, "employer_corporate_number")
    certified_on = box.day("certified_on", Rule.EMPLOYMENT)
    if certified_on > today:
        raise PowerRefused(Rule.EMPLOYMENT, "certified_on")  # nobody knows tomorrow
    statement = Statement(
        number=names.number,
        issuer=names.issuer,
        nonce=names.nonce,
        employer=Party(
            kind=kind,
            id=names.principal,
            name=box.text("employer_name", needed=True),
            corporate_number=number if corporation else "",
            address=box.text("employer_address"),
            representative=box.text("employer_representative", needed=True) if corporation else "",
            representative_title=box.text("employer_representative_title") if corporation else "",
        ),
        employee=Party(
            kind=PartyKind.PERSON,
            id=names.agent,
            name=box.text("employee_name", needed=True),
            title=box.text("employee_title"),
        ),
        employment=box.one(Employment, "employment"),
        employed_since=box.day("employed_since", Rule.EMPLOYMENT),
        employed_until=_day(box, "employed_until", Rule.EMPLOYMENT),
        certified_on=certified_on,
        told_until=certified_on + TOLD_FOR,
        industry=box.text("industry"),
        workplace=box.text("workplace"),
        workplace_address=box.text("workplace_address"),
        purpose=box.text("purpose"),
        hours=_hours(box),
        worked=tuple(_worked(box, n) for n in range(MAX_WORKED) if box.text(f"worked_month_{n}")),
        leave=_leave(box),
        returns_on=_day(box, "returns_on", Rule.LEAVE),
        income=_income(box),
        remarks=box.text("remarks"),
        contact=box.text("contact"),
        supersedes=box.text("supersedes") or None,
    )
    return read(write(statement))


def _day(box: Boxes, name: str, rule: Rule) -> date | None:
    return box.day(name, rule) if box.text(name) else None


def _hours(box: Boxes) -> Hours | None:
    names = ("days_a_week", "hours_a_month", "starts", "finishes")
    if not any(box.text(name) for name in names):
        return None
    for name in names:
        if not box.text(name):
            raise PowerRefused(Rule.HOURS, name)
    return Hours(
        days_a_week=box.whole("days_a_week", 1, 7, Rule.HOURS),
        hours_a_month=box.whole("hours_a_month", 1, 744, Rule.HOURS),
        starts=box.text("starts"),
        finishes=box.text("finishes"),
        rest_minutes=box.whole("rest_minutes", 0, 720, Rule.HOURS),
    )


def _worked(box: Boxes, n: int) -> Worked:
    return Worked(
        month=box.text(f"worked_month_{n}"),
        days=box.whole(f"worked_days_{n}", 0, 31, Rule.HOURS),
        hours=box.whole(f"worked_hours_{n}", 0, 744, Rule.HOURS),
    )


def _leave(box: Boxes) -> Leave | None:
    if not box.text("leave_kind"):
        return None
    return Leave(
        kind=box.one(LeaveKind, "leave_kind"),
        since=box.day("leave_since", Rule.LEAVE),
        until=box.day("leave_until", Rule.LEAVE),
    )


def _income(box: Boxes) -> Income | None:
    if not box.text("income_year"):
        return None
    if not box.text("income"):
        raise PowerRefused(Rule.INCOME, "income")
    return Income(
        year=box.whole("income_year", 1900, 9999, Rule.INCOME), income=box.whole("income", 0, MAX_AMOUNT, Rule.INCOME)
    )
