"""Pushed requests come back as they were, to their own client, until one login has completed."""

from __future__ import annotations

from dataclasses import replace

from broker.ids import ClientID
from broker.oidc.authorization import AuthorizationRequest
from broker.storage.store import SQLStore
from tests.contracts import records
from tests.contracts.records import MINUTE, NOW, SECOND
from tests.contracts.test_races import CALLERS, race


def push(store: SQLStore) -> tuple[bytes, AuthorizationRequest]:
    client, digest = records.client(), records.digest()
    request = replace(records.request(client.client_id), resources=("https://api.example/",), dpop_jkt="k" * 43)
    with store.transaction() as tx:
        assert tx.clients.add(client, now=NOW)
        tx.pushed_requests.push(digest, request, expires_at=NOW + MINUTE)
    return digest, request


def test_a_pushed_request_comes_back_in_time_to_its_own_client(store: SQLStore) -> None:
    digest, request = push(store)
    with store.transaction() as tx:
        found = tx.pushed_requests.get(digest, request.client_id, now=NOW + MINUTE - SECOND)
        assert found == replace(request, pushed=digest.hex())
        assert tx.pushed_requests.get(digest, request.client_id, now=NOW + MINUTE) is None
        assert tx.pushed_requests.get(records.digest(), request.client_id, now=NOW) is None
        for stranger in ("another", "\x00", "\ud800"):
            assert tx.pushed_requests.get(digest, ClientID(stranger), now=NOW) is None


def test_a_used_request_comes_back_no_more(store: SQLStore) -> None:
    digest, request = push(store)
    with store.transaction() as tx:
        assert tx.pushed_requests.use(digest, now=NOW + 10 * MINUTE)  # a login that began in time
        assert not tx.pushed_requests.use(digest, now=NOW + 10 * MINUTE)
        assert tx.pushed_requests.get(digest, request.client_id, now=NOW) is None


def test_of_eight_logins_by_one_pushed_request_exactly_one_completes(store: SQLStore) -> None:
    digest, _ = push(store)
    assert sorted(race(store, lambda tx, _: tx.pushed_requests.use(digest, now=NOW))) == [False] * (CALLERS - 1) + [
        True
    ]
