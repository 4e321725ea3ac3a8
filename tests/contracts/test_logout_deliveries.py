"""What must be told to clients is taken by one host, tried again, and never lost; and what ends with a session."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from broker.flows.logout_ports import LogoutDelivery
from broker.ids import SessionID
from broker.oidc.refresh import RefreshToken
from broker.storage.logout_deliveries import BATCH
from broker.storage.store import SQLStore
from tests.contracts import records
from tests.contracts.records import MINUTE, NOW, SECOND
from tests.contracts.test_races import CALLERS, race


def delivery(login: records.LoggedIn) -> LogoutDelivery:
    return LogoutDelivery(
        delivery_id=records.name(),
        client_id=login.client.client_id,
        subject=login.session.subject,
        session_id=SessionID(records.name()),
        attempts=0,
        next_at=NOW,
        expires_at=NOW + timedelta(hours=12),
    )


def test_what_is_due_is_taken_once_and_again_when_its_taker_died(own_store: SQLStore) -> None:
    made = delivery(records.log_in(own_store))
    with own_store.transaction() as tx:
        tx.logout_deliveries.queue(made)
        assert tx.logout_deliveries.take(now=NOW - SECOND, until=NOW + MINUTE) == ()
        assert tx.logout_deliveries.take(now=NOW, until=NOW + MINUTE) == (
            replace(made, attempts=1, next_at=NOW + MINUTE),
        )
        assert tx.logout_deliveries.take(now=NOW + 59 * SECOND, until=NOW + 9 * MINUTE) == ()
        [again] = tx.logout_deliveries.take(now=NOW + MINUTE, until=NOW + 9 * MINUTE)
    assert again.attempts == 2


def test_delivered_and_given_up_are_not_taken_and_only_the_second_is_shown(own_store: SQLStore) -> None:
    login = records.log_in(own_store)
    done, given_up, waiting = delivery(login), delivery(login), delivery(login)
    with own_store.transaction() as tx:
        for made in (done, given_up, waiting):
            tx.logout_deliveries.queue(made)
        tx.logout_deliveries.delivered(done.delivery_id, now=NOW)
        tx.logout_deliveries.failed(given_up.delivery_id, error="nobody", next_at=None)
        tx.logout_deliveries.failed(waiting.delivery_id, error="busy", next_at=NOW + MINUTE)
        tx.logout_deliveries.failed(done.delivery_id, error="a late answer", next_at=NOW)
        assert tx.logout_deliveries.take(now=NOW, until=NOW + MINUTE) == ()
        shown = {row.delivery_id: (row.last_error, row.next_at) for row in tx.logout_deliveries.undelivered()}
        assert len(tx.logout_deliveries.take(now=NOW + MINUTE, until=NOW + 2 * MINUTE)) == 1
    assert shown == {given_up.delivery_id: ("nobody", None), waiting.delivery_id: ("busy", NOW + MINUTE)}


def test_of_eight_hosts_each_delivery_is_taken_by_one(own_store: SQLStore) -> None:
    login = records.log_in(own_store)
    made = [delivery(login) for _ in range(BATCH * CALLERS)]
    with own_store.transaction() as tx:
        for each in made:
            tx.logout_deliveries.queue(each)
    taken: list[str] = []
    while True:
        batches = race(own_store, lambda tx, _: tx.logout_deliveries.take(now=NOW, until=NOW + MINUTE))
        got = [row.delivery_id for batch in batches for row in batch]
        if not got:
            break
        taken += got
    assert sorted(taken) == sorted(each.delivery_id for each in made)


def test_what_was_granted_in_a_session_ends_with_it_unless_it_may_be_refreshed(store: SQLStore) -> None:
    login, other = records.log_in(store), records.log_in(store)
    inside, elsewhere = login.grant(), other.grant()
    offline = replace(login.grant(), scope=frozenset({"openid", "offline_access"}))
    asked = replace(login.grant(), scope=frozenset({"openid", "offline_access"}))  # and never got a refresh token
    refreshing = RefreshToken(
        digest=records.digest(), grant_id=offline.grant_id, issued_at=NOW, expires_at=NOW + timedelta(days=90)
    )
    with store.transaction() as tx:
        for grant in (inside, elsewhere, offline, asked):
            tx.grants.open(grant)
        tx.refresh_tokens.issue(refreshing)
        token = login.token(inside.grant_id)
        tx.tokens.issue(token)
        assert tx.grants.end_of_session(login.session.digest, now=NOW) == 2
        assert tx.grants.end_of_session(login.session.digest, now=NOW) == 0
    with store.transaction() as tx:
        assert [tx.grants.get(grant.grant_id) for grant in (inside, asked)] == [None, None]
        assert [tx.grants.get(grant.grant_id) for grant in (elsewhere, offline)] == [elsewhere, offline]
        assert tx.tokens.get(token.jti, now=NOW) is None


def test_a_superseded_session_is_found_and_says_so_and_its_codes_stay(store: SQLStore) -> None:
    login = records.log_in(store)
    code = login.code()
    with store.transaction() as tx:
        tx.codes.issue(code)
        tx.sessions.supersede(login.session.digest, now=NOW)
        assert tx.sessions.get(login.session.digest) == replace(login.session, superseded=True)
        assert tx.codes.consume(code.digest, now=NOW) == code


def test_a_session_is_found_by_its_name_while_it_is_open(store: SQLStore) -> None:
    login = records.log_in(store)
    with store.transaction() as tx:
        assert tx.sessions.named(login.session.session_id) == login.session
        assert tx.sessions.named(SessionID("\x00")) is None
        assert tx.sessions.end(login.session.digest, now=NOW)
        assert tx.sessions.named(login.session.session_id) is None
