"""Every contract runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine

from broker.storage import migrations
from broker.storage.engine import open_engine
from broker.storage.store import SQLStore
from tests.postgres import postgres_database

__all__ = ["postgres_database"]

Database = Callable[[], str]


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """Makes the URL of a new, empty database of the engine."""
    if request.param == "postgresql":
        database: Database = request.getfixturevalue("postgres_database")
        return database
    return lambda: f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'broker.db'}"


@pytest.fixture(scope="session")
def shared_url(new_database: Database) -> str:
    """A migrated database that the tests share; each makes records of its own."""
    url = new_database()
    migrations.upgrade(url)
    return url


@pytest.fixture(scope="session")
def engine(shared_url: str) -> Iterator[Engine]:
    opened = open_engine(shared_url)
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def store(engine: Engine) -> SQLStore:
    return SQLStore(engine)


@pytest.fixture
def own_url(new_database: Database) -> str:
    """A migrated database for a test that breaks something."""
    url = new_database()
    migrations.upgrade(url)
    return url


@pytest.fixture
def own_engine(own_url: str) -> Iterator[Engine]:
    opened = open_engine(own_url)
    yield opened
    opened.dispose()


@pytest.fixture
def own_store(own_engine: Engine) -> SQLStore:
    return SQLStore(own_engine)
