"""Units of work over connections that stay open: nothing of one is seen in the next, and lost ones are replaced."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, Text, bindparam, column, func, insert, select, table, text
from sqlalchemy.exc import IntegrityError

from broker.errors import StoreUnavailable
from broker.storage import migrations
from broker.storage.connections import Connections
from broker.storage.engine import POOL_OVERFLOW, POOL_SIZE, open_engine
from broker.storage.schema import accounts, codes, leases
from broker.storage.store import SQLStore, StoreMisused
from broker.storage.work import Work
from tests.contracts import records
from tests.contracts.records import NOW
from tests.contracts.test_faults import writer_elsewhere

ADD = insert(accounts)
COUNT = select(func.count()).select_from(accounts)
SLOW_ADD = text("INSERT INTO accounts (account, created_at) VALUES (:account, '2026-11-20 03:04:05.000000')")


def number(connections: Connections) -> int:
    work = Work(connections)
    found: int = work.read(COUNT).scalar_one()
    work.end(commit=True)
    return found


@pytest.fixture
def connections(own_engine: Engine) -> Connections:
    return Connections(own_engine)


@pytest.mark.parametrize(
    "ways", [(ADD, ADD), (ADD, SLOW_ADD), (SLOW_ADD, ADD)], ids=["ready", "then slow", "slow first"]
)
@pytest.mark.parametrize("commit", [True, False])
def test_a_unit_is_whole_whichever_way_its_statements_go(
    connections: Connections, ways: tuple[object, ...], commit: bool
) -> None:
    work = Work(connections)
    for way in ways:
        values: dict[str, object] = {"account": records.name()}
        if way is ADD:
            values["created_at"] = NOW
        work.write(way, **values)  # type: ignore[arg-type]  # both forms of a statement come this way
    assert work.read(COUNT).scalar_one() == 2
    assert number(connections) == 0, "another unit sees what was not committed"
    work.end(commit=commit)
    assert number(connections) == (2 if commit else 0)


def test_a_unit_in_which_a_statement_failed_is_not_committed_though_the_error_was_caught(
    own_store: SQLStore, own_engine: Engine, connections: Connections
) -> None:
    with pytest.raises(StoreUnavailable, match="nothing was committed"), own_store._unit() as work:  # noqa: PT012 -- it is the end of the unit that raises
        work.write(ADD, account="a", created_at=NOW)
        with pytest.raises(IntegrityError):
            work.write(ADD, account="a", created_at=NOW)
    assert number(connections) == 0
    with own_store._unit() as work:
        work.write(ADD, account="a", created_at=NOW)
    assert number(connections) == 1


def test_an_error_of_a_value_leaves_the_connection_clean(own_store: SQLStore, connections: Connections) -> None:
    with pytest.raises(StoreMisused, match=r"Integrity|Violation"), own_store._unit() as work:  # noqa: PT012 -- it is the end of the unit that raises
        work.write(ADD, account="a", created_at=NOW)
        work.write(ADD, account="a", created_at=NOW)
    for _ in range(POOL_SIZE + 1):
        with own_store._unit() as work:
            assert work.read(COUNT).scalar_one() == 0


def test_a_reading_unit_holds_no_transaction(own_engine: Engine) -> None:
    connections = Connections(own_engine)
    work = Work(connections)
    work.read(COUNT)
    assert not work._held.in_transaction()
    with own_engine.begin() as other:
        other.execute(ADD, {"account": "a", "created_at": NOW})
    assert work.read(COUNT).scalar_one() == 1, "a read sees the newest commit"
    work.end(commit=True)


def test_the_wait_for_other_processes_is_whole_again_after_a_unit_that_queued(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'broker.db'}"
    migrations.upgrade(url)
    engine = open_engine(url)
    connections = Connections(engine)
    first = Work(connections)
    first.write(ADD, account="a", created_at=NOW)
    timer = threading.Timer(0.3, lambda: first.end(commit=True))
    timer.start()
    second = Work(connections)
    second.write(ADD, account="b", created_at=NOW)
    assert second._held.cursor.execute("PRAGMA busy_timeout").fetchone() == (2000,)
    second.end(commit=True)
    timer.join()
    assert number(connections) == 2
    engine.dispose()


def test_a_forked_process_leaves_its_parents_connections_and_turn_alone(
    own_store: SQLStore, own_engine: Engine
) -> None:
    """The parent forks while another thread of it is writing."""
    login = records.log_in(own_store)
    code = login.code()
    writing, done = threading.Event(), threading.Event()

    def hold_the_turn() -> None:
        with own_store.transaction() as tx:
            tx.sessions.touch(login.session.digest, now=NOW + records.SECOND)
            writing.set()
            assert done.wait(20)

    def child() -> int:
        with own_store.transaction() as tx:
            if tx.clients.get(login.client.client_id) != login.client:
                return 3
        return 4 if own_store._connections.turn.locked() else 0

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold_the_turn)
        assert writing.wait(20)
        process = os.fork()
        if process == 0:
            status = 9
            try:
                signal.alarm(20)
                status = child()
            finally:
                os._exit(status)
        _, answered = os.waitpid(process, 0)
        done.set()
        held.result()
    assert os.waitstatus_to_exitcode(answered) == 0
    with own_store.transaction() as tx:
        tx.codes.issue(code)
    with own_store.transaction() as tx:
        assert tx.codes.consume(code.digest, now=NOW) == code


def test_a_forked_process_writes_and_the_parent_reads_it(own_store: SQLStore) -> None:
    login = records.log_in(own_store)
    codes_of = [login.code() for _ in range(3)]
    for code in codes_of:
        process = os.fork()
        if process == 0:
            status = 9
            try:
                signal.alarm(20)
                with own_store.transaction() as tx:
                    tx.codes.issue(code)
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
        with own_store.transaction() as tx:
            assert tx.codes.consume(code.digest, now=NOW) == code


def test_an_engine_that_is_disposed_of_has_no_connection_left(own_engine: Engine) -> None:
    connections = Connections(own_engine)
    works = [Work(connections) for _ in range(3)]
    held = [work._held for work in works]
    for work in works:
        work.read(COUNT)
        work.end(commit=True)
    own_engine.dispose()
    for each in held:
        with pytest.raises(connections.driver_error):
            each.driver.execute("SELECT 1")
    assert number(connections) == 0, "and opens new ones"


def test_connections_beyond_the_pool_are_closed_after_use(own_engine: Engine) -> None:
    connections = Connections(own_engine)
    limit = POOL_SIZE if own_engine.dialect.name == "sqlite" else POOL_SIZE + POOL_OVERFLOW
    works = [Work(connections) for _ in range(limit)]
    with pytest.raises(StoreUnavailable, match="connection"):
        Work(connections)
    for work in works:
        work.end(commit=True)
    assert len(connections._idle) == POOL_SIZE
    assert connections._open_now == POOL_SIZE


def test_who_waits_for_a_connection_gets_the_one_that_is_given_back(own_engine: Engine) -> None:
    connections = Connections(own_engine)
    limit = POOL_SIZE if own_engine.dialect.name == "sqlite" else POOL_SIZE + POOL_OVERFLOW
    works = [Work(connections) for _ in range(limit)]
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(number, connections) for _ in range(4)]
        threading.Event().wait(0.2)
        works.pop().end(commit=True)
        assert [each.result(timeout=5) for each in waiting] == [0] * 4
    for work in works:
        work.end(commit=True)
    assert connections._open_now == len(connections._idle) == POOL_SIZE


def test_many_threads_mix_reads_writes_and_failures_and_every_committed_row_is_there(
    own_store: SQLStore, own_engine: Engine, connections: Connections
) -> None:
    get = select(accounts.c.account).where(accounts.c.account == bindparam("b_account"))

    def run(thread: int) -> int:
        committed = 0
        for turn in range(40):
            name = f"{thread}-{turn}"
            try:
                with own_store._unit() as work:
                    assert work.read(get, b_account=name).one_or_none() is None
                    work.write(ADD, account=name, created_at=NOW)
                    if turn % 5 == 0:
                        work.write(ADD, account=name, created_at=NOW)
                    if turn % 7 == 0:
                        raise LookupError(name)
                committed += 1
            except (LookupError, StoreMisused):
                continue
        return committed

    with ThreadPoolExecutor(6) as pool:
        committed = sum(pool.map(run, range(6)))
    assert number(connections) == committed == 6 * sum(1 for turn in range(40) if turn % 5 and turn % 7)


def test_a_commit_that_is_refused_leaves_nothing_and_the_next_unit_is_clean(
    own_store: SQLStore, own_engine: Engine
) -> None:
    """A deferred reference is judged by COMMIT itself."""
    with own_engine.begin() as connection:
        connection.execute(text("CREATE TABLE parent (id TEXT PRIMARY KEY)"))
        connection.execute(
            text("CREATE TABLE child (id TEXT REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED, name TEXT)")
        )
    orphan = insert(table("child", column("id", Text)))
    for first in (ADD, SLOW_ADD):  # committed by the driver's connection, and by SQLAlchemy's
        with pytest.raises(StoreMisused, match=r"Integrity|Violation"), own_store._unit() as work:  # noqa: PT012 -- it is the end of the unit that raises
            values: dict[str, object] = {"created_at": NOW} if first is ADD else {}
            work.write(first, account="a", **values)
            work.write(orphan, id="nobody")
        with own_store._unit() as work:
            assert work.read(COUNT).scalar_one() == 0
            work.write(ADD, account="b", created_at=NOW)
            work.write(accounts.delete())


def test_a_server_that_cut_every_connection_is_found_back_after_one_refusal(
    postgres_database: Callable[[], str],
) -> None:
    url = postgres_database()
    migrations.upgrade(url)
    engine, killer = open_engine(url), open_engine(url)
    store = SQLStore(engine)
    with ThreadPoolExecutor(4) as pool:  # several connections are open and idle
        assert list(pool.map(lambda _: len(store.overdue(now=NOW)), range(4)))
    with killer.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    with pytest.raises(StoreUnavailable), store.transaction() as tx:
        tx.clients.all()
    for _ in range(6):
        with store.transaction() as tx:
            assert tx.clients.all() == ()
    for opened in (engine, killer):
        opened.dispose()


def test_a_lock_that_another_process_holds_leaves_the_connection_fit_for_the_next(
    own_store: SQLStore, own_engine: Engine
) -> None:
    with writer_elsewhere(own_engine), pytest.raises(StoreUnavailable), own_store._unit() as work:
        work.write(codes.delete())
    with own_store._unit() as work:
        assert work.write(leases.delete()).rowcount == 0
    assert own_store._connections._open_now <= 1
