"""Which addresses are opened, and with what promises of the driver."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from broker.errors import SettingsError, StoreUnavailable
from broker.storage.engine import open_engine


def test_every_sqlite_connection_is_durable_and_keeps_foreign_keys(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'broker.db'}")
    with engine.connect() as one, engine.connect() as other:
        for connection in (one, other):
            asked = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            }
            assert asked == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 2000}
    engine.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file.db?mode=ro",
        "sqlite+aiosqlite:///file.db",
        "mysql://root:hunter2@localhost/broker",
        "postgresql+psycopg2://root:hunter2@localhost/broker",
        "hunter2",
        "",
    ],
)
def test_any_other_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        open_engine(url)
    assert "hunter2" not in str(refused.value)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        open_engine(f"sqlite:///{tmp_path / 'missing' / 'broker.db'}")


def test_no_statement_is_logged_with_its_values(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'broker.db'}")
    with caplog.at_level(logging.INFO, logger="sqlalchemy"), engine.connect() as connection:
        connection.exec_driver_sql("SELECT ?", ("confidential",))
    assert "SELECT ?" in caplog.text
    assert "confidential" not in caplog.text
    engine.dispose()
