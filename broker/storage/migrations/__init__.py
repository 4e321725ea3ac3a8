"""Alembic, run from code: bring a database to the revision this program was written for, or refuse it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from broker.errors import SettingsError, StoreUnavailable
from broker.storage.engine import open_engine, parse_url

_LOCK = 0x6A706B69  # "jpki": the advisory lock under which one process migrates
_PATIENCE = 60
"""Seconds that one process waits while another migrates; a request waits far less."""


def upgrade(url: str) -> None:
    """Bring the database to the newest revision, all steps in one transaction; nothing to do is fine.

    Two processes may call it at once: the second waits for the first. Raises StoreUnavailable.
    """
    with _connection(url) as connection, connection.begin():
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {_PATIENCE * 1000}")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_PATIENCE}s'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        command.upgrade(_config(connection), "head")


def current(url: str) -> str | None:
    """The revision the database stands at; None when it was never migrated, or (SQLite) does not exist."""
    address = parse_url(url)
    if address.get_backend_name() == "sqlite" and not Path(address.database or "").exists():
        return None
    with _connection(url) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str:
    """The revision this program was written for."""
    revision = ScriptDirectory.from_config(_config(None)).get_current_head()
    if revision is None:
        raise LookupError("the package carries no migrations")
    return revision


def check(url: str) -> None:
    """Refuse to serve on another revision (R10). Raises SettingsError, StoreUnavailable."""
    found, wanted = current(url), head()
    if found != wanted:
        raise SettingsError(
            f"the database is at revision {found or 'none'}, this program needs {wanted}: migrate first"
        )


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@contextmanager
def _connection(url: str) -> Iterator[Connection]:
    engine = open_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as fault:
        raise StoreUnavailable(f"the database cannot be read or migrated ({type(fault.orig).__name__})") from fault
    finally:
        engine.dispose()
