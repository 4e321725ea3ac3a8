"""login_ports.IdentityProofStore, and what of a login waits for it: sealed, with its grant, and gone with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select

from broker.ids import GrantID
from broker.oidc.grants import Grant
from broker.storage.schema import identity_proofs
from broker.storage.store import SQLStore, StoreMisused
from tests.contracts import records
from tests.contracts.records import NOW


def proved(store: SQLStore) -> Grant:
    """A grant with a proof beside it."""
    grant = records.log_in(store).code().grant
    with store.transaction() as tx:
        tx.grants.open(grant)
        tx.identity_proofs.keep(grant.grant_id, b"\x01sealed")
    return grant


def rows(engine: Engine, grant: Grant) -> int:
    with engine.connect() as connection:
        found = select(identity_proofs).where(identity_proofs.c.grant_id == grant.grant_id)
        return len(connection.execute(found).all())


def test_a_proof_is_found_by_its_grant_alone_and_kept_once(store: SQLStore) -> None:
    grant = proved(store)
    with store.transaction() as tx:
        assert tx.identity_proofs.get(grant.grant_id) == b"\x01sealed"
        assert tx.identity_proofs.get(GrantID(records.name())) is None
    with pytest.raises(StoreMisused), store.transaction() as tx:
        tx.identity_proofs.keep(grant.grant_id, b"other")
    with pytest.raises(StoreMisused), store.transaction() as tx:
        tx.identity_proofs.keep(GrantID(records.name()), b"of no grant")


def test_it_is_gone_when_its_grant_ends_its_session_or_its_client(store: SQLStore, engine: Engine) -> None:
    for end in ("grant", "session", "client"):
        grant = proved(store)
        other = proved(store)
        assert grant.session_digest is not None
        with store.transaction() as tx:
            if end == "grant":
                assert tx.grants.end(grant.grant_id, now=NOW)
            elif end == "session":
                assert tx.grants.end_of_session(grant.session_digest, now=NOW) == 1
            else:
                tx.clients.end_grants(grant.client_id, after="", now=NOW)
            assert tx.identity_proofs.get(grant.grant_id) is None, end
            assert tx.identity_proofs.get(other.grant_id) == b"\x01sealed"
        assert rows(engine, grant) == 0, end


def test_what_is_let_go_can_be_chosen_until_the_card_has_answered(store: SQLStore) -> None:
    login = records.log_in(store)
    interaction = records.interaction(login.client.client_id)
    first, then = frozenset({"name", "address"}), frozenset[str]()
    with store.transaction() as tx:
        tx.interactions.open(interaction)
        found = tx.interactions.get(interaction.interaction_id, now=NOW)
        assert found is not None
        assert found.released is None
        for chosen in (first, then):
            assert tx.interactions.choose(interaction.interaction_id, chosen, now=NOW)
            assert tx.interactions.get(interaction.interaction_id, now=NOW) == replace(interaction, released=chosen)
        late = interaction.expires_at + timedelta(seconds=1)
        assert not tx.interactions.choose(interaction.interaction_id, first, now=late)
        assert tx.interactions.authenticate(interaction.interaction_id, login.who(), now=NOW)
        assert not tx.interactions.choose(interaction.interaction_id, first, now=NOW)


def test_what_the_card_signed_waits_sealed_with_the_released_answer(store: SQLStore) -> None:
    login = records.log_in(store)
    interaction = records.interaction(login.client.client_id)
    transaction = replace(records.card_transaction(interaction), action='{"kind":"proof"}', application="申込書\n")
    answer = replace(
        records.card_answer(records.credential().key), signed_sealed=b"\x01signed", proof_sealed=b"\x01proof"
    )
    returned = records.digest()
    with store.transaction() as tx:
        tx.interactions.open(interaction)
        tx.cards.begin(transaction)
        assert tx.cards.get(transaction.transaction_id) == transaction
        assert tx.cards.answer(transaction.transaction_id, answer, return_digest=returned)
        assert tx.cards.signed(interaction.interaction_id) is None
        released = tx.cards.release(
            transaction.transaction_id,
            browser_digest=interaction.browser_digest,
            return_digest=returned,
            now=transaction.issued_at,
        )
        assert released is not None
        assert released[1] == answer
        assert tx.cards.signed(interaction.interaction_id) == b"\x01signed"
        assert tx.cards.proof(interaction.interaction_id) == b"\x01proof"
