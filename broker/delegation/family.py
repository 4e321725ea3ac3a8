"""How long one may act for a member of the family: the rules of days, counted in Japan.

A year ends as 民法 art. 143(2) counts it, and childhood in this sense with the fifteenth birthday: from then on a card
may carry a 署名用 key, so that its holder can empower somebody by their own signature.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Final

GUARDED_UNTIL: Final = 15
"""Years of age at which a guardian's power ends."""
_JST: Final = timezone(timedelta(hours=9))


def year_after(begins: datetime) -> datetime:
    """The instant at which a term of one year is over; from 29 February on, 1 March (民法 art. 143(2))."""
    try:
        return begins.replace(year=begins.year + 1)
    except ValueError:
        return begins.replace(year=begins.year + 1, month=3, day=1)


def of_age(born: date) -> datetime:
    """The first instant of the fifteenth birthday in Japan; of somebody born on 29 February, of 1 March where the
    year has no such day (年齢計算ニ関スル法律: an age is reached as the day before the birthday ends).
    """
    year = born.year + GUARDED_UNTIL
    try:
        day = born.replace(year=year)
    except ValueError:
        day = date(year, 3, 1)
    return datetime(day.year, day.month, day.day, tzinfo=_JST)
