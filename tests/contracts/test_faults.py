"""When the database cannot: StoreUnavailable in about two seconds, and nothing half done."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, func, select, text

from broker.audit.entry import Entry, Event
from broker.errors import StoreUnavailable
from broker.flows.ports import Transaction
from broker.oidc.grants import AuthorizationCode
from broker.storage import migrations
from broker.storage.engine import POOL_SIZE, open_engine
from broker.storage.schema import metadata
from broker.storage.store import SQLStore, StoreMisused
from tests.contracts import records
from tests.contracts.records import NOW, LoggedIn

FAILING_AUDIT = {
    "sqlite": ["CREATE TRIGGER broken BEFORE INSERT ON audit BEGIN SELECT RAISE(FAIL, 'audit is broken'); END"],
    "postgresql": [
        "CREATE FUNCTION break_audit() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'audit is broken'; END $$",
        "CREATE TRIGGER broken BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION break_audit()",
    ],
}


def redeem(tx: Transaction, login: LoggedIn, code: AuthorizationCode) -> None:
    """The writes of a token response, the audit row last."""
    assert tx.codes.consume(code.digest, now=NOW) is not None
    token = login.token(code.grant.grant_id)
    tx.tokens.issue(token)
    tx.audit.append(Entry(at=NOW, event=Event.TOKEN_ISSUED, reference=token.jti))


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        number: int = connection.execute(select(func.count()).select_from(metadata.tables[table])).scalar_one()
        return number


@contextmanager
def writer_elsewhere(engine: Engine) -> Iterator[None]:
    """Another process that writes, and does not finish."""
    other = open_engine(engine.url.render_as_string(hide_password=False))
    with other.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if engine.dialect.name == "sqlite" else "LOCK TABLE codes")
        yield
        connection.rollback()
    other.dispose()


def test_what_fails_half_way_leaves_nothing(own_store: SQLStore, own_engine: Engine) -> None:
    login = records.log_in(own_store)
    code = login.code()
    with own_store.transaction() as tx:
        tx.codes.issue(code)
    with pytest.raises(LookupError, match="half way"), own_store.transaction() as tx:  # noqa: PT012 -- after the writes
        redeem(tx, login, code)
        raise LookupError("half way")
    assert count(own_engine, "access_tokens") == count(own_engine, "audit") == 0
    with own_store.transaction() as tx:
        assert tx.codes.consume(code.digest, now=NOW) == code


def test_no_token_without_its_audit_row(own_store: SQLStore, own_engine: Engine) -> None:  # R16
    login = records.log_in(own_store)
    code = login.code()
    with own_store.transaction() as tx:
        tx.codes.issue(code)
    dialect = own_engine.dialect.name
    with own_engine.begin() as connection:
        for statement in FAILING_AUDIT[dialect]:
            connection.execute(text(statement))
    with pytest.raises((StoreUnavailable, StoreMisused), match="audit is broken"), own_store.transaction() as tx:
        redeem(tx, login, code)
    assert count(own_engine, "access_tokens") == count(own_engine, "audit") == 0
    with own_engine.begin() as connection:
        connection.execute(text("DROP TRIGGER broken" + (" ON audit" if dialect == "postgresql" else "")))
    with own_store.transaction() as tx:
        redeem(tx, login, code)
    assert count(own_engine, "access_tokens") == count(own_engine, "audit") == 1


def test_a_lock_that_stays_is_store_unavailable_after_two_seconds(own_store: SQLStore, own_engine: Engine) -> None:
    login = records.log_in(own_store)
    code = login.code()
    with writer_elsewhere(own_engine):
        started = time.monotonic()
        with pytest.raises(StoreUnavailable), own_store.transaction() as tx:
            tx.codes.issue(code)
        assert 1.8 <= time.monotonic() - started < 20
    with own_store.transaction() as tx:
        tx.codes.issue(code)


def test_four_threads_behind_a_lock_that_stays_all_give_up_in_time(own_store: SQLStore, own_engine: Engine) -> None:
    login = records.log_in(own_store)

    def attempt(number: int) -> float:
        time.sleep(number * 0.5)  # who queues behind another thread has that much less left for other processes
        started = time.monotonic()
        with pytest.raises(StoreUnavailable), own_store.transaction() as tx:
            tx.codes.issue(login.code())
        return time.monotonic() - started

    with writer_elsewhere(own_engine), ThreadPoolExecutor(4) as pool:
        assert max(pool.map(attempt, range(4))) < 6  # one after the other they would wait eight
    with own_store.transaction() as tx:
        tx.codes.issue(login.code())


def test_reading_goes_on_while_another_process_writes(own_store: SQLStore, own_engine: Engine) -> None:
    login = records.log_in(own_store)
    with writer_elsewhere(own_engine), own_store.transaction() as tx:
        assert tx.sessions.get(login.session.digest) == login.session
        assert tx.clients.get(login.client.client_id) == login.client


def test_a_full_disk_is_store_unavailable_and_every_token_has_its_row(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'broker.db'}"
    migrations.upgrade(url)
    engine = open_engine(url)
    pages = 120

    @event.listens_for(engine, "connect")
    def small_disk(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    store = SQLStore(engine)
    login = records.log_in(store)
    with pytest.raises(StoreUnavailable, match="full"):  # noqa: PT012 -- which of the writes fills it is its own affair
        while True:
            code = login.code()
            with store.transaction() as tx:
                tx.codes.issue(code)
            with store.transaction() as tx:
                redeem(tx, login, code)
    tokens = count(engine, "access_tokens")
    assert tokens == count(engine, "audit") > 0
    with store.transaction() as tx:
        assert tx.sessions.get(login.session.digest) == login.session
    engine.dispose()
    pages = 10_000
    code = login.code()
    with store.transaction() as tx:
        tx.codes.issue(code)
        redeem(tx, login, code)
    assert count(engine, "access_tokens") == tokens + 1
    engine.dispose()


def test_when_every_connection_is_busy_the_next_one_is_refused_in_time(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'broker.db'}"
    migrations.upgrade(url)
    engine = open_engine(url)
    store = SQLStore(engine)
    with ExitStack() as busy:
        for _ in range(POOL_SIZE):
            busy.enter_context(store.transaction())
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match="connection"), store.transaction():
            pass
        assert time.monotonic() - started < 20
    with store.transaction() as tx:
        assert tx.clients.all() == ()
    engine.dispose()


def test_a_database_that_lost_its_file_is_store_unavailable(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'never-migrated.db'}")
    with pytest.raises(StoreUnavailable, match="no such table"), SQLStore(engine).transaction() as tx:
        tx.clients.all()
    engine.dispose()


def test_a_cut_connection_is_store_unavailable_once_and_the_pool_heals(postgres_database: Callable[[], str]) -> None:
    url = postgres_database()
    migrations.upgrade(url)
    engine, killer = open_engine(url), open_engine(url)
    store = SQLStore(engine)
    code = records.log_in(store).code()
    with pytest.raises(StoreUnavailable), store.transaction() as tx:  # noqa: PT012 -- cut in the middle
        tx.codes.issue(code)
        with killer.begin() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        tx.audit.append(Entry(at=NOW, event=Event.CODE_ISSUED))
    with store.transaction() as tx:
        assert tx.codes.consume(code.digest, now=NOW) is None
        tx.codes.issue(code)
    for opened in (engine, killer):
        opened.dispose()


def test_a_server_that_is_not_there_is_store_unavailable(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="missing: psycopg")
    engine = open_engine(f"postgresql://postgres@/nothing?host={tmp_path}")
    with pytest.raises(StoreUnavailable), SQLStore(engine).transaction() as tx:
        tx.clients.all()
    engine.dispose()
