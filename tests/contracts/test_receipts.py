"""Receipts are found by their own client alone, by id, person and time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from broker.audit.receipt import FIRST, LAST, bound
from broker.flows.receipt_ports import PAGE, StoredReceipt
from broker.ids import Subject
from broker.storage.store import SQLStore
from tests.contracts import records
from tests.contracts.records import MINUTE, NOW, SECOND, LoggedIn

EVERYTHING = {"after": bound(None, otherwise=FIRST), "before": bound(None, otherwise=LAST)}


def keep(store: SQLStore, *receipts: StoredReceipt) -> None:
    with store.transaction() as tx:
        for receipt in receipts:
            tx.receipts.keep(receipt)


@pytest.fixture
def login(store: SQLStore) -> LoggedIn:
    return records.log_in(store)


def test_what_was_kept_is_answered_as_it_was_to_its_client_and_to_no_other(store: SQLStore, login: LoggedIn) -> None:
    other, kept = records.log_in(store), records.receipt(login)
    keep(store, kept)
    with store.transaction() as tx:
        assert tx.receipts.get(login.client.client_id, kept.receipt_id) == kept
        assert tx.receipts.get(other.client.client_id, kept.receipt_id) is None
        assert tx.receipts.list(login.client.client_id, subject=None, **EVERYTHING) == (kept,)
        assert tx.receipts.list(other.client.client_id, subject=None, **EVERYTHING) == ()
        assert tx.receipts.list(other.client.client_id, subject=kept.subject, **EVERYTHING) == ()


def test_a_list_is_in_the_order_of_time_and_keeps_to_its_bounds(store: SQLStore, login: LoggedIn) -> None:
    made = [records.receipt(login, at=NOW + minutes * MINUTE) for minutes in range(5)]
    keep(store, *reversed(made))
    client_id = login.client.client_id

    def found(since: timedelta, until: timedelta) -> list[int]:
        after, before = bound(NOW + since, otherwise=FIRST), bound(NOW + until, otherwise=LAST)
        with store.transaction() as tx:
            listed = tx.receipts.list(client_id, subject=None, after=after, before=before)
        return [made.index(receipt) for receipt in listed]

    assert found(-MINUTE, 9 * MINUTE) == [0, 1, 2, 3, 4]
    assert found(MINUTE, 3 * MINUTE) == [1, 2], "from counts in, to does not"
    assert found(MINUTE + SECOND, 3 * MINUTE + SECOND) == [2, 3]
    assert found(3 * MINUTE, MINUTE) == []
    with store.transaction() as tx:
        after = tx.receipts.list(client_id, subject=None, after=made[1].receipt_id, before=EVERYTHING["before"])
    assert after == (made[2], made[3], made[4])


def test_a_person_is_asked_for_by_the_clients_own_name_for_them(store: SQLStore, login: LoggedIn) -> None:
    somebody = Subject(records.name())
    mine, others = records.receipt(login), records.receipt(login, subject=somebody)
    keep(store, mine, others)
    with store.transaction() as tx:
        for subject, expected in ((mine.subject, (mine,)), (somebody, (others,)), (Subject("nobody\x00"), ())):
            assert tx.receipts.list(login.client.client_id, subject=subject, **EVERYTHING) == expected


def test_one_answer_is_a_page_and_one_more(store: SQLStore, login: LoggedIn) -> None:
    made = [records.receipt(login, at=NOW + number * SECOND) for number in range(PAGE + 5)]
    keep(store, *made)
    with store.transaction() as tx:
        assert tx.receipts.list(login.client.client_id, subject=None, **EVERYTHING) == tuple(made[: PAGE + 1])
