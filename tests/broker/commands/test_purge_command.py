"""`broker purge` on a database as a login leaves it: what it prints, what it writes down, how it ends."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from broker.__main__ import main
from broker.storage.purge import PURGES
from sandbox.broker import BrokerHouse, set_up
from sandbox.generate import generate


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> BrokerHouse:
    root = tmp_path_factory.mktemp("sandbox")
    generate(root, datetime.now(UTC))
    house = BrokerHouse(root=root, issuer="http://localhost:8000", agent_origins=("http://127.0.0.1:24780",), port=8000)
    set_up(house, [])
    return house


def purge(house: BrokerHouse, *options: str) -> Result:
    return CliRunner().invoke(main, ["purge", *options], env=house.environment())


def execute(house: BrokerHouse, statement: str, *values: object) -> list[tuple[object, ...]]:
    path = Path(house.environment()["BROKER_DATABASE_URL"].removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def test_what_ran_out_is_deleted_counted_and_written_down(house: BrokerHouse) -> None:
    long_ago = (datetime.now(UTC) - timedelta(days=2)).strftime("%Y-%m-%d %H:%M:%S.%f")
    execute(house, "INSERT INTO leases VALUES ('job', 'host', ?)", long_ago)
    done = purge(house, "--json")
    assert done.exit_code == 0, done.output
    counts = json.loads(done.output)
    assert counts == {**{row.name: 0 for row in PURGES}, "leases": 1, "overdue": 0}
    assert execute(house, "SELECT count(*) FROM leases") == [(0,)]
    ((detail,),) = execute(house, "SELECT detail FROM audit WHERE event = 'purged' ORDER BY id DESC LIMIT 1")
    assert json.loads(str(detail)) == counts


def test_without_json_each_line_is_a_table_and_its_count(house: BrokerHouse) -> None:
    done = purge(house)
    assert done.exit_code == 0
    lines = dict(line.split("\t") for line in done.output.splitlines())
    assert lines == {**{row.name: "0" for row in PURGES}, "overdue": "0"}


def test_what_cannot_be_deleted_is_counted_as_overdue_and_told_by_the_exit_status(house: BrokerHouse) -> None:
    long_ago = (datetime.now(UTC) - timedelta(days=2)).strftime("%Y-%m-%d %H:%M:%S.%f")
    execute(house, "INSERT INTO leases VALUES ('stuck', 'host', ?)", long_ago)
    execute(house, "CREATE TRIGGER stays BEFORE DELETE ON leases BEGIN SELECT RAISE(IGNORE); END")
    try:
        done = purge(house, "--json")
    finally:
        execute(house, "DROP TRIGGER stays")
    assert done.exit_code == 1
    assert json.loads(done.output)["overdue"] == 1
