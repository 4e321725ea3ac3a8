"""The high-water mark of time: of all hosts' moments the latest stays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from sqlalchemy import Engine

from broker.storage.store import SQLStore
from tests.contracts.records import NOW


def test_the_mark_rises_and_never_falls(own_engine: Engine) -> None:
    store = SQLStore(own_engine)
    with store.transaction() as tx:
        assert tx.clock.mark() is None
    for moment, mark in ((NOW, NOW), (NOW - timedelta(days=1), NOW), (NOW + timedelta(seconds=1),) * 2):
        with store.transaction() as tx:
            tx.clock.raise_to(moment)
            assert tx.clock.mark() == mark


def test_of_many_hosts_the_latest_moment_stays(own_engine: Engine) -> None:
    store = SQLStore(own_engine)

    def raise_to(second: int) -> None:
        with store.transaction() as tx:
            tx.clock.raise_to(NOW + timedelta(seconds=second))

    with ThreadPoolExecutor(4) as hosts:
        list(hosts.map(raise_to, (7 * each % 40 for each in range(40))))
    with store.transaction() as tx:
        assert tx.clock.mark() == NOW + timedelta(seconds=39)
