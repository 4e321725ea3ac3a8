"""Of many callers at the same instant exactly one wins; on threads of one process and on processes of one host."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import pytest
from sqlalchemy import Engine, text

from broker.flows.ports import Transaction
from broker.ids import SectorID, Subject
from broker.oidc.client_authentication import Assertion
from broker.storage.store import SQLStore
from tests.campaigns.one_time import KINDS
from tests.campaigns.races import run
from tests.contracts import records
from tests.contracts.records import MINUTE, NOW

CALLERS = 8
Answer = TypeVar("Answer")


def race(store: SQLStore, act: Callable[[Transaction, int], Answer]) -> list[Answer]:
    """What each of eight threads got, all let go together and each in a transaction of its own."""
    barrier = Barrier(CALLERS)

    def run(number: int) -> Answer:
        barrier.wait(timeout=10)
        with store.transaction() as tx:
            return act(tx, number)

    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(run, range(CALLERS)))


def test_of_eight_redeemers_of_one_code_exactly_one_wins(store: SQLStore) -> None:
    login = records.log_in(store)
    for _ in range(5):
        code = login.code()
        with store.transaction() as tx:
            tx.codes.issue(code)
        assert sorted(race(store, _redeemed(code.digest))) == [False] * (CALLERS - 1) + [True]


def _redeemed(digest: bytes) -> Callable[[Transaction, int], bool]:
    return lambda tx, _: tx.codes.consume(digest, now=NOW) is not None


def test_of_eight_users_of_one_assertion_exactly_one_is_the_first(store: SQLStore) -> None:
    client_id = records.log_in(store).client.client_id
    assertion = Assertion(client_id=client_id, jti=records.name(), expires_at=NOW + MINUTE)
    assert sorted(race(store, lambda tx, _: tx.assertions.use(assertion))) == [False] * (CALLERS - 1) + [True]


def test_of_eight_browsers_releasing_one_answer_exactly_one_gets_it(store: SQLStore) -> None:
    login = records.log_in(store)
    interaction = records.interaction(login.client.client_id)
    transaction, code = records.card_transaction(interaction), records.digest()
    with store.transaction() as tx:
        tx.interactions.open(interaction)
        tx.cards.begin(transaction)
        tx.cards.answer(transaction.transaction_id, records.card_answer(), return_digest=code)
    released = race(
        store,
        lambda tx, _: tx.cards.release(
            transaction.transaction_id, browser_digest=interaction.browser_digest, return_digest=code, now=NOW
        ),
    )
    assert sum(outcome is not None for outcome in released) == 1


def test_of_eight_answers_to_one_request_the_first_stays(store: SQLStore) -> None:
    login = records.log_in(store)
    interaction = records.interaction(login.client.client_id)
    transaction = records.card_transaction(interaction)
    with store.transaction() as tx:
        tx.interactions.open(interaction)
        tx.cards.begin(transaction)
    kept = race(
        store,
        lambda tx, _: tx.cards.answer(
            transaction.transaction_id, records.card_answer(), return_digest=records.digest()
        ),
    )
    assert kept.count(True) == 1


def test_eight_first_logins_with_one_card_make_one_account(store: SQLStore, engine: Engine) -> None:
    key = records.credential().key
    enrolled = race(store, lambda tx, _: tx.accounts.enrol(records.credential(key)))
    assert len({credential.account for credential in enrolled}) == 1
    with engine.connect() as connection:
        alone = connection.execute(
            text("SELECT count(*) FROM accounts WHERE account NOT IN (SELECT account FROM credentials)")
        ).scalar_one()
    assert alone == 0, "the losers' accounts must not stay behind"


def test_eight_logins_of_one_person_see_one_subject(store: SQLStore) -> None:
    account = records.log_in(store).credential.account
    subjects = race(store, lambda tx, _: tx.accounts.subject(account, SectorID("bank"), fresh=Subject(records.name())))
    assert len(set(subjects)) == 1


def test_of_eight_takers_of_one_lease_one_holds_it(store: SQLStore) -> None:
    job = records.name()
    taken = race(store, lambda tx, number: tx.leases.take(job, str(number), now=NOW, length=MINUTE))
    assert taken.count(True) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_of_eight_redeemers_in_two_processes_one_wins_each_time(own_url: str, kind: str) -> None:
    [row] = run(own_url, [kind], 100)
    assert (row.redeemers, row.races, row.anomalies) == (CALLERS, 100, 0), row


def test_the_races_find_a_consumption_in_two_steps(own_url: str) -> None:
    [row] = run(own_url, ["broken"], 500)
    assert row.anomalies > 0
