"""Clients are changed by who may, and end with everything they had; invitations and sectors are counted by one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from broker.flows.client_ports import InitialAccess
from broker.ids import ClientID, SectorID
from broker.oidc.client import Right, SecurityProfile
from broker.storage import clients
from broker.storage.store import SQLStore
from tests.contracts import records
from tests.contracts.records import MINUTE, NOW, SECOND
from tests.contracts.test_races import CALLERS, race


def access(uses: int = 1) -> InitialAccess:
    return InitialAccess(
        digest=records.digest(),
        profile=SecurityProfile.FAPI2,
        vetted=True,
        uses_left=uses,
        expires_at=NOW + MINUTE,
    )


def test_the_operator_changes_a_client_and_never_its_sector(store: SQLStore) -> None:
    client = replace(records.client(), rights=frozenset(Right))
    changed = replace(client, name="another", vetted=False, rights=frozenset(), sector=SectorID("elsewhere"))
    with store.transaction() as tx:
        assert tx.clients.add(client, now=NOW)
        assert tx.clients.get(client.client_id) == client
        assert tx.clients.change(changed, now=NOW + SECOND)
        assert not tx.clients.change(records.client(), now=NOW)
    with store.transaction() as tx:
        assert tx.clients.get(client.client_id) == replace(changed, sector=client.sector)


def test_a_client_is_managed_with_its_own_token_alone(store: SQLStore) -> None:
    client, manager, operators = records.client(), records.digest(), records.client()
    with store.transaction() as tx:
        tx.clients.add(client, now=NOW, manager=manager)
        tx.clients.add(operators, now=NOW)
    with store.transaction() as tx:
        found = tx.managed_clients.get(client.client_id, manager=manager)
        assert found is not None
        assert (found.client, found.issued_at) == (client, NOW)
        assert tx.managed_clients.get(client.client_id, manager=records.digest()) is None
        assert tx.managed_clients.get(operators.client_id, manager=manager) is None
        assert tx.managed_clients.get(ClientID("\x00"), manager=manager) is None
        assert not tx.managed_clients.change(client, manager=records.digest(), fresh=manager, now=NOW)


def test_of_eight_changes_with_one_token_one_is_made(store: SQLStore) -> None:
    client, manager = records.client(), records.digest()
    fresh = [records.digest() for _ in range(CALLERS)]
    with store.transaction() as tx:
        tx.clients.add(client, now=NOW, manager=manager)
    changed = race(
        store,
        lambda tx, number: tx.managed_clients.change(
            replace(client, name=f"name {number}"), manager=manager, fresh=fresh[number], now=NOW
        ),
    )
    assert sorted(changed) == [False] * (CALLERS - 1) + [True]
    winner = changed.index(True)
    with store.transaction() as tx:
        assert tx.managed_clients.get(client.client_id, manager=manager) is None
        found = tx.managed_clients.get(client.client_id, manager=fresh[winner])
        assert found is not None
        assert found.client.name == f"name {winner}"


def test_a_removed_client_takes_everything_it_had_with_it(store: SQLStore) -> None:
    login, other = records.log_in(store), records.log_in(store)
    code = login.code()
    interaction = records.interaction(login.client.client_id)
    token, own = login.token(code.grant.grant_id), replace(login.token(None), account=None)
    others = other.code()
    with store.transaction() as tx:
        tx.codes.issue(code)
        tx.codes.issue(others)
        tx.tokens.issue(token)
        tx.tokens.issue(own)
        tx.interactions.open(interaction)
    with store.transaction() as tx:
        assert tx.clients.remove(login.client.client_id, now=NOW)
        assert not tx.clients.remove(login.client.client_id, now=NOW)
        assert not tx.clients.remove(ClientID("\x00"), now=NOW)
    with store.transaction() as tx:
        after: str | None = ""
        while after is not None:
            after = tx.clients.end_grants(login.client.client_id, after=after, now=NOW)
    with store.transaction() as tx:
        assert tx.clients.get(login.client.client_id) is None
        assert login.client not in tx.clients.all()
        assert tx.sessions.get(login.session.digest) is None
        assert tx.codes.consume(code.digest, now=NOW) is None
        assert tx.grants.get(code.grant.grant_id) is None
        assert [tx.tokens.get(each.jti, now=NOW) for each in (token, own)] == [None, None]
        assert tx.interactions.get(interaction.interaction_id, now=NOW) is None
        assert not tx.clients.add(login.client, now=NOW)
        assert tx.sessions.get(other.session.digest) == other.session
        assert tx.grants.get(others.grant.grant_id) == others.grant


def test_grants_of_a_removed_client_end_step_by_step(store: SQLStore, monkeypatch: pytest.MonkeyPatch) -> None:
    login, other = records.log_in(store), records.log_in(store)
    codes = [each.code() for each in (login, other) * 4]
    with store.transaction() as tx:
        for code in codes:
            tx.codes.issue(code)
            tx.grants.keep_certificate(code.grant.grant_id, b"\x01sealed")
    monkeypatch.setattr(clients, "_STEP_ENDS", clients._STEP_ENDS.offset(2))
    after: str | None = ""
    steps = 0
    while after is not None:
        with store.transaction() as tx:
            before, after = after, tx.clients.end_grants(login.client.client_id, after=after, now=NOW)
        assert after is None or after > before
        steps += 1
    assert steps > 2
    with store.transaction() as tx:
        alive = [tx.grants.get(code.grant.grant_id) is not None for code in codes]
        kept = [tx.grants.certificate(code.grant.grant_id) is not None for code in codes]
    assert alive == kept == [False, True] * 4


def test_a_removed_client_manages_nothing_any_more(store: SQLStore) -> None:
    client, manager = records.client(), records.digest()
    with store.transaction() as tx:
        tx.clients.add(client, now=NOW, manager=manager)
        tx.clients.remove(client.client_id, now=NOW)
        assert tx.managed_clients.get(client.client_id, manager=manager) is None
        assert not tx.managed_clients.change(client, manager=manager, fresh=records.digest(), now=NOW)


def test_an_invitation_is_good_for_its_time_and_its_uses(store: SQLStore) -> None:
    invitation = access(uses=2)
    with store.transaction() as tx:
        tx.initial_access.open(invitation)
        assert tx.initial_access.get(invitation.digest, now=NOW) == invitation
        assert tx.initial_access.get(records.digest(), now=NOW) is None
        assert tx.initial_access.get(invitation.digest, now=NOW + MINUTE) is None
        assert not tx.initial_access.use(invitation.digest, now=NOW + MINUTE)
        assert [tx.initial_access.use(invitation.digest, now=NOW) for _ in range(3)] == [True, True, False]
        assert tx.initial_access.get(invitation.digest, now=NOW) is None


def test_of_eight_who_hold_an_invitation_for_three_three_come_in(store: SQLStore) -> None:
    invitation = access(uses=3)
    with store.transaction() as tx:
        tx.initial_access.open(invitation)
    used = race(store, lambda tx, _: tx.initial_access.use(invitation.digest, now=NOW))
    assert sorted(used) == [False] * (CALLERS - 3) + [True] * 3


def test_a_sector_is_approved_once_for_all(store: SQLStore) -> None:
    uri = f"https://{records.name()}.example/sector.json"
    with store.transaction() as tx:
        assert tx.sectors.get(uri) is None
        assert tx.sectors.get("\x00") is None
    approved = race(store, lambda tx, number: tx.sectors.approve(uri, fresh=SectorID(f"{uri}#{number}"), now=NOW))
    assert len(set(approved)) == 1
    with store.transaction() as tx:
        assert tx.sectors.get(uri) == approved[0]
        assert tx.sectors.approve(uri, fresh=SectorID(records.name()), now=NOW + timedelta(days=1)) == approved[0]
