"""What a witness has seen, in one SQLite file: the newest tree of each log that it cosigned.

The file is the witness. An older copy put in its place would let a log take back what the witness has vouched for.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Final

from broker.audit.witness import Seen
from broker.errors import StoreUnavailable

_WAIT: Final = 2.0
"""Seconds to wait for the file."""
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS seen (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note BLOB NOT NULL, at INTEGER NOT NULL
) STRICT
"""
_ADVANCE: Final = """
INSERT INTO seen (origin, size, root, note, at) SELECT :origin, :size, :root, :note, :at
WHERE :old_size = 0 OR EXISTS (SELECT 1 FROM seen WHERE origin = :origin)
ON CONFLICT (origin) DO UPDATE SET size = excluded.size, root = excluded.root, note = excluded.note, at = excluded.at
WHERE seen.size = :old_size AND seen.root = :old_root
"""


class WitnessState:
    """The file. Threads and processes may share it; each call is on the disk before it answers."""

    def __init__(self, path: Path) -> None:
        """Raises StoreUnavailable."""
        self._path = path
        self._local = threading.local()
        with self._guard():
            self._connection().execute(_TABLE)

    def seen(self, origin: str) -> Seen:
        """The newest tree that was cosigned; the empty one where none was. Raises StoreUnavailable."""
        with self._guard():
            row = self._connection().execute("SELECT size, root FROM seen WHERE origin = ?", (origin,)).fetchone()
        return Seen() if row is None else Seen(size=row[0], root=row[1])

    def advance(self, origin: str, *, before: Seen, after: Seen, note: bytes, at: int) -> bool:
        """Put `after` in the place of `before`, in one statement; False where something else is there by now.

        `note` is kept as evidence of what was seen; `at` is Unix time. Raises StoreUnavailable.
        """
        values = {
            "origin": origin,
            "size": after.size,
            "root": after.root,
            "note": note,
            "at": at,
            "old_size": before.size,
            "old_root": before.root,
        }
        with self._guard():
            return self._connection().execute(_ADVANCE, values).rowcount == 1

    def logs(self) -> dict[str, tuple[int, int]]:
        """By origin, the size that was cosigned last and when. Raises StoreUnavailable."""
        with self._guard(), closing(self._connection().execute("SELECT origin, size, at FROM seen")) as rows:
            return {origin: (size, at) for origin, size, at in rows}

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, timeout=_WAIT, isolation_level=None)  # each statement commits
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._local.connection = connection
        return connection

    def close(self) -> None:
        """Close this thread's connection."""
        connection, self._local.connection = getattr(self._local, "connection", None), None
        if connection is not None:
            connection.close()

    def _guard(self) -> _Guard:
        return _Guard(self._path)


class _Guard:
    """What the file cannot do now is one error of ours."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, raised: BaseException | None, _trace: object) -> None:
        if isinstance(raised, sqlite3.Error):
            raise StoreUnavailable(f"{self._path.name}: {type(raised).__name__}") from raised
