"""How often something may be tried, counted in the store so that it holds across workers and hosts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from broker.errors import TooManyRequests

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class AttemptStore(Protocol):
    def count_up(self, name: str, *, window: timedelta, now: datetime) -> int:
        """How often `name` was tried in the window that `now` lies in, this time included; one statement.

        Windows begin at whole multiples of their length (`window_start`), so all hosts mean the same one; a host
        whose clock lags behind counts in the newer one.
        """

    def tried(self, name: str, *, window: timedelta, now: datetime) -> int:
        """How often it was tried in that window so far; counts nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """At most `limit` tries in each `window`."""

    limit: int
    window: timedelta


def window_start(now: datetime, window: timedelta) -> datetime:
    """When the window that `now` lies in began."""
    return now - (now - _EPOCH) % window


def check_rate(attempts: AttemptStore, name: str, rate: Rate, *, now: datetime) -> None:
    """Count one try of `name`. Raises TooManyRequests beyond the limit.

    Raised inside a unit of work it takes back its own count, so the number stays at the limit. What is to be
    counted although it failed (a wrong user code) must be committed: there the caller returns and raises afterwards.
    """
    if attempts.count_up(name, window=rate.window, now=now) > rate.limit:
        ends = window_start(now, rate.window) + rate.window
        raise TooManyRequests("too many tries; try again later", retry_after=ends - now)
