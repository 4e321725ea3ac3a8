"""The four attributes of a 署名用 certificate as claims (OIDC Core §5.1): what is released and known, and nothing else.

Nothing is corrected, completed or guessed on the way: texts go as they stand on the card.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final

from broker.jpki.attributes import BirthDate, HolderAttributes, Sex, Text
from broker.oidc.claims_request import AGE_OVER, SUBSTITUTED

JAPAN: Final = timezone(timedelta(hours=9))
ABROAD: Final = "国外転出"
"""How the address of a resident who lives abroad begins: it names no country."""
_GENDER: Final = {Sex.MALE: "male", Sex.FEMALE: "female"}
_LEAP_YEAR: Final = 2000


def claims_of(holder: HolderAttributes, release: Collection[str], *, now: datetime) -> dict[str, Any]:
    """The claims of `release` that the certificate answers; ages are those of today in Japan."""
    known: dict[str, Any] = {
        "name": holder.name.text,
        "address": address(holder.address),
        "birthdate": birthdate(holder.birth),
        "gender": _GENDER.get(holder.sex),
    }
    if holder.birth.exact is not None:
        today = now.astimezone(JAPAN).date()
        known |= {name: holder.birth.has_reached(years, on=today) for name, years in AGE_OVER.items()}
    told = {name: value for name, value in known.items() if name in release and value is not None}
    substituted = {
        name: [place for place, flag in enumerate(text.substituted) if flag]
        for name, text in (("name", holder.name), ("address", holder.address))
        if name in told and not text.is_exact
    }
    return told | ({SUBSTITUTED: substituted} if substituted else {})


def address(text: Text) -> dict[str, str]:
    """`address` (§5.1.1): the whole line as it stands. Of one who lives abroad the card names no country; nor do we."""
    told = {"formatted": text.text}
    return told if text.text.startswith(ABROAD) else told | {"country": "JP"}


def birthdate(birth: BirthDate) -> str | None:
    """`birthdate` (§5.1): YYYY-MM-DD, or YYYY, or 0000-MM-DD where only that is known; None where nothing is certain.

    A month without its day cannot be said in this claim: it is left out, never filled up. A day that no calendar has,
    or that contradicts its era, is no date.
    """
    exact = birth.exact
    if exact is not None:
        return exact.isoformat()
    if birth.year is not None:
        complete = birth.month is not None and birth.day is not None
        return None if complete else f"{birth.year:04}"
    if birth.month is None or birth.day is None:
        return None
    try:
        return f"0000{date(_LEAP_YEAR, birth.month, birth.day).isoformat()[4:]}"
    except ValueError:
        return None
