"""The bench of people runs on a small database: everybody is in it, and every unit is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, Inspector, func, inspect, select

from bench import people, population
from broker.storage import migrations
from broker.storage.engine import open_engine
from broker.storage.schema import accounts, activities, consents, links, metadata
from tests.postgres import postgres_database

__all__ = ["postgres_database"]


def test_every_unit_is_measured_over_a_small_database(tmp_path: Path) -> None:
    lines = list(people.measure(f"sqlite:///{tmp_path / 'bench.db'}", people=20, times=10))
    assert [line.name for line in lines] == list(people.UNITS)
    assert all(0 < line.median_ms <= line.p99_ms for line in lines)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        made: str = request.getfixturevalue("postgres_database")()
        return made
    return f"sqlite:///{tmp_path / 'bench.db'}"


def _keys(engine: Engine) -> dict[str, tuple[object, ...]]:
    seen: Inspector = inspect(engine)
    return {
        name: (
            sorted(str(sorted(key.items(), key=str)) for key in seen.get_foreign_keys(name)),
            sorted(str(index["name"]) for index in seen.get_indexes(name)),
        )
        for name in metadata.tables
    }


def test_everybody_is_there_and_the_schema_is_what_the_migrations_made(url: str) -> None:
    migrations.upgrade(url)
    engine = open_engine(url)
    before = _keys(engine)
    population.fill(engine, 20)
    with engine.connect() as connection:
        counted = [connection.scalar(select(func.count()).select_from(table)) for table in (accounts, consents, links)]
        used = connection.execute(
            select(activities.c.account, func.count()).group_by(activities.c.account).order_by(activities.c.account)
        ).all()
        at = connection.scalar(select(func.min(accounts.c.created_at, type_=accounts.c.created_at.type)))
        if engine.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    assert counted == [20, 60, 60]
    assert [tuple(row) for row in used] == [(population.account_id(n), population.USES) for n in range(20)]
    assert at == population.NOW
    assert _keys(engine) == before
    with pytest.raises(population.NotEmpty):
        population.fill(engine, 20)
    engine.dispose()
