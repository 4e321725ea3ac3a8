"""What a statement and a unit of work cost beside SQLAlchemy's own execution and the bare driver.

`python -m bench.storage`. One thread, one open database, the same texts and values three ways in interleaved rounds:
through SQLAlchemy (its pool, its execution), through our units of work, and on the driver's cursor with the values
already converted. The figure is the thread's CPU time, the kernel's share for writing and flushing included.
PostgreSQL works in processes of its own, which are not counted.
"""

from __future__ import annotations

import os
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import click
from sqlalchemy import (
    Boolean,
    Column,
    Engine,
    Insert,
    Integer,
    LargeBinary,
    Select,
    Table,
    Update,
    bindparam,
    insert,
    select,
    update,
)

from broker.storage import migrations
from broker.storage.connections import Connections
from broker.storage.engine import open_engine
from broker.storage.schema import UTCDateTime, audit, clients, codes, consents, metadata, sessions
from broker.storage.work import Work

SEED: Final = "seed"
NOW: Final = datetime(2026, 11, 20, 3, 4, 5, 678901, tzinfo=UTC)
Values = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One statement, and its values of each run."""

    statement: Select[Any] | Insert | Update
    values: Callable[[], Values]


def _cell(column: Column[Any]) -> object:
    if isinstance(column.type, UTCDateTime):
        return NOW
    if isinstance(column.type, LargeBinary):
        return SEED.encode()
    return 1 if isinstance(column.type, Boolean | Integer) else SEED


def _row(table: Table) -> Values:
    """Every column that does not count by itself; the same cells in every table, so that every reference holds."""
    return {c.name: _cell(c) for c in table.c if c is not table.autoincrement_column}


_CODE_ROW: Final = _row(codes)
_AUDIT_ROW: Final = _row(audit)

SESSION: Final = Step(
    statement=select(sessions).where(sessions.c.digest == bindparam("b_digest")),
    values=lambda: {"b_digest": SEED.encode()},
)
CLIENT: Final = Step(
    statement=select(clients).where(clients.c.client_id == bindparam("b_client_id")),
    values=lambda: {"b_client_id": SEED},
)
CONSENT: Final = Step(
    statement=select(consents.c.scope, consents.c.granted_at).where(
        consents.c.account == bindparam("b_account"), consents.c.client_id == bindparam("b_client_id")
    ),
    values=lambda: {"b_account": SEED, "b_client_id": SEED},
)
TOUCH: Final = Step(
    statement=update(sessions)
    .where(sessions.c.digest == bindparam("b_digest"))
    .values(last_used_at=bindparam("b_now")),
    values=lambda: {"b_digest": SEED.encode(), "b_now": NOW},
)
CODE: Final = Step(
    statement=insert(codes).inline(), values=lambda: {**_CODE_ROW, codes.c.digest.name: secrets.token_bytes(32)}
)
AUDIT: Final = Step(statement=insert(audit).inline(), values=lambda: _AUDIT_ROW)

UNITS: Final[dict[str, tuple[Sequence[Step], int]]] = {
    "unit without a statement": ((), 1),
    "read of a session, of 100 in a unit": ((SESSION,), 100),
    "write of an audit row, of 100 in a unit": ((AUDIT,), 100),
    "unit of 3 reads": ((SESSION, CLIENT, CONSENT), 1),
    "unit of 1 write": ((AUDIT,), 1),
    "unit of 2 reads and 3 writes": ((SESSION, CONSENT, CODE, TOUCH, AUDIT), 1),
}
"""The steps, and how often they are done in one unit: where often, the figure is that of one time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Microseconds of CPU, the median of the rounds."""

    engine: str
    name: str
    sqlalchemy_us: float
    ours_us: float
    driver_us: float


class _Way(Protocol):
    def unit(self, steps: Sequence[Step], repeat: int) -> None:
        """Do all the steps so often, in one unit of work."""


class _SQLAlchemy:
    """As the library runs it: a connection of the pool, statements compiled once and looked up by their shape."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"

    def unit(self, steps: Sequence[Step], repeat: int) -> None:
        with self._engine.connect() as connection:
            if self._is_sqlite and any(not isinstance(step.statement, Select) for step in steps):
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            for _ in range(repeat):
                for step in steps:
                    result = connection.execute(step.statement, step.values())
                    if result.returns_rows:
                        result.all()
            connection.commit()


class _Ours:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def unit(self, steps: Sequence[Step], repeat: int) -> None:
        work = Work(self._connections)
        for _ in range(repeat):
            for step in steps:
                run = work.read if isinstance(step.statement, Select) else work.write
                run(step.statement, **step.values())
        work.end(commit=True)


class _Driver:
    """The bare cursor: rows stay what they are."""

    def __init__(self, connections: Connections) -> None:
        self._statements = connections.statements
        self._held = connections.take()
        self._bound: dict[int, tuple[str, Any, Callable[[Values], Any]]] = {}

    def unit(self, steps: Sequence[Step], repeat: int) -> None:
        cursor = self._held.cursor
        is_writing = any(not isinstance(step.statement, Select) for step in steps)
        if is_writing:
            cursor.execute("BEGIN IMMEDIATE" if self._held.is_sqlite else "BEGIN")
        for _ in range(repeat):
            for step in steps:
                text, values, bind = self._ready(step)
                if step is CODE:
                    values = bind(step.values())
                cursor.execute(text, values)
                if isinstance(step.statement, Select):
                    cursor.fetchall()
        if is_writing:
            self._held.driver.commit()

    def _ready(self, step: Step) -> tuple[str, Any, Callable[[Values], Any]]:
        found = self._bound.get(id(step))
        if found is None:
            values = step.values()
            prepared = self._statements.prepared(step.statement, values)
            assert prepared is not None
            found = self._bound[id(step)] = prepared.text, prepared.bind(values), prepared.bind
        return found


def measure(url: str, *, rounds: int, units: int) -> list[Line]:
    """Over a new, empty database at `url`."""
    migrations.upgrade(url)
    engine = open_engine(url)
    try:
        with engine.begin() as connection:
            for table in metadata.sorted_tables:
                connection.execute(insert(table).inline(), _row(table))
        connections = Connections(engine)
        ways: tuple[_Way, ...] = (_SQLAlchemy(engine), _Ours(connections), _Driver(connections))
        lines: list[Line] = []
        for name, (steps, repeat) in UNITS.items():
            times: list[list[float]] = [[], [], []]
            for number in range(rounds + 1):  # the first fills caches
                for way, spent in zip(ways, times, strict=True):
                    us = _cpu_us(way, steps, repeat, max(1, units // repeat))
                    if number:
                        spent.append(us)
            medians = [statistics.median(spent) / repeat for spent in times]
            lines.append(
                Line(
                    engine=engine.dialect.name,
                    name=name,
                    sqlalchemy_us=medians[0],
                    ours_us=medians[1],
                    driver_us=medians[2],
                )
            )
        return lines
    finally:
        engine.dispose()


def _cpu_us(way: _Way, steps: Sequence[Step], repeat: int, times: int) -> float:
    """Of one unit."""
    began = time.thread_time_ns()
    for _ in range(times):
        way.unit(steps, repeat)
    return (time.thread_time_ns() - began) / times / 1000


def text(lines: Sequence[Line]) -> str:
    """A Markdown table."""
    rows = [
        "| engine | CPU µs | SQLAlchemy | ours | bare driver | ours / SQLAlchemy |",
        "|---|---|---:|---:|---:|---:|",
    ]
    rows += [
        f"| {line.engine} | {line.name} | {line.sqlalchemy_us:.1f} | {line.ours_us:.1f} | {line.driver_us:.1f} |"
        f" {line.ours_us / line.sqlalchemy_us:.2f} |"
        for line in lines
    ]
    return "\n".join(rows)


@click.command()
@click.option("--rounds", type=click.IntRange(1, 100), default=7, show_default=True)
@click.option("--units", type=click.IntRange(20, 100_000), default=400, show_default=True, help="Of one round.")
@click.option("--postgresql", metavar="URL", help="An empty database of a server, to be measured as well.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Where SQLite's file is.")
def main(*, rounds: int, units: int, postgresql: str | None, folder: Path | None) -> None:
    """Measure on SQLite with synchronous=FULL, and on a PostgreSQL that is given."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=folder) as made:
        lines = measure(f"sqlite:///{os.path.join(made, 'bench.db')}", rounds=rounds, units=units)
    if postgresql is not None:
        lines += measure(postgresql, rounds=rounds, units=units)
    click.echo(text(lines))


if __name__ == "__main__":
    main()
