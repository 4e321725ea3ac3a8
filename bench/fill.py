"""A database as full as years of logins leave it: the rows that one real login wrote, again for many other people."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SHARED: Final = frozenset({"clients"})
"""Tables that many logins share; all others that a login's rows point to stand for one person, and are multiplied."""

_BATCH: Final = 20_000
_Value = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """A table as the database describes it."""

    name: str
    columns: tuple[str, ...]
    unique: frozenset[str]
    """Columns that are part of a key."""
    counted: str
    """The column that counts by itself; empty where none does."""
    points: tuple[tuple[str, str, str], ...]
    """Column, table and column that it points to."""


class Filler:
    """Fills one SQLite database. It knows no table by name but those that all share: a login shows what it writes."""

    def __init__(self, database: Path, *, seed: int = 1) -> None:
        self._database = database
        self._random = random.Random(seed)
        with self._open() as connection:
            names = [str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            self._kinds = {name: _kind(connection, name) for name in names if not name.startswith("sqlite_")}

    def grants(self) -> int:
        """How many are stored now."""
        name = "grants" if "grants" in self._kinds else "codes"
        with self._open() as connection:
            return int(connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0])

    def fill(self, wanted: int, *, login: Callable[[], object]) -> None:
        """Until `wanted` grants are stored. `login` does one real login, of which everything is copied.

        Raises ValueError when that login left no row.
        """
        with self._open() as connection:
            before = {name: _last(connection, name) for name in self._kinds}
            login()
            pattern = self._pattern(connection, before)
            if not pattern:
                raise ValueError("a login left no row behind")
            missing = wanted - self.grants()
            while missing > 0:
                self._insert(connection, pattern, min(missing, _BATCH))
                missing -= _BATCH
            connection.execute("ANALYZE")
            connection.commit()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _open(self) -> closing[sqlite3.Connection]:
        connection = sqlite3.connect(self._database, timeout=60)
        connection.execute("PRAGMA synchronous = OFF")  # what is written here is not what is measured
        connection.execute("PRAGMA cache_size = -500000")  # kB: keys come in no order
        return closing(connection)

    def _pattern(
        self, connection: sqlite3.Connection, before: dict[str, int]
    ) -> list[tuple[_Kind, tuple[_Value, ...]]]:
        """The rows that the login added, and those of its person that they point to, as far as keys lead."""
        found: dict[tuple[str, tuple[_Value, ...]], _Kind] = {}
        waiting: list[tuple[_Kind, tuple[_Value, ...]]] = []
        for name, kind in self._kinds.items():
            listed = ", ".join(kind.columns)
            added = connection.execute(f"SELECT {listed} FROM {name} WHERE rowid > ?", (before[name],))
            waiting += [(kind, tuple(row)) for row in added]
        while waiting:
            kind, row = waiting.pop()
            if (kind.name, row) in found:
                continue
            found[kind.name, row] = kind
            for column, table, target in kind.points:
                value = row[kind.columns.index(column)]
                if table in SHARED or value is None:
                    continue
                other = self._kinds[table]
                listed = ", ".join(other.columns)
                above = connection.execute(f"SELECT {listed} FROM {table} WHERE {target} = ?", (value,))
                waiting += [(other, tuple(one)) for one in above]
        return [(kind, row) for (_, row), kind in found.items()]

    def _insert(
        self, connection: sqlite3.Connection, pattern: Sequence[tuple[_Kind, tuple[_Value, ...]]], count: int
    ) -> None:
        """`count` copies. What is a key in the pattern is another random value in each, the same wherever it stands."""
        keys = {
            value
            for kind, row in pattern
            for column, value in zip(kind.columns, row, strict=True)
            if column in kind.unique and isinstance(value, bytes | str) and not _shared(kind, column)
        }
        others = [{value: self._another(value) for value in keys} for _ in range(count)]
        for kind, row in pattern:
            marks = ", ".join("?" * len(kind.columns))

            def copies(kind: _Kind = kind, row: tuple[_Value, ...] = row) -> Iterator[tuple[_Value, ...]]:
                plain = [
                    None if column == kind.counted else value for column, value in zip(kind.columns, row, strict=True)
                ]
                for other in others:
                    yield tuple(other.get(value, value) if isinstance(value, bytes | str) else value for value in plain)

            connection.executemany(f"INSERT INTO {kind.name} VALUES ({marks})", copies())
        connection.commit()

    def _another(self, value: bytes | str) -> bytes | str:
        if isinstance(value, bytes):
            return self._random.randbytes(len(value))
        return self._random.randbytes(len(value) // 2 + 1).hex()[: len(value)]


def _shared(kind: _Kind, column: str) -> bool:
    return any(column == pointing and table in SHARED for pointing, table, _ in kind.points)


def _kind(connection: sqlite3.Connection, name: str) -> _Kind:
    described = connection.execute(f"PRAGMA table_info({name})").fetchall()
    keys = {str(row[1]) for row in described if row[5]}
    counted = [str(row[1]) for row in described if row[5] and str(row[2]).upper() == "INTEGER"]
    for index in connection.execute(f"PRAGMA index_list({name})").fetchall():
        if index[2]:
            keys |= {str(row[2]) for row in connection.execute(f"PRAGMA index_info({index[1]})")}
    return _Kind(
        name=name,
        columns=tuple(str(row[1]) for row in described),
        unique=frozenset(keys),
        counted=counted[0] if counted and len(keys) == 1 else "",
        points=tuple(
            (str(row[3]), str(row[2]), str(row[4])) for row in connection.execute(f"PRAGMA foreign_key_list({name})")
        ),
    )


def _last(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"SELECT coalesce(max(rowid), 0) FROM {name}").fetchone()[0])
