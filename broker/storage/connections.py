"""Connections that stay open for units of work, beside the engine's pool.

The pool looks a connection over at every hand-over and resets it; a unit of work leaves its own clean or gives it up,
so that here a hand-over is one step of a list. What is open counts against the same limits, and goes when the engine
is disposed of. A process that was forked leaves its parent's connections alone and opens its own.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from threading import Condition, Lock
from typing import Any, Final

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError, StatementError

from broker.errors import StoreUnavailable
from broker.storage.engine import POOL_OVERFLOW, POOL_SIZE, WAIT_SECONDS
from broker.storage.prepared import Statements

_IDLE: Final = 0
"""PQTRANS_IDLE of libpq."""


class Held:
    """One connection: SQLAlchemy's, the driver's under it, and a cursor of the driver's."""

    __slots__ = ("connection", "cursor", "driver", "is_sqlite")

    def __init__(self, connection: Connection) -> None:
        self.is_sqlite = connection.dialect.name == "sqlite"
        if not self.is_sqlite:  # a unit says itself when it begins, on both engines
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        self.connection = connection
        driver: Any = connection.connection.driver_connection
        self.driver = driver
        self.cursor = driver.cursor()
        connection.detach()

    def in_transaction(self) -> bool:
        """Whether the driver is within a transaction, good or failed."""
        if self.is_sqlite:
            return bool(self.driver.in_transaction)
        return bool(self.driver.pgconn.transaction_status != _IDLE)


class Connections:
    """At most POOL_SIZE connections (PostgreSQL: and POOL_OVERFLOW that are closed after use), for threads to share.

    `turn` lets one thread of the process write at a time, on SQLite.
    """

    def __init__(self, engine: Engine) -> None:
        self.statements = Statements(engine.dialect)
        self.turn = Lock()
        self._engine = engine
        self._limit = POOL_SIZE if engine.dialect.name == "sqlite" else POOL_SIZE + POOL_OVERFLOW
        self._driver_error = engine.dialect.loaded_dbapi.Error
        self._abandoned: list[Held] = []
        self._leaving = Lock()
        self._begin_anew()
        event.listen(engine, "engine_disposed", lambda _engine: self._close_idle())

    @property
    def driver_error(self) -> type[Exception]:
        """The base class of what the driver raises."""
        return self._driver_error

    def take(self) -> Held:
        """A clean connection. Raises StoreUnavailable when none becomes free in 2 s, DBAPIError when none opens."""
        if self._process != os.getpid():
            self._leave_to_parent()
        try:
            return self._idle.pop()
        except IndexError:
            return self._open() if self._may_open() else self._wait()

    def give(self, held: Held) -> None:
        """Give back a clean connection."""
        if len(self._idle) >= POOL_SIZE:
            self.discard(held)
            return
        self._idle.append(held)
        if self._waiting:
            with self._freed:
                self._freed.notify()

    def discard(self, held: Held) -> None:
        """Close a connection nobody should get any more; what it had not committed is rolled back by that."""
        _close(held)
        with self._freed:
            self._open_now -= 1
            self._freed.notify()

    def fault(self, error: Any, held: Held, text: str) -> StatementError:
        """What SQLAlchemy would have raised for the driver's error; values are not in it."""
        dialect = self._engine.dialect
        lost = dialect.is_disconnect(error, held.driver, held.cursor)
        if lost:
            self._close_idle()  # a server that cut one connection has cut them all
        fault: StatementError = DBAPIError.instance(
            text,
            None,
            error,
            self._driver_error,
            hide_parameters=True,
            connection_invalidated=lost,
            dialect=dialect,
        )
        return fault

    def _may_open(self) -> bool:
        with self._freed:
            if self._open_now >= self._limit:
                return False
            self._open_now += 1
            return True

    def _open(self) -> Held:
        try:
            connection = self._engine.connect()
            try:
                return Held(connection)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            with self._freed:
                self._open_now -= 1
                self._freed.notify()
            raise

    def _wait(self) -> Held:
        until = time.monotonic() + WAIT_SECONDS
        with self._freed:
            self._waiting += 1
            try:
                while True:
                    if self._idle:
                        with suppress(IndexError):  # somebody who did not have to wait was quicker
                            return self._idle.pop()
                    if self._open_now < self._limit:
                        self._open_now += 1
                        break
                    if not self._freed.wait(until - time.monotonic()):
                        raise StoreUnavailable("no database connection became free")
            finally:
                self._waiting -= 1
        return self._open()

    def _close_idle(self) -> None:
        while self._idle:
            with suppress(IndexError):
                self.discard(self._idle.pop())

    def _begin_anew(self) -> None:
        self._idle: list[Held] = []
        self._open_now = 0
        self._waiting = 0
        self._freed = Condition(Lock())
        self._process = os.getpid()

    def _leave_to_parent(self) -> None:
        """SQLite forbids even closing a connection of another process; so they are kept and not touched again."""
        with self._leaving:
            if self._process == os.getpid():  # another thread of ours has done it
                return
            self._abandoned += self._idle
            self._idle = []
            self._engine.dispose(close=False)
            self.turn = Lock()  # a thread of the parent may have held it
            self._begin_anew()


def _close(held: Held) -> None:
    with suppress(Exception):  # it is given up either way
        held.driver.close()
    with suppress(Exception):
        held.connection.invalidate()
    with suppress(Exception):
        held.connection.close()
