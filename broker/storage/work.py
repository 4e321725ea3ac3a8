"""A unit of work: what one `Store.transaction()` reads and writes, and when it begins to hold the lock.

On both engines a read sees the newest commit (READ COMMITTED), and the unit begins at its first write (on SQLite with
BEGIN IMMEDIATE), so a unit that only reads takes no lock and can never meet a stale snapshot.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, TypeVar

from sqlalchemy import Executable
from sqlalchemy.dialects import postgresql, sqlite

from broker.errors import StoreUnavailable
from broker.storage.connections import Connections
from broker.storage.engine import WAIT_SECONDS
from broker.storage.prepared import Answer, Prepared

_T = TypeVar("_T")

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


def maybe(kind: Callable[[str], _T], value: str | None) -> _T | None:
    """What a column that may be empty holds, as the type that it is."""
    return None if value is None else kind(value)


class Work:
    """Statements of one unit, over one connection. One thread of the process writes at a time.

    SQLite's busy handler sleeps and polls, and starves whoever is unlucky; the threads of one worker
    therefore queue here, and only worker processes meet in the busy handler.
    """

    __slots__ = ("_connections", "_failed", "_held", "_turn", "_writing")

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._held = connections.take()
        self._turn: Lock | None = None
        self._writing = False
        self._failed = False

    def read(self, statement: Executable, /, **values: object) -> Answer:
        """Run a SELECT. One that locks rows is a write."""
        return self._run(statement, values)

    def write(self, statement: Executable | PerEngine, /, **values: object) -> Answer:
        """Run a statement that changes something. Raises StoreUnavailable when the lock does not come in 2 s."""
        if not self._writing:
            self._begin()
        if not isinstance(statement, Executable):
            statement = statement["sqlite" if self._held.is_sqlite else "postgresql"]
        return self._run(statement, values)

    def finds(self, statement: Executable, /, **values: object) -> bool:
        """Whether a SELECT of one row at most has one."""
        return self.read(statement, **values).one_or_none() is not None

    def changes(self, statement: Executable | PerEngine, /, **values: object) -> bool:
        """Whether a statement that returns the one row it changes had a row to change. Raises as `write`."""
        return self.write(statement, **values).one_or_none() is not None

    def end(self, *, commit: bool) -> None:
        """Commit or roll back, and give the connection and the turn to the next.

        A unit in which a statement failed is never committed, even where somebody caught the error: raises
        StoreUnavailable.
        """
        held, clean = self._held, False
        try:
            if commit and not self._failed:
                self._commit()
            else:
                self._roll_back()
            clean = not held.in_transaction()
        finally:
            if clean:
                self._connections.give(held)
            else:
                self._connections.discard(held)  # rolls back, before the next thread's turn
            if self._turn is not None:
                self._turn.release()
                self._turn = None
        if commit and self._failed:
            raise StoreUnavailable("a statement of this unit failed: nothing was committed")

    def _run(self, statement: Executable, values: dict[str, object]) -> Answer:
        try:
            prepared = self._connections.statements.prepared(statement, values)
            if prepared is None:
                return self._run_ordinarily(statement, values)
            try:
                bound = prepared.bind(values)
            except Exception:  # SQLAlchemy finds the same fault and has the words for it
                return self._run_ordinarily(statement, values)
            return self._execute(prepared, bound)
        except BaseException:
            self._failed = True
            raise

    def _execute(self, prepared: Prepared, bound: Any) -> Answer:
        held = self._held
        try:
            held.cursor.execute(prepared.text, bound)
            return prepared.answer(held.cursor)
        except self._connections.driver_error as error:
            raise self._connections.fault(error, held, prepared.text) from error

    def _run_ordinarily(self, statement: Executable, values: dict[str, object]) -> Answer:
        result = self._held.connection.execute(statement, values)
        return Answer(result.all() if result.returns_rows else None, result.rowcount)

    def _tell(self, text: str) -> None:
        held = self._held
        try:
            held.cursor.execute(text)
        except self._connections.driver_error as error:
            self._failed = True
            raise self._connections.fault(error, held, text) from error

    def _begin(self) -> None:
        if not self._held.is_sqlite:
            self._tell("BEGIN ISOLATION LEVEL READ COMMITTED")
            self._writing = True
            return
        turn = self._connections.turn
        if turn.acquire(blocking=False):
            self._turn = turn
            self._tell("BEGIN IMMEDIATE")
        else:
            self._begin_after_others(turn)
        self._writing = True

    def _begin_after_others(self, turn: Lock) -> None:
        started = time.monotonic()
        if not turn.acquire(timeout=WAIT_SECONDS):
            raise StoreUnavailable("another thread has been writing for 2 s")
        self._turn = turn
        waited = time.monotonic() - started  # the wait for other processes gets only what is left of the 2 s
        self._wait_at_most(WAIT_SECONDS - waited)
        try:
            self._tell("BEGIN IMMEDIATE")
        finally:
            self._wait_at_most(WAIT_SECONDS)

    def _wait_at_most(self, seconds: float) -> None:
        self._tell(f"PRAGMA busy_timeout={max(0, int(seconds * 1000))}")

    def _commit(self) -> None:
        held = self._held
        if self._writing and not held.in_transaction():
            raise StoreUnavailable("the database has rolled this unit back")
        if held.connection.in_transaction():  # something ran the ordinary way
            held.connection.commit()
        elif self._writing:
            try:
                held.driver.commit()
            except self._connections.driver_error as error:
                raise self._connections.fault(error, held, "COMMIT") from error

    def _roll_back(self) -> None:
        held = self._held
        if held.connection.in_transaction():
            held.connection.rollback()
        elif self._writing:
            try:
                held.driver.rollback()
            except self._connections.driver_error as error:
                raise self._connections.fault(error, held, "ROLLBACK") from error
