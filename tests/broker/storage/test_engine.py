"""Which addresses are opened, and with what promises of the driver."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from broker.errors import SettingsError, StoreUnavailable
from broker.storage import engine as engines
from broker.storage.engine import file_system, open_engine


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


MOUNTINFO = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /srv/with\\040space rw master:2 - nfs4 nas:/export rw
31 22 0:41 / /srv/both rw - nfs4 nas:/export rw
32 31 0:42 / /srv/both rw - xfs /dev/sdb1 rw
garbage
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/broker.db", "ext4"),
        ("/srv/with space/broker.db", "nfs4"),
        ("/srv/with space elsewhere/broker.db", "ext4"),
        ("/srv/both/broker.db", "xfs"),
    ],
)
def test_the_file_system_of_a_path_is_the_nearest_and_topmost_mount(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTINFO) == kind
    assert file_system(Path(path), "") is None


def test_sqlite_on_a_network_file_system_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # R10
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"30 22 0:40 / {tmp_path} rw - nfs4 nas:/export rw\n")
    monkeypatch.setattr(engines, "_MOUNTS", mounts)
    with pytest.raises(SettingsError, match="nfs4"):
        open_engine(f"sqlite:///{tmp_path / 'broker.db'}")
    assert not (tmp_path / "broker.db").exists()
