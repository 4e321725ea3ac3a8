"""Documents to sign are kept with their transaction, signed once, given to one token, and gone as a whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from broker.flows.ports import Transaction
from broker.flows.signing_ports import SealedDocument, SignTransaction
from broker.ids import ClientID, GrantID, InteractionID, SignTransactionID
from broker.oidc.sign_transaction import State
from broker.storage.store import SQLStore
from tests.contracts import records
from tests.contracts.records import MINUTE, NOW, SECOND
from tests.contracts.test_races import CALLERS, race

DOCUMENTS = (
    SealedDocument(position=0, described_sealed=b"\x01one", content_sealed=b"\x01content"),
    SealedDocument(position=1, described_sealed=b"\x01two", content_sealed=None),
)


def order(client_id: ClientID) -> SignTransaction:
    return SignTransaction(
        sign_transaction_id=SignTransactionID(records.name()),
        client_id=client_id,
        state=State.WAITING,
        created_at=NOW,
        expires_at=NOW + 15 * MINUTE,
    )


@pytest.fixture
def ordered(store: SQLStore) -> SignTransaction:
    made = order(records.log_in(store).client.client_id)
    with store.transaction() as tx:
        tx.sign_transactions.open(made, DOCUMENTS)
    return made


def sign(tx: Transaction, made: SignTransaction, interaction_id: InteractionID, *, grant: str = "grant") -> bool:
    return tx.sign_transactions.sign(
        made.sign_transaction_id,
        signed=b"\x01signed",
        grant_id=GrantID(grant),
        interaction_id=interaction_id,
        now=NOW,
        expires_at=NOW + 10 * MINUTE,
    )


def test_an_order_is_found_with_its_documents_in_order_until_it_runs_out(
    store: SQLStore, ordered: SignTransaction
) -> None:
    with store.transaction() as tx:
        assert tx.sign_transactions.get(ordered.sign_transaction_id, now=NOW) == ordered
        assert tx.sign_transactions.documents(ordered.sign_transaction_id) == DOCUMENTS
        assert tx.sign_transactions.get(ordered.sign_transaction_id, now=ordered.expires_at) is None
        assert tx.sign_transactions.get(SignTransactionID("\x00"), now=NOW) is None
        assert tx.sign_transactions.of(InteractionID("\x00"), now=NOW) is None
        with pytest.raises(ValueError, match="unsigned"):
            tx.sign_transactions.open(replace(ordered, state=State.SIGNED), ())


def test_a_signed_order_knows_its_login_and_the_browser_of_it(store: SQLStore, ordered: SignTransaction) -> None:
    browser = records.digest()
    interaction = records.interaction(ordered.client_id, browser=browser)
    with store.transaction() as tx:
        tx.interactions.open(interaction)
        assert tx.sign_transactions.of(interaction.interaction_id, now=NOW) is None
        assert sign(tx, ordered, interaction.interaction_id)
        found = tx.sign_transactions.of(interaction.interaction_id, now=NOW)
    assert found == replace(
        ordered,
        state=State.SIGNED,
        signed_at=NOW,
        signed_sealed=b"\x01signed",
        grant_id=GrantID("grant"),
        browser_digest=browser,
        expires_at=NOW + 10 * MINUTE,
    )
    with store.transaction() as tx:
        assert not tx.sign_transactions.cancel(ordered.sign_transaction_id, now=NOW)


def test_of_eight_logins_with_one_order_one_signs_it(store: SQLStore, ordered: SignTransaction) -> None:
    nobody = InteractionID(records.name())
    won = race(store, lambda tx, number: sign(tx, ordered, nobody, grant=f"grant-{number}"))
    assert sorted(won) == [False] * (CALLERS - 1) + [True]
    with store.transaction() as tx:
        found = tx.sign_transactions.get(ordered.sign_transaction_id, now=NOW)
    assert found is not None
    assert found.grant_id == f"grant-{won.index(True)}"


def test_of_eight_tokens_one_has_the_result_and_keeps_it(store: SQLStore, ordered: SignTransaction) -> None:
    with store.transaction() as tx:
        assert not tx.sign_transactions.fetch(ordered.sign_transaction_id, "early", now=NOW)
        assert sign(tx, ordered, InteractionID(records.name()))
    fetched = race(
        store, lambda tx, number: tx.sign_transactions.fetch(ordered.sign_transaction_id, f"token-{number}", now=NOW)
    )
    assert sorted(fetched) == [False] * (CALLERS - 1) + [True]
    winner = f"token-{fetched.index(True)}"
    with store.transaction() as tx:
        assert tx.sign_transactions.fetch(ordered.sign_transaction_id, winner, now=NOW + SECOND)
        assert not tx.sign_transactions.fetch(ordered.sign_transaction_id, winner, now=NOW + timedelta(hours=1))


def test_a_cancelled_or_purged_order_takes_its_documents_along(store: SQLStore, own_store: SQLStore) -> None:
    for kept in (store, own_store):
        made = order(records.log_in(kept).client.client_id)
        with kept.transaction() as tx:
            tx.sign_transactions.open(made, DOCUMENTS)
        if kept is store:
            with kept.transaction() as tx:
                assert not tx.sign_transactions.cancel(made.sign_transaction_id, now=made.expires_at)
                assert tx.sign_transactions.cancel(made.sign_transaction_id, now=NOW)
                assert not tx.sign_transactions.cancel(made.sign_transaction_id, now=NOW)
        else:
            assert kept.purge(now=made.expires_at)["sign_transactions"] == 1
        with kept.transaction() as tx:
            assert tx.sign_transactions.documents(made.sign_transaction_id) == ()


def test_a_raw_digest_is_remembered_for_ever_and_by_itself(store: SQLStore) -> None:
    sent, never = records.digest(), records.digest()
    with store.transaction() as tx:
        tx.raw_digests.remember([sent], now=NOW)
        tx.raw_digests.remember([sent], now=NOW + SECOND)
        assert tx.raw_digests.any_of([never, sent])
        assert not tx.raw_digests.any_of([never])
        assert not tx.raw_digests.any_of([])
