"""`broker link`: operators see what R6 found, decide, and count everything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from broker.__main__ import main
from broker.accounts.link import AlarmKind, LinkAlarm, LinkState
from broker.ids import Subject
from broker.storage.engine import open_engine
from broker.storage.store import SQLStore
from sandbox.broker import BrokerHouse, set_up
from sandbox.generate import generate
from tests.contracts import records
from tests.contracts.test_links import link_of, same_client


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> BrokerHouse:
    root: Path = tmp_path_factory.mktemp("sandbox")
    generate(root, datetime.now(UTC))
    house = BrokerHouse(root=root, issuer="http://localhost:8000", agent_origins=("http://127.0.0.1:24780",), port=8000)
    set_up(house, [])
    return house


@pytest.fixture
def store(house: BrokerHouse) -> Iterator[SQLStore]:
    engine = open_engine(house.environment()["BROKER_DATABASE_URL"])
    yield SQLStore(engine)
    engine.dispose()


def run(house: BrokerHouse, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["link", *arguments], env=house.environment())


def held(store: SQLStore) -> LinkAlarm:
    """A link that met another card's number, and its alarm."""
    login = records.log_in(store)
    other = same_client(store, login)
    first = replace(link_of(login), value_sealed=b"", committed_at=datetime.now(UTC))
    second = replace(
        link_of(other, number=first.value_fingerprint, state=LinkState.HELD),
        value_sealed=b"",
        committed_at=datetime.now(UTC),
    )
    alarm = LinkAlarm(
        alarm_id=records.name(),
        at=datetime.now(UTC),
        kind=AlarmKind.ONE_ID_TWO_CARDS,
        client_id=login.client.client_id,
        link_id=second.link_id,
        other=first.link_id,
    )
    with store.transaction() as tx:
        for link in (first, second):
            tx.accounts.subject(link.account, login.client.sector, fresh=Subject(records.name()))
            assert tx.links.add(link)
        tx.links.alarm(alarm)
    return alarm


def test_an_alarm_is_listed_until_somebody_decides(house: BrokerHouse, store: SQLStore) -> None:
    confirmed, refused = held(store), held(store)
    listed = json.loads(run(house, "alarms", "--json").output)
    assert {row["link_id"] for row in listed} == {confirmed.link_id, refused.link_id}
    assert {row["kind"] for row in listed} == {"one_id_two_cards"}
    assert run(house, "confirm", "--operator", "tanaka", "--", confirmed.link_id).output == "confirmed\n"
    assert run(house, "confirm", "--operator", "tanaka", "--", confirmed.link_id).exit_code == 1
    assert run(house, "refuse", "--operator", "suzuki", "--", refused.link_id).output == "refused\n"
    assert run(house, "refuse", "--operator", "suzuki", "--", "nothing").exit_code == 1
    assert json.loads(run(house, "alarms", "--json").output) == []
    everything = {row["link_id"]: row for row in json.loads(run(house, "alarms", "--all", "--json").output)}
    assert everything[confirmed.link_id]["closed_by"] == "tanaka"
    assert everything[refused.link_id]["decision"] == "refused"
    assert confirmed.link_id in run(house, "alarms", "--all").output
    assert run(house, "confirm", "--", confirmed.link_id).exit_code == 2, "who decided is never left out"
    with store.transaction() as tx:
        states = [tx.links.get(alarm.link_id) for alarm in (confirmed, refused)]
    assert [link.state for link in states if link is not None] == [LinkState.ACTIVE, LinkState.ENDED]


def test_the_counts_are_printed_zeros_included_and_an_impossible_link_is_status_1(
    house: BrokerHouse, store: SQLStore
) -> None:
    done = run(house, "reconcile", "--json")
    counts = json.loads(done.output)
    assert done.exit_code == 0
    assert {counts[name] for name in ("two_numbers_one_card", "one_number_two_cards", "unreadable")} == {0}
    login = records.log_in(store)
    with store.transaction() as tx:
        tx.accounts.subject(login.credential.account, login.client.sector, fresh=login.session.subject)
        tx.links.add(replace(link_of(login), value_sealed=b"\x01not ours"))
    found = run(house, "reconcile")
    assert found.exit_code == 1
    assert "1\tunreadable" in found.output
