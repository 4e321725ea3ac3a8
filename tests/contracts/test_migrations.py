"""The migrations make the schema, on both engines, and a program never serves on another revision."""

from __future__ import annotations

import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text

from broker.errors import SettingsError
from broker.storage import migrations
from broker.storage.engine import open_engine
from broker.storage.schema import metadata

TRIGGERS = {
    "sqlite": "SELECT name || sql FROM sqlite_master WHERE type = 'trigger' ORDER BY 1",
    "postgresql": "SELECT tgname || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1",
}


def triggers(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(text(TRIGGERS[engine.dialect.name])).scalars())


def test_autogenerate_finds_nothing_left_to_do(own_engine: Engine) -> None:
    with own_engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrating_and_creating_make_the_same_triggers(own_engine: Engine, new_database: Callable[[], str]) -> None:
    created = open_engine(new_database())
    with created.begin() as connection:
        metadata.create_all(connection)
    assert triggers(created) == triggers(own_engine) != []
    created.dispose()


def test_only_the_newest_revision_is_served(new_database: Callable[[], str]) -> None:
    url = new_database()
    assert migrations.current(url) is None
    with pytest.raises(SettingsError, match="revision none"):
        migrations.check(url)
    migrations.upgrade(url)
    migrations.upgrade(url)
    migrations.check(url)
    assert migrations.current(url) == migrations.head()
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'from-tomorrow'"))
    engine.dispose()
    with pytest.raises(SettingsError, match="from-tomorrow"):
        migrations.check(url)


def test_two_processes_may_migrate_at_once(new_database: Callable[[], str]) -> None:
    url = new_database()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _number: migrations.upgrade(url), range(3)))
    migrations.check(url)


def test_the_first_revision_can_be_taken_back(own_url: str, own_engine: Engine) -> None:
    with own_engine.connect() as connection, connection.begin():
        command.downgrade(migrations._config(connection), "base")
    migrations.upgrade(own_url)
    with own_engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_asking_for_the_revision_makes_no_file(tmp_path: Path) -> None:
    file = tmp_path / "broker.db"
    with pytest.raises(SettingsError):
        migrations.check(f"sqlite:///{file}")
    assert not file.exists()


def test_the_database_file_is_its_owners_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'broker.db'}"
    migrations.upgrade(url)
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE something (x TEXT)"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    engine.dispose()
    assert modes == {"broker.db": 0o600, "broker.db-wal": 0o600, "broker.db-shm": 0o600}
