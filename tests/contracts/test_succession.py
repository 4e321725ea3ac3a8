"""One certificate after another: the account goes with J-LIS's mapping, and with nothing else (R19)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

from broker.accounts.credential import Credential
from broker.ids import SectorID, Subject
from broker.storage.store import SQLStore
from tests.contracts import records


def enrolled(store: SQLStore) -> Credential:
    credential = records.credential()
    with store.transaction() as tx:
        tx.accounts.enrol(credential)
        tx.accounts.subject(credential.account, SectorID("sector-1"), fresh=Subject(f"sub-{credential.account}"))
    return credential


def renewed(store: SQLStore, old: Credential, new: Credential) -> Credential | None:
    with store.transaction() as tx:
        return tx.accounts.renew(old.key, new)


def test_a_renewed_certificate_joins_the_account_and_keeps_its_subjects(store: SQLStore) -> None:
    old, new = enrolled(store), records.credential()
    assert renewed(store, old, new) == replace(new, account=old.account)
    with store.transaction() as tx:
        assert tx.accounts.credential(new.key) == replace(new, account=old.account)
        assert tx.accounts.credential(old.key) == old
        found = tx.accounts.subject(old.account, SectorID("sector-1"), fresh=Subject("another"))
    assert found == f"sub-{old.account}"


def test_a_line_of_certificates_stays_one_account(store: SQLStore) -> None:
    first, second, third = enrolled(store), records.credential(), records.credential()
    renewed(store, first, second)
    last = renewed(store, second, third)
    assert last is not None
    assert last.account == first.account


def test_what_nobody_here_had_has_no_successor(store: SQLStore) -> None:
    stranger, new = records.credential(), records.credential()
    assert renewed(store, stranger, new) is None
    with store.transaction() as tx:
        assert tx.accounts.credential(new.key) is None


def test_a_certificate_with_an_account_of_its_own_stays_there(store: SQLStore) -> None:
    old, other = enrolled(store), enrolled(store)
    assert renewed(store, old, records.credential(other.key)) == other


def test_a_second_successor_is_refused(store: SQLStore) -> None:
    old, new, pretender = enrolled(store), records.credential(), records.credential()
    assert renewed(store, old, new) is not None
    assert renewed(store, old, pretender) is None
    with store.transaction() as tx:
        assert tx.accounts.credential(pretender.key) is None


def test_two_logins_with_one_new_certificate_make_one_entry(store: SQLStore) -> None:
    old, key = enrolled(store), records.credential().key
    start = Barrier(2)

    def log_in() -> Credential | None:
        start.wait()
        return renewed(store, old, records.credential(key))

    with ThreadPoolExecutor(2) as pool:
        first, second = (future.result() for future in [pool.submit(log_in) for _ in range(2)])
    assert first == second
    assert first is not None
    assert first.account == old.account


def test_the_predecessor_waits_with_the_answer_until_its_browser_fetches_it(store: SQLStore) -> None:
    login = records.log_in(store)
    interaction = records.interaction(login.client.client_id)
    transaction, code = records.card_transaction(interaction), records.digest()
    answer = replace(records.card_answer(), predecessor=login.credential.key)
    with store.transaction() as tx:
        tx.interactions.open(interaction)
        tx.cards.begin(transaction)
        assert tx.cards.answer(transaction.transaction_id, answer, return_digest=code)
        released = tx.cards.release(
            transaction.transaction_id,
            browser_digest=interaction.browser_digest,
            return_digest=code,
            now=records.NOW,
        )
    assert released is not None
    assert released[1].predecessor == login.credential.key
