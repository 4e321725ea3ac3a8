"""A clock that never runs backwards: what has once been over stays over, whatever the host's clock says (design 4.7).

The high-water mark is the latest moment known for certain. It rises with logins, and never more than a step beyond
what a second source of time says: the authority's own thisUpdate in the evidence that has just been verified. So a
clock set back cannot bring an expired or revoked certificate to life, and one host in 2099 (which finds no fresh
evidence anyway) cannot shut the others out.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from broker.errors import ClockBehind

TOLERANCE: Final = timedelta(seconds=60)
"""How far hosts may differ before one of them is wrong."""

STEP: Final = timedelta(minutes=5)
"""How far beyond the second source the mark may rise."""


def check_clock(now: datetime, *, mark: datetime | None) -> None:
    """Raise ClockBehind where `now` lies more than 60 s before the high-water mark (None: there is none yet)."""
    if mark is not None and now < mark - TOLERANCE:
        raise ClockBehind("the clock stands before the high-water mark")


def certain(now: datetime, *, witness: datetime) -> datetime:
    """The moment that has passed for certain: `now`, but at most a step beyond `witness`."""
    return min(now, witness + STEP)
