"""A statement made ready answers as SQLAlchemy would have: the same rows of the same types, or the same error."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    Boolean,
    Column,
    Delete,
    Executable,
    Insert,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    Update,
    bindparam,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.exc import MultipleResultsFound, NoResultFound, ResourceClosedError, StatementError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

import broker.storage
from broker.storage import migrations
from broker.storage.connections import Connections
from broker.storage.engine import open_engine
from broker.storage.prepared import Answer
from broker.storage.purge import PURGES
from broker.storage.schema import UTCDateTime, metadata
from broker.storage.work import Work

SEED_TEXT, SEED_BYTES, SEED_TIME = "種 'a' %s :b", b"\x00\xffseed", datetime(2026, 11, 20, 3, 4, 5, 678901, tzinfo=UTC)


def statements() -> Iterator[tuple[str, Any]]:
    """Every constant statement of the storage room, by module and name."""
    for found in pkgutil.iter_modules(broker.storage.__path__):
        module = importlib.import_module(f"broker.storage.{found.name}")
        for name, value in vars(module).items():
            each = list(value.values()) if isinstance(value, Mapping) else [value]
            if each and all(isinstance(statement, Select | Insert | Update | Delete) for statement in each):
                yield f"{found.name}.{name}", value
    for purge in PURGES:
        yield f"purge.{purge.name}.statement", purge.statement
        yield f"purge.{purge.name}.left", purge.left


CONSTANT = dict(statements())


@pytest.fixture(scope="module")
def databases(new_database: Callable[[], str]) -> Iterator[dict[str, Connections]]:
    """Three migrated databases: empty, and with one row in each table, NULLs wherever they may be or nowhere."""
    opened = {}
    for rows in ("none", "sparse", "full"):
        url = new_database()
        migrations.upgrade(url)
        engine = open_engine(url)
        if rows != "none":
            with engine.begin() as connection:
                for table in metadata.sorted_tables:
                    columns = [c for c in table.c if not counts_by_itself(c) and (rows == "full" or not c.nullable)]
                    cells = {c.name: seed_of(c) for c in columns}
                    connection.execute(insert(table).inline(), cells)
        opened[rows] = Connections(engine), engine
    yield {rows: connections for rows, (connections, _) in opened.items()}
    for _, engine in opened.values():
        engine.dispose()


TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=9)), timezone(-timedelta(hours=11, minutes=30))])


def values_of(type_: TypeEngine[Any]) -> st.SearchStrategy[object]:
    """Half of the time what the seed row has, so that something is found."""
    if isinstance(type_, UTCDateTime):
        times = st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1), timezones=ZONES)  # noqa: DTZ001 -- zones given
        return st.sampled_from([SEED_TIME, SEED_TIME - timedelta(1), SEED_TIME + timedelta(1)]) | times
    if isinstance(type_, LargeBinary):
        return st.just(SEED_BYTES) | st.binary(max_size=12)
    if isinstance(type_, Boolean):
        return st.booleans()
    if isinstance(type_, Integer):
        return st.integers(-(2**31), 2**31 - 1)
    assert isinstance(type_, Text), f"a strategy for {type_!r} is missing"
    return st.just(SEED_TEXT) | TEXTS


def seed_of(column: Column[Any]) -> object:
    if isinstance(column.type, UTCDateTime):
        return SEED_TIME
    if isinstance(column.type, LargeBinary):
        return SEED_BYTES
    if isinstance(column.type, Boolean | Integer):
        return 1
    return SEED_TEXT


def counts_by_itself(column: Column[Any]) -> bool:
    return column.table.autoincrement_column is column


def draw_values(statement: Executable, connections: Connections, data: st.DataObject) -> dict[str, object]:
    dialect = connections.statements.dialect
    compiled = statement.compile(dialect=dialect)  # type: ignore[attr-defined]  # it has one: it is a table's  # every one here can be compiled
    assert isinstance(compiled, SQLCompiler)
    values: dict[str, object] = {}
    for bind in compiled.bind_names:
        if not bind.required:
            continue
        column = statement.table.c.get(bind.key) if isinstance(statement, Insert) else None
        if column is not None and counts_by_itself(column):
            continue
        if column is not None and column.nullable and data.draw(st.booleans(), label=f"leave out {bind.key}"):
            continue
        value = values_of(bind.type)
        if column is not None and column.nullable:
            value = st.none() | value
        values[bind.key] = data.draw(value, label=bind.key)
    return values


def outcome(
    connections: Connections, statement: Executable, values: dict[str, object], *, ordinary: bool
) -> list[object]:
    """All that can be seen of one run: names, cells and their types, the count, the table after it, or the error."""
    seen: list[object] = []
    work = Work(connections)
    try:
        try:
            run = work._run_ordinarily if ordinary else work._run
            if not isinstance(statement, Select):
                work._begin()
            answer = run(statement, values)
        except StatementError as error:
            return [type(error), type(error.orig), str(error.orig).partition("\n")[0]]
        try:
            rows = answer.all()
        except ResourceClosedError:
            # SQLAlchemy promises a count for these two alone
            seen.append(("no rows", answer.rowcount if isinstance(statement, Update | Delete) else None))
        else:
            seen += [[(name, type(cell), cell) for name, cell in row._asdict().items()] for row in rows]
        if not isinstance(statement, Select):
            columns = [c for c in statement.table.c if not counts_by_itself(c)]  # type: ignore[attr-defined]  # it has one: it is a table's
            seen.append(sorted(repr(tuple(row)) for row in work._run_ordinarily(select(*columns), {}).all()))
        return seen
    finally:
        work.end(commit=False)


@pytest.mark.parametrize("name", CONSTANT)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_statement_of_the_storage_runs_ready_as_it_would_have_run(
    databases: dict[str, Connections], name: str, data: st.DataObject
) -> None:
    connections = databases[data.draw(st.sampled_from(["full", "sparse", "none"]), label="rows")]
    statement = CONSTANT[name]
    if isinstance(statement, Mapping):
        statement = statement[connections.statements.dialect.name]
    values = draw_values(statement, connections, data)
    assert connections.statements.prepared(statement, values) is not None, "this one takes the slow way"
    ready = outcome(connections, statement, values, ordinary=False)
    assert ready == outcome(connections, statement, values, ordinary=True)


def test_the_statements_are_found() -> None:
    assert {"codes._CONSUME", "clients._ADD", "audit._APPEND", "purge.credentials.serial_sealed.statement"} <= set(
        CONSTANT
    )


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_a_row_of_every_table_comes_back_the_same(databases: dict[str, Connections], table: Table) -> None:
    """What drawn values may miss: every column of the schema, filled and empty, is read."""
    for rows in ("full", "sparse"):
        ready, ordinary = (outcome(databases[rows], select(table), {}, ordinary=way) for way in (False, True))
        assert ready == ordinary
        assert len(ready) == 1


other = MetaData()
things = Table(
    "things",
    other,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("at", UTCDateTime),
    Column("made", Text, default=lambda: "by Python"),
)


@pytest.fixture(scope="module")
def things_of(new_database: Callable[[], str]) -> Iterator[Connections]:
    engine = open_engine(new_database())
    other.create_all(engine)
    with engine.begin() as connection:
        for name in ("a", "b"):
            connection.execute(insert(things), {"name": name})
    yield Connections(engine)
    engine.dispose()


@pytest.mark.parametrize(
    ("statement", "values", "rows"),
    [
        (select(things.c.name).where(things.c.name.in_(bindparam("n", expanding=True))), {"n": ["a", "x"]}, [("a",)]),
        (select(things.c.name).where(things.c.name.in_(["b"])), {}, [("b",)]),
        (select(things.c.name).where(things.c.name == literal("a", literal_execute=True)), {}, [("a",)]),
        (select(things.c.name).where(things.c.name == bindparam("n", callable_=lambda: "a")), {}, [("a",)]),
        (text("SELECT name FROM things WHERE name = :n"), {"n": "b"}, [("b",)]),
        (select(func.count().label("count")).select_from(things), {}, [(2,)]),
        (select(things.c.name.label("class")).where(things.c.name == bindparam("n")), {"n": "a"}, [("a",)]),
        (select(things.c.name).where(things.c.name == "a").execution_options(any_at_all=1), {}, [("a",)]),
        (insert(things).returning(things.c.name, things.c.made), {"name": "c"}, [("c", "by Python")]),
    ],
    ids=["expanding", "in", "literal", "callable", "text", "count", "keyword", "options", "default"],
)
def test_what_cannot_be_made_ready_runs_the_ordinary_way(
    things_of: Connections, statement: Executable, values: dict[str, object], rows: list[tuple[object, ...]]
) -> None:
    assert things_of.statements.prepared(statement, values) is None
    work = Work(things_of)
    try:
        assert [tuple(row) for row in work.write(statement, **values).all()] == rows
    finally:
        work.end(commit=False)


SET = update(things).where(things.c.name == bindparam("b_name")).values(at=bindparam("b_at"))


@pytest.mark.parametrize(
    "values",
    [{"b_name": "a"}, {"b_name": "a", "b_at": datetime(2026, 11, 20)}, {"b_name": "a", "b_at": "soon"}],  # noqa: DTZ001 -- refused
    ids=["missing", "naive", "no instant"],
)
def test_a_value_that_is_refused_is_refused_in_the_same_words(
    things_of: Connections, values: dict[str, object]
) -> None:
    said = []
    for ordinary in (True, False):
        work = Work(things_of)
        try:
            run = work._run_ordinarily if ordinary else work._run
            with pytest.raises(Exception) as refused:  # noqa: PT011 -- compared below
                run(SET, dict(values))
            said.append((type(refused.value), str(refused.value)))
        finally:
            work.end(commit=False)
    assert said[0] == said[1]


def test_a_name_too_many_is_no_value(things_of: Connections) -> None:
    work = Work(things_of)
    statement = select(things.c.name).where(things.c.name == bindparam("n"))
    assert work.read(statement, n="a", m="b").scalar_one() == "a"
    work.end(commit=True)


def test_two_sets_of_names_are_two_texts(things_of: Connections) -> None:
    statement = insert(things).values(made="here").returning(things.c.name, things.c.at)
    work = Work(things_of)
    try:
        assert tuple(work.write(statement, name="c").one()) == ("c", None)
        assert tuple(work.write(statement, at=SEED_TIME, name="d").one()) == ("d", SEED_TIME)
        assert tuple(work.write(statement, name="e").one()) == ("e", None)
    finally:
        work.end(commit=False)


def test_a_statement_is_forgotten_with_its_expression(things_of: Connections) -> None:
    def run() -> None:
        work = Work(things_of)
        assert work.read(select(things.c.name).where(things.c.name == "a")).scalar_one() == "a"
        work.end(commit=True)

    run()
    before = len(things_of.statements)
    for _ in range(20):
        run()
    assert len(things_of.statements) <= before


def test_an_answer_counts_its_rows_as_sqlalchemy_does() -> None:
    none, one, two = Answer([], 0), Answer([("a", 1)], 1), Answer([("a", 1), ("b", 2)], 2)
    assert none.one_or_none() is none.scalar_one_or_none() is none.first() is none.scalar() is None
    assert one.one() == one.one_or_none() == one.first() == ("a", 1)
    assert one.scalar() == one.scalar_one() == one.scalar_one_or_none() == "a"
    assert list(two) == list(two.all()) == [("a", 1), ("b", 2)]
    assert two.scalars().all() == ["a", "b"]
    with pytest.raises(NoResultFound):
        none.one()
    with pytest.raises(NoResultFound):
        none.scalar_one()
    for ask in (two.one, two.one_or_none, two.scalar_one, two.scalar_one_or_none):
        with pytest.raises(MultipleResultsFound):
            ask()
    with pytest.raises(ResourceClosedError):
        Answer(None, 1).all()
