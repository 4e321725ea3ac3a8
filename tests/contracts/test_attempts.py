"""A limit holds for all workers: tries are counted by one statement, and windows mean the same to all hosts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from broker.errors import TooManyRequests
from broker.flows.rate import Rate, check_rate, window_start
from broker.storage.store import SQLStore
from tests.contracts import records
from tests.contracts.records import MINUTE, NOW, SECOND
from tests.contracts.test_races import CALLERS, race

RATE = Rate(limit=2, window=MINUTE)
BEGAN = window_start(NOW, MINUTE)


def test_tries_are_counted_by_name_and_window(store: SQLStore) -> None:
    one, other = records.name(), records.name()
    with store.transaction() as tx:
        assert [tx.attempts.count_up(one, window=MINUTE, now=BEGAN + each * SECOND) for each in (0, 1, 59)] == [1, 2, 3]
        assert tx.attempts.count_up(other, window=MINUTE, now=BEGAN) == 1
        assert tx.attempts.count_up(one, window=MINUTE, now=BEGAN + MINUTE) == 1


def test_a_clock_that_lags_behind_counts_in_the_newer_window(store: SQLStore) -> None:
    name = records.name()
    with store.transaction() as tx:
        assert tx.attempts.count_up(name, window=MINUTE, now=BEGAN) == 1
        assert tx.attempts.count_up(name, window=MINUTE, now=BEGAN - SECOND) == 2


def test_eight_tries_at_once_are_eight(store: SQLStore) -> None:
    name = records.name()
    counted = race(store, lambda tx, _: tx.attempts.count_up(name, window=MINUTE, now=NOW))
    assert sorted(counted) == list(range(1, CALLERS + 1))


def test_beyond_the_limit_it_is_said_when_to_come_back(store: SQLStore) -> None:
    name = records.name()
    for _ in range(RATE.limit):
        with store.transaction() as tx:
            check_rate(tx.attempts, name, RATE, now=BEGAN)
    for second in (1, 59):
        with pytest.raises(TooManyRequests) as refused, store.transaction() as tx:
            check_rate(tx.attempts, name, RATE, now=BEGAN + second * SECOND)
        assert refused.value.retry_after == MINUTE - second * SECOND
    with store.transaction() as tx:
        check_rate(tx.attempts, name, RATE, now=BEGAN + MINUTE)


def test_windows_begin_at_multiples_of_their_length() -> None:
    day = timedelta(days=1)
    assert window_start(NOW, day) == NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    assert window_start(window_start(NOW, MINUTE), MINUTE) == BEGAN
