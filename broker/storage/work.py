"""A unit of work: what one `Store.transaction()` reads and writes, and when it begins to hold the lock.

On both engines a read sees the newest commit (READ COMMITTED). On SQLite the unit begins, with BEGIN
IMMEDIATE, at its first write, so a unit that only reads takes no lock and can never meet a stale snapshot.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

from sqlalchemy import Connection, CursorResult, Executable
from sqlalchemy.dialects import postgresql, sqlite

from broker.errors import StoreUnavailable
from broker.storage.engine import WAIT_SECONDS

PerEngine = Mapping[str, Executable]
"""A statement for each dialect, where the two spell it alike but build it with different classes."""


def per_engine(build: Callable[[Any], Executable]) -> PerEngine:
    """Build an upsert with each dialect's `insert`; ON CONFLICT is the same text in both."""
    return {"sqlite": build(sqlite.insert), "postgresql": build(postgresql.insert)}


def can_hold(text: str) -> bool:
    """Whether a database can hold `text` at all: no NUL (PostgreSQL) and no half of a surrogate pair (UTF-8).

    Names come from URLs and forms; one that cannot be stored was not stored, which is "unknown" and not a fault.
    """
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


class Work:
    """Statements of one unit, over one connection. `turn` lets one thread of the process write at a time.

    SQLite's busy handler sleeps and polls, and starves whoever is unlucky; the threads of one worker
    therefore queue here, and only worker processes meet in the busy handler.
    """

    __slots__ = ("_connection", "_dialect", "_turn", "_writing")

    def __init__(self, connection: Connection, *, turn: Lock) -> None:
        self._connection = connection
        self._dialect = connection.dialect.name
        self._turn = turn
        self._writing = False

    def read(self, statement: Executable, /, **values: object) -> CursorResult[Any]:
        """Run a SELECT."""
        return self._connection.execute(statement, values)

    def write(self, statement: Executable | PerEngine, /, **values: object) -> CursorResult[Any]:
        """Run a statement that changes something. Raises StoreUnavailable when the lock does not come in 2 s."""
        if not self._writing:
            self._begin()
        if isinstance(statement, Mapping):
            statement = statement[self._dialect]
        return self._connection.execute(statement, values)

    def _begin(self) -> None:
        if self._dialect != "sqlite":
            self._writing = True
            return
        started = time.monotonic()
        if not self._turn.acquire(timeout=WAIT_SECONDS):
            raise StoreUnavailable("another thread has been writing for 2 s")
        self._writing = True
        waited = time.monotonic() - started
        if waited > 0.05:  # the wait for other processes gets only what is left of the 2 s
            self._wait_at_most(WAIT_SECONDS - waited)
        try:
            self._connection.exec_driver_sql("BEGIN IMMEDIATE")
        finally:
            if waited > 0.05:
                self._wait_at_most(WAIT_SECONDS)

    def _wait_at_most(self, seconds: float) -> None:
        self._connection.exec_driver_sql(f"PRAGMA busy_timeout={max(0, int(seconds * 1000))}")

    def close(self) -> None:
        """Give up the turn; the connection has been committed or rolled back before."""
        if self._writing and self._dialect == "sqlite":
            self._turn.release()
        self._writing = False
