"""A million people for a database: how `bench.people` fills what it measures.

The schema and its indexes are those of the migrations and stay in place: indexes grow row by row, as years of use grow
them. Only what guards a commit is off while the rows go in: SQLite is filled without a journal; on PostgreSQL the
foreign keys are taken away, put back as they were, and by that checked. Afterwards all is on the disk, and PostgreSQL
is vacuumed, as its autovacuum keeps a real one. SQLite is not analysed, since the broker never does that.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, Protocol

import click
from sqlalchemy import Engine, select

from broker.ids import AccountID, ClientID, CredentialID, SectorID
from broker.oidc.client import AuthMethod, Client, SecurityProfile
from broker.storage.schema import accounts
from broker.storage.store import SQLStore

SERVICES: Final = 3
USES: Final = 10
NOW: Final = datetime(2026, 11, 20, 3, 4, 5, tzinfo=UTC)
ISSUER_KEY: Final = b"\x01" * 32
_BATCH: Final = 100_000
_TELL_AFTER: Final = 5.0

_Row = tuple[object, ...]
_Instant = Callable[[datetime], object]


def account_id(number: int) -> AccountID:
    return AccountID(f"account-{number:08d}-bench")


def client_id(number: int) -> ClientID:
    return ClientID(f"service-{number}")


def credential_id(number: int) -> CredentialID:
    return CredentialID(f"credential-{number:08d}")


def fingerprint(number: int) -> bytes:
    """As long as a keyed fingerprint and its key's mark, in no order."""
    return (number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "big") + number.to_bytes(25, "big")


def rows_of(people: int) -> int:
    """How many rows that many people have."""
    return people * (2 + 4 * SERVICES + USES)


class Told:
    """How far it is, on standard error, at most every five seconds. Silent unless asked for."""

    def __init__(self, name: str, *, of: int, aloud: bool) -> None:
        self._name, self._of, self._aloud = name, of, aloud
        self._began = self._last = time.monotonic()
        self._done = 0

    def rows(self, count: int) -> None:
        self._done += count
        if time.monotonic() >= self._last + _TELL_AFTER:
            self.say(f"{self._done:,} of {self._of:,} rows")

    def say(self, words: str) -> None:
        self._last = time.monotonic()
        if self._aloud:
            print(f"{self._name}: {words}, {self._last - self._began:.0f} s", file=sys.stderr, flush=True)


# --- rows ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    name: str
    columns: tuple[str, ...]
    rows: Iterable[_Row]


def _tables(people: int, instant: _Instant) -> Iterator[_Table]:
    """In an order that every reference bears. What the columns left out hold is empty, or counts by itself."""
    now, later = instant(NOW), instant(NOW + timedelta(days=900))
    everybody = range(people)
    yield _Table(name="accounts", columns=("account", "created_at"), rows=((account_id(n), now) for n in everybody))
    yield _Table(
        name="credentials",
        columns=(
            "credential_id",
            "account",
            "issuer_key_hash",
            "serial_fingerprint",
            "serial_sealed",
            "kind",
            "not_after",
            "first_seen",
        ),
        rows=(
            (credential_id(n), account_id(n), ISSUER_KEY, fingerprint(n), bytes(50), "plastic", later, now)
            for n in everybody
        ),
    )
    yield _Table(
        name="subjects",
        columns=("account", "sector", "subject"),
        rows=(
            (account_id(n), client_id(number), f"subject-{number}-{n:08d}")
            for n in everybody
            for number in range(SERVICES)
        ),
    )
    yield _Table(
        name="consents",
        columns=("account", "client_id", "scope", "granted_at"),
        rows=_consents(people, now),
    )
    yield _Table(
        name="consent_history",
        columns=("account", "client_id", "scope", "granted_at"),
        rows=_consents(people, now),
    )
    yield _Table(
        name="links",
        columns=(
            "link_id",
            "client_id",
            "account",
            "value_sealed",
            "value_fingerprint",
            "state",
            "unique_person",
            "committed_at",
            "active_at",
            "start_transaction",
            "commit_transaction",
        ),
        rows=(
            (
                f"link-{number}-{n:08d}",
                client_id(number),
                account_id(n),
                bytes(60),
                b"%d-%d" % (number, n),
                "active",
                False,
                now,
                now,
                "t",
                "t",
            )
            for n in everybody
            for number in range(SERVICES)
        ),
    )
    yield _Table(
        name="activities",
        columns=("account", "client_id", "kind", "how", "result", "items", "session_id", "times", "at", "last_at"),
        rows=_uses(people, instant),
    )


def _consents(people: int, now: object) -> Iterator[_Row]:
    for n in range(people):
        for number in range(SERVICES):
            yield account_id(n), client_id(number), "openid offline_access", now


def _uses(people: int, instant: _Instant) -> Iterator[_Row]:
    """By rounds and not by person: the rows of one person lie apart, as years of uses leave them."""
    for number in range(USES):
        client, at = client_id(number % SERVICES), instant(NOW + timedelta(days=number))
        for n in range(people):
            session = f"session-{n}-{number}"
            yield account_id(n), client, "login", "card", "done", "openid offline_access", session, 1, at, at


# --- databases -------------------------------------------------------------------------------------------------------


class NotEmpty(click.ClickException):
    """The database holds people already, and would be measured with them."""

    def __init__(self) -> None:
        super().__init__("the database has accounts: an empty one is wanted")


def check_empty(engine: Engine) -> None:
    """Raises NotEmpty."""
    with engine.connect() as connection:
        if connection.scalar(select(accounts).limit(1)) is not None:
            raise NotEmpty


def fill(engine: Engine, people: int, *, aloud: bool = False) -> None:
    """Accounts with one certificate each, their pseudonyms, consents, links and history, and the services they use.

    The database is migrated and nobody's. Every connection of `engine` is closed before and after. Raises NotEmpty.
    """
    check_empty(engine)
    _add_services(SQLStore(engine))
    engine.dispose()  # SQLite's filling wants the file to itself, and its settings are not what is measured
    told = Told(engine.dialect.name, of=rows_of(people), aloud=aloud)
    pooled = engine.raw_connection()
    try:
        driver: Any = pooled.driver_connection
        if engine.dialect.name == "sqlite":
            _fill(_SQLite(driver), _tables(people, _as_text), told)
        else:
            _fill(_PostgreSQL(driver), _tables(people, lambda moment: moment), told)
    finally:
        pooled.close()
        engine.dispose()
    if engine.dialect.name == "sqlite":
        _flush(str(engine.url.database))
    told.say("filled")


def _add_services(store: SQLStore) -> None:
    """Those that a filling which was broken off has left are there already."""
    with store.transaction() as tx:
        for one in map(client_id, range(SERVICES)):
            if tx.clients.get(one) is None:
                tx.clients.add(_service(one), now=NOW)


def _service(one: ClientID) -> Client:
    return Client(
        client_id=one,
        name=f"サービス{one}",
        vetted=True,
        profile=SecurityProfile.OIDC,
        sector=SectorID(one),
        application_type="native",
        auth_method=AuthMethod.NONE,
        redirect_uris=("http://127.0.0.1/cb",),
    )


class _Filler(Protocol):
    def add(self, table: _Table, rows: Sequence[_Row]) -> None:
        """These rows go into that table."""

    def finish(self, told: Told) -> None:
        """Leave the database as a real one of that size is found."""


def _fill(filler: _Filler, tables: Iterable[_Table], told: Told) -> None:
    for table in tables:
        given = iter(table.rows)
        while batch := list(islice(given, _BATCH)):
            filler.add(table, batch)
            told.rows(len(batch))
    filler.finish(told)


class _SQLite:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        for setting in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-500000"):
            connection.execute(f"PRAGMA {setting}").fetchall()

    def add(self, table: _Table, rows: Sequence[_Row]) -> None:
        marks = ", ".join("?" * len(table.columns))
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks})", rows)
        self._connection.execute("COMMIT")

    def finish(self, told: Told) -> None:
        told.say("all goes to the disk")


def _flush(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # or the flush of the filling is measured
    finally:
        os.close(descriptor)


_FOREIGN_KEYS: Final = """
    SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid)
    FROM pg_constraint WHERE contype = 'f' AND connamespace = current_schema()::regnamespace ORDER BY 1, 2
"""


class _PostgreSQL:
    """All in one transaction: who breaks it off leaves nobody behind, and the foreign keys in their places."""

    def __init__(self, connection: Any) -> None:
        """`connection` is psycopg's, which is here only where PostgreSQL is measured."""
        self._connection = connection
        connection.rollback()
        limits = ("statement_timeout", "idle_in_transaction_session_timeout")
        self._tell([*(f"SET {limit} = 0" for limit in limits), "SET maintenance_work_mem = '256MB'"])
        self._foreign_keys = connection.execute(_FOREIGN_KEYS).fetchall()
        self._tell([f"ALTER TABLE {table} DROP CONSTRAINT {name}" for table, name, _ in self._foreign_keys])

    def add(self, table: _Table, rows: Sequence[_Row]) -> None:
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY {table.name} ({', '.join(table.columns)}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def finish(self, told: Told) -> None:
        told.say("foreign keys are checked and put back")
        self._tell([f"ALTER TABLE {table} ADD CONSTRAINT {name} {means}" for table, name, means in self._foreign_keys])
        self._connection.commit()
        self._connection.autocommit = True
        told.say("VACUUM ANALYZE and CHECKPOINT")
        self._tell(["VACUUM ANALYZE"])
        if self._connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()[0]:
            self._tell(["CHECKPOINT"])
        else:
            told.say("no CHECKPOINT without a superuser: one of the server's own may fall into the measuring")

    def _tell(self, statements: Iterable[str]) -> None:
        for statement in statements:
            self._connection.execute(statement)


def _as_text(moment: datetime) -> str:
    """As the broker's SQLite keeps an instant."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
