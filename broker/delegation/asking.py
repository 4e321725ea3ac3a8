"""A question as people and programs write it: on the page, in the API, on a command line, in a row of a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Final

from broker.delegation.acts import Act
from broker.delegation.grant import MAX_AMOUNT
from broker.delegation.members import JST, MAX_TEXT
from broker.delegation.verdict import Question
from broker.errors import QuestionInvalid

PARTS: Final = ("as_of", "act", "entity", "category", "case_number", "amount", "tax_included", "service")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)
_LAST: Final = time(23, 59, 59)


def question(values: Mapping[str, str], *, now: datetime) -> Question:
    """The question in `values`; what is empty or missing is not asked. Raises QuestionInvalid: other names, or forms.

    `as_of` is a time with its zone, or a day in Japan: then its end, and for today the present moment.
    """
    if odd := sorted(values.keys() - set(PARTS)):
        raise QuestionInvalid(f"{odd[0]}: no part of a question")
    given = {name: value.strip() for name, value in values.items() if value.strip()}
    if any(len(value) > MAX_TEXT or not value.isprintable() for value in given.values()):
        raise QuestionInvalid("a part is too long, or has control characters in it")
    return Question(
        as_of=as_of(given.get("as_of", ""), now=now),
        act=_act(given.get("act")),
        entity=given.get("entity"),
        category=given.get("category"),
        case_number=given.get("case_number"),
        amount=_amount(given.get("amount")),
        tax_included=_included(given.get("tax_included", "true")),
        service=given.get("service"),
    )


def as_of(text: str, *, now: datetime) -> datetime:
    """Raises QuestionInvalid."""
    if not text:
        return now
    try:
        if _DATE.match(text):
            ends = datetime.combine(date.fromisoformat(text), _LAST, tzinfo=JST)
            return now if now.astimezone(JST).date() == ends.date() else ends
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None and abs(moment - now) < timedelta(days=36_600):
            return moment.astimezone(JST)
    except (ValueError, OverflowError):
        pass
    raise QuestionInvalid("as_of: a day such as 2026-12-01, or a time with its zone")


def _act(text: str | None) -> Act | None:
    try:
        return None if text is None else Act(text)
    except ValueError:
        raise QuestionInvalid(f"act: one of {', '.join(sorted(act.value for act in Act))}") from None


def _amount(text: str | None) -> int | None:
    if text is None:
        return None
    digits = text.replace(",", "")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > len(str(MAX_AMOUNT)):
        raise QuestionInvalid("amount: whole yen")
    return int(digits)


def _included(text: str) -> bool:
    if text not in {"true", "false"}:
        raise QuestionInvalid("tax_included: true or false")
    return text == "true"
