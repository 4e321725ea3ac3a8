"""Terminals that everybody uses: enrolled once, stopped for ever, and each end handle used once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.accounts.kiosk import Kiosk, SiteAct
from broker.flows.login_ports import CardTransaction
from broker.flows.ports import Transaction
from broker.ids import KioskID, SessionID, TransactionID
from broker.storage.store import SQLStore
from tests.contracts import records
from tests.contracts.records import MINUTE, NOW
from tests.contracts.test_races import CALLERS, race


def kiosk() -> Kiosk:
    return Kiosk(
        kiosk_id=KioskID(records.name()),
        name="駅前出張所 1番",
        key={"kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ"},
        thumbprint=records.name(),
        start_url="https://clinic.example/",
        allows=frozenset({SiteAct.LINK, SiteAct.PROOF}),
        enrolled_at=NOW,
    )


@pytest.fixture
def enrolled(store: SQLStore) -> Kiosk:
    made = kiosk()
    with store.transaction() as tx:
        assert tx.kiosks.enrol(made)
    return made


def test_a_kiosk_is_found_by_its_name_and_its_key(store: SQLStore, enrolled: Kiosk) -> None:
    with store.transaction() as tx:
        assert tx.kiosks.get(enrolled.kiosk_id) == enrolled
        assert tx.kiosks.of_key(enrolled.thumbprint) == enrolled
        assert enrolled in tx.kiosks.all()
        assert tx.kiosks.get(KioskID("nobody\x00")) is None
        assert tx.kiosks.of_key("nobody\x00") is None


def test_a_key_is_one_kiosks_for_ever(store: SQLStore, enrolled: Kiosk) -> None:
    with store.transaction() as tx:
        assert tx.kiosks.stop(enrolled.kiosk_id, now=NOW + MINUTE)
        assert not tx.kiosks.stop(enrolled.kiosk_id, now=NOW + 2 * MINUTE)
        assert not tx.kiosks.enrol(replace(kiosk(), thumbprint=enrolled.thumbprint))
    with store.transaction() as tx:
        assert tx.kiosks.of_key(enrolled.thumbprint) == replace(enrolled, stopped_at=NOW + MINUTE)


def test_the_sessions_of_a_kiosk_are_found_until_they_end(store: SQLStore, enrolled: Kiosk) -> None:
    login = records.log_in(store)
    elsewhere = records.log_in(store)
    session = replace(
        login.session, digest=records.digest(), session_id=SessionID(records.name()), kiosk_id=enrolled.kiosk_id
    )
    with store.transaction() as tx:
        tx.sessions.open(session)
        assert tx.sessions.get(session.digest) == session
        assert tx.sessions.at(enrolled.kiosk_id) == (session,)
        assert tx.sessions.get(elsewhere.session.digest) == elsewhere.session
        began_at = session.authenticated_at
        assert tx.sessions.left_at_kiosks(began_before=began_at - MINUTE) == ()
        assert session in tx.sessions.left_at_kiosks(began_before=began_at)
        assert elsewhere.session not in tx.sessions.left_at_kiosks(began_before=began_at + MINUTE)
        tx.sessions.end(session.digest, now=NOW)
        assert tx.sessions.at(enrolled.kiosk_id) == ()


@pytest.fixture
def begun(store: SQLStore) -> CardTransaction:
    login = records.log_in(store)
    interaction = records.interaction(login.client.client_id)
    made = replace(records.card_transaction(interaction), kiosk_id=KioskID("one"), end_digest=records.digest())
    with store.transaction() as tx:
        tx.interactions.open(interaction)
        tx.cards.begin(made)
    return made


def test_what_the_answer_says_of_the_kiosk_replaces_what_the_browser_said(
    store: SQLStore, begun: CardTransaction
) -> None:
    answer = replace(records.card_answer(), kiosk_id=KioskID("two"))
    with store.transaction() as tx:
        assert tx.cards.get(begun.transaction_id) == begun
        assert tx.cards.answer(begun.transaction_id, answer, return_digest=records.digest())
        kept = tx.cards.get(begun.transaction_id)
    assert kept is not None
    assert kept.kiosk_id == "two"


def test_an_end_handle_is_used_by_its_own_transaction_alone(store: SQLStore, begun: CardTransaction) -> None:
    assert begun.end_digest is not None
    with store.transaction() as tx:
        assert tx.cards.end(begun.transaction_id, end_digest=records.digest()) is None
        assert tx.cards.end(TransactionID("other"), end_digest=begun.end_digest) is None
        assert tx.cards.end(begun.transaction_id, end_digest=begun.end_digest) == begun.interaction_id
        assert tx.interactions.session(begun.interaction_id) is None


def test_of_many_callers_one_uses_the_end_handle(store: SQLStore, begun: CardTransaction) -> None:
    def end(tx: Transaction, _: int) -> bool:
        return tx.cards.end(begun.transaction_id, end_digest=begun.end_digest or b"") is not None

    assert sorted(race(store, end)) == [False] * (CALLERS - 1) + [True]
