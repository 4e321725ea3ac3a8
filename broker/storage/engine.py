"""Opening the database: what a commit means is decided here.

SQLite: WAL with `synchronous=FULL`, because a lost "code used" mark is a code that works twice. The driver's own
transaction control is off; a unit of work begins with BEGIN IMMEDIATE at its first write (broker.storage.work).
PostgreSQL: psycopg 3, READ COMMITTED, and a limit on every wait.
"""

from __future__ import annotations

import os
from pathlib import Path
from sqlite3 import Connection as SQLiteConnection
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from broker.errors import SettingsError, StoreUnavailable

WAIT_SECONDS = 2.0
"""The longest wait for a lock, a connection or a statement; then StoreUnavailable."""
POOL_SIZE = 8
POOL_OVERFLOW = 8
"""PostgreSQL: connections beyond the pool's, closed after use."""
STATEMENTS = 512
"""How many statements a connection keeps ready. More than this program has."""

_POSTGRESQL_OPTIONS = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "statement_timeout": "2000",
        "lock_timeout": "2000",
        "idle_in_transaction_session_timeout": "10000",
        "timezone": "UTC",
    }.items()
)


_NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "lustre", "ocfs2", "gfs2", "afs"})
_MOUNTS = Path("/proc/self/mountinfo")


def open_engine(url: str) -> Engine:
    """An engine for `sqlite:///FILE` or `postgresql://…`.

    Raises SettingsError for any other address and for SQLite on a network file system (R10), StoreUnavailable when
    the SQLite file cannot be made.
    A new SQLite file is 0600 from its first byte (SQLite gives its -wal and -shm files the same mode).
    """
    address = parse_url(url)
    return _open_sqlite(address) if address.get_backend_name() == "sqlite" else _open_postgresql(address)


def parse_url(url: str) -> URL:
    """Raises SettingsError; the message never repeats the address, which may carry a password."""
    try:
        address = make_url(url)
    except ArgumentError:
        raise SettingsError("the database address is not a URL") from None
    if address.drivername == "sqlite":
        if not address.database or address.database == ":memory:" or address.query:
            raise SettingsError("an SQLite address names a file and nothing else: sqlite:///FILE")
    elif address.drivername not in {"postgresql", "postgresql+psycopg"}:
        raise SettingsError("the database is sqlite:///FILE or postgresql://…")
    return address


def _open_sqlite(address: URL) -> Engine:
    path = Path(address.database or "")
    kind = file_system(path.resolve(), _MOUNTS.read_text(errors="replace")) if _MOUNTS.exists() else None
    if kind in _NETWORK_FILE_SYSTEMS:  # neither its locks nor its shared memory reach from host to host
        raise SettingsError(f"SQLite does not work on a network file system ({kind}): use PostgreSQL")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as refused:
        raise StoreUnavailable(f"the database file cannot be opened: {refused.strerror}") from refused
    engine = create_engine(
        address,
        connect_args={"timeout": WAIT_SECONDS, "isolation_level": None, "cached_statements": STATEMENTS},
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=WAIT_SECONDS,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _pragmas(connection: SQLiteConnection, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    return engine


def _open_postgresql(address: URL) -> Engine:
    engine = create_engine(
        address.set(drivername="postgresql+psycopg"),
        isolation_level="READ COMMITTED",
        connect_args={
            "connect_timeout": 2,
            "tcp_user_timeout": 3000,
            "keepalives_idle": 10,
            "application_name": "jpki-broker",
            "options": _POSTGRESQL_OPTIONS,
        },
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=WAIT_SECONDS,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _keep_statements(connection: Any, _record: Any) -> None:
        connection.prepared_max = STATEMENTS  # psycopg's own 100 would have them push each other out

    return engine


def file_system(path: Path, mountinfo: str) -> str | None:
    """The type of the file system that holds `path`, from the text of proc(5) mountinfo; None when it is not told."""
    best: tuple[int, str] | None = None
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        fields = left.split(" ")
        if not separator or len(fields) < 5 or not right:
            continue
        mount = Path(fields[4].replace("\\040", " "))
        if path.is_relative_to(mount) and (best is None or len(mount.parts) >= best[0]):  # the last mount is on top
            best = len(mount.parts), right.split(" ")[0]
    return None if best is None else best[1]
