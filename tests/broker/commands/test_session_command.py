"""`broker session`: the operator ends a session, and sees which client was not told."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from broker.__main__ import main
from broker.flows.logout_ports import LogoutDelivery
from broker.storage.engine import open_engine
from broker.storage.store import SQLStore
from sandbox.broker import BrokerHouse, set_up
from sandbox.generate import generate
from tests.contracts import records


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> BrokerHouse:
    root: Path = tmp_path_factory.mktemp("sandbox")
    generate(root, datetime.now(UTC))
    house = BrokerHouse(root=root, issuer="http://localhost:8000", agent_origins=("http://127.0.0.1:24780",), port=8000)
    set_up(house, [])
    return house


def run(house: BrokerHouse, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["session", *arguments], env=house.environment())


def test_a_session_is_ended_once_and_an_unknown_one_never(house: BrokerHouse) -> None:
    engine = open_engine(house.environment()["BROKER_DATABASE_URL"])
    login = records.log_in(SQLStore(engine))
    sid = login.session.session_id
    ended = run(house, "end", "--", sid)
    assert (ended.exit_code, ended.output) == (0, "ended\n")
    for again in (sid, "nobody"):
        assert run(house, "end", "--", again).exit_code == 1
    with SQLStore(engine).transaction() as tx:
        assert tx.sessions.get(login.session.digest) is None
    engine.dispose()


def test_who_was_not_told_is_listed_with_the_reason(house: BrokerHouse) -> None:
    engine = open_engine(house.environment()["BROKER_DATABASE_URL"])
    store = SQLStore(engine)
    login, now = records.log_in(store), datetime.now(UTC)
    with store.transaction() as tx:
        tx.logout_deliveries.queue(
            LogoutDelivery(
                delivery_id=records.name(),
                client_id=login.client.client_id,
                subject=login.session.subject,
                session_id=login.session.session_id,
                attempts=3,
                next_at=None,
                expires_at=now + timedelta(hours=1),
                last_error="OutboundFailed: nobody",
            )
        )
    engine.dispose()
    [row] = json.loads(run(house, "undelivered", "--json").output)
    assert row == {
        "client_id": login.client.client_id,
        "sid": login.session.session_id,
        "attempts": 3,
        "next_try": None,
        "error": "OutboundFailed: nobody",
    }
    assert run(house, "undelivered").output.rstrip("\n").split("\t") == [
        str(login.client.client_id),
        str(login.session.session_id),
        "3",
        "-",
        "OutboundFailed: nobody",
    ]
