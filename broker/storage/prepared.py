"""Statements made ready once: the text, the order of the values and the conversions, for one engine.

Every statement of this package is a SQLAlchemy expression over one schema. Working out again at each execution what
it means costs many times what SQLite needs to run it, so this happens once and the driver's cursor does the rest.
What is not understood here (a list that grows with its values, a literal, a default in Python, plain text, options,
column names that cannot be attributes) is not prepared, and runs the ordinary way with the same outcome.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from keyword import iskeyword
from operator import itemgetter
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import Delete, Dialect, Executable, Insert, Select, Update
from sqlalchemy.exc import MultipleResultsFound, NoResultFound, ResourceClosedError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

from broker.storage.schema import UTCDateTime

Convert = Callable[[Any], Any]
Columns = Sequence[tuple[str, TypeEngine[Any]]]
MakeRecord = Callable[[Sequence[Any]], Any]


class Answer:
    """What a statement answered, whole: rows have attributes, compare as tuples and hold on to no cursor.

    The methods are those of SQLAlchemy's Result by the same names, and raise the same errors.
    """

    __slots__ = ("_rows", "rowcount")

    def __init__(self, rows: Sequence[Any] | None, rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount

    def all(self) -> Sequence[Any]:
        if self._rows is None:
            raise ResourceClosedError("this statement answers no rows")
        return self._rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self.all())

    def first(self) -> Any:
        rows = self.all()
        return rows[0] if rows else None

    def one_or_none(self) -> Any:
        rows = self.all()
        if len(rows) > 1:
            raise MultipleResultsFound("more than one row where at most one was expected")
        return rows[0] if rows else None

    def one(self) -> Any:
        row = self.one_or_none()
        if row is None:
            raise NoResultFound("no row where one was expected")
        return row

    def scalar(self) -> Any:
        row = self.first()
        return None if row is None else row[0]

    def scalar_one(self) -> Any:
        return self.one()[0]

    def scalar_one_or_none(self) -> Any:
        row = self.one_or_none()
        return None if row is None else row[0]

    def scalars(self) -> Answer:
        """The first column alone."""
        return Answer([row[0] for row in self.all()], self.rowcount)


class Prepared:
    """One statement with one set of value names, on one engine."""

    __slots__ = ("_after", "_before", "_columns", "_constants", "_dialect", "_names", "_record", "_take", "text")

    def __init__(
        self,
        text: str,
        *,
        dialect: Dialect,
        takes: Sequence[tuple[str, str]],
        constants: dict[str, object],
        before: dict[str, Convert],
        columns: Columns | None,
    ) -> None:
        """`takes` pairs a name of the text with the name of its value, in the text's order.

        `before` converts values by names of the text. `columns` is None for a statement that cannot answer rows.
        """
        self.text = text
        self._dialect = dialect
        self._names = None if dialect.positional else [name for name, _ in takes]
        keys = [key for _, key in takes]
        self._take: Callable[[dict[str, object]], tuple[Any, ...]]
        if len(keys) > 1:
            self._take = itemgetter(*keys)
        else:  # itemgetter answers one value bare, and none it does not know
            self._take = lambda values: tuple([values[key] for key in keys])
        self._constants = constants
        self._before = [(place, before[name]) for place, (name, _) in enumerate(takes) if name in before]
        self._columns = columns
        self._record: MakeRecord | None = None
        self._after: list[tuple[int, Convert]] = []

    def bind(self, values: dict[str, object]) -> Any:
        """What the driver takes as the values of this text. Raises what the conversion of a value raises."""
        if self._constants:
            values = {**self._constants, **values}
        taken: Any = self._take(values)
        if self._before:
            taken = list(taken)
            for place, convert in self._before:
                taken[place] = convert(taken[place])
        return taken if self._names is None else dict(zip(self._names, taken, strict=True))

    def answer(self, cursor: Any) -> Answer:
        """Read everything the driver's cursor has to tell."""
        if not self._columns:
            return Answer(self._columns, cursor.rowcount)
        record = self._record or self._learn(self._columns, cursor.description)
        found = cursor.fetchall()
        if not self._after:
            return Answer([record(row) for row in found], cursor.rowcount)
        rows = []
        for row in found:
            cells = list(row)
            for place, convert in self._after:
                cells[place] = convert(cells[place])
            rows.append(record(cells))
        return Answer(rows, cursor.rowcount)

    def _learn(self, columns: Columns, description: Sequence[Any]) -> MakeRecord:
        """The driver says at the first execution of what type its columns are."""
        after = []
        for place, ((_, type_), told) in enumerate(zip(columns, description, strict=True)):
            convert = _after(type_, self._dialect, told[1])
            if convert is not None:
                after.append((place, convert))
        self._after = after
        record: Any = namedtuple("Record", [name for name, _ in columns])  # type: ignore[misc]  # names are data here
        self._record = made = record._make  # last: another thread may be here as well
        return made


class Statements:
    """The prepared statements of one engine; one is kept as long as its expression lives."""

    __slots__ = ("_known", "dialect")

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._known: WeakKeyDictionary[Executable, dict[tuple[str, ...], Prepared | None]] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._known)

    def prepared(self, statement: Executable, values: dict[str, object]) -> Prepared | None:
        """The statement made ready for values of these names; None when it has to run the ordinary way."""
        names = tuple(values)
        known = self._known.get(statement)
        if known is None:
            known = self._known.setdefault(statement, {})
        try:
            return known[names]
        except KeyError:
            made = known[names] = prepare(statement, names, self.dialect)
            return made


def prepare(statement: Executable, names: Sequence[str], dialect: Dialect) -> Prepared | None:
    """Make a statement ready for values of these names; None when it has to run the ordinary way.

    Raises what SQLAlchemy raises for a statement that cannot be compiled.
    """
    if not isinstance(statement, Select | Insert | Update | Delete) or statement.get_execution_options():
        return None
    compiled = statement.compile(dialect=dialect, column_keys=sorted(names))
    if (
        not isinstance(compiled, SQLCompiler)
        or compiled.literal_execute_params
        or compiled.post_compile_params
        or compiled.insert_prefetch
        or compiled.update_prefetch
        or compiled.escaped_bind_names
    ):
        return None
    sources: dict[str, str] = {}
    constants: dict[str, object] = {}
    before: dict[str, Convert] = {}
    for bind, name in compiled.bind_names.items():
        source = bind.key if bind.key in names else name
        if source not in names:
            if bind.required or bind.callable:
                return None
            constants[source] = bind.value
        sources[name] = source
        convert = _before(bind.type, dialect)
        if convert is not None:
            before[name] = convert
    order = compiled.positiontup if dialect.positional else list(compiled.bind_names.values())
    columns: Columns | None = None
    if compiled.implicit_returning:  # a new row's number, which SQLAlchemy asks for itself and shows to nobody
        columns = ()
    elif compiled._result_columns:  # only here the compiler tells the names it wrote
        columns = [(entry.keyname, entry.type) for entry in compiled._result_columns]
        if not _can_be_attributes([name for name, _ in columns]):
            return None
    return Prepared(
        compiled.string,
        dialect=dialect,
        takes=[(name, sources[name]) for name in order or ()],
        constants=constants,
        before=before,
        columns=columns,
    )


def _can_be_attributes(names: Sequence[str]) -> bool:
    return len(set(names)) == len(names) and all(
        name.isidentifier() and not iskeyword(name) and not name.startswith("_") and not hasattr(tuple, name)
        for name in names
    )


def _before(type_: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    if dialect.name == "sqlite" and isinstance(type_, UTCDateTime):
        return _instant_as_text
    return type_.dialect_impl(dialect).bind_processor(dialect)


def _after(type_: TypeEngine[Any], dialect: Dialect, told: object) -> Convert | None:
    if dialect.name == "sqlite" and isinstance(type_, UTCDateTime):
        return _text_as_instant
    return type_.dialect_impl(dialect).result_processor(dialect, told)


_WITHOUT_ZONE: Final = len("2026-11-20 03:04:05.678901")


def _instant_as_text(value: datetime | None) -> str | None:
    """The text SQLAlchemy's SQLite type writes, at a quarter of the cost (a test compares them)."""
    if value is None:
        return None
    if value.tzinfo is not UTC:
        if value.tzinfo is None:
            raise ValueError("a naive datetime names no instant")
        value = value.astimezone(UTC)
    return value.isoformat(" ", "microseconds")[:_WITHOUT_ZONE]


def _text_as_instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(f"{text}+00:00")
