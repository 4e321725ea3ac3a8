"""The register of mandates: an append-only log, whose rows stay as they were written."""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    event,
)

from broker.storage.schema.base import RowID, UTCDateTime, metadata

register_logs = Table(  # the head of each log: what the next entry is added to, and the checkpoint signed over it
    "register_logs",
    metadata,
    Column("id", RowID, primary_key=True),
    Column("origin", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("peaks", LargeBinary, nullable=False),
    Column("note", LargeBinary, nullable=False),
    UniqueConstraint("origin"),
)

register_entries = Table(
    "register_entries",
    metadata,
    Column("log", BigInteger, ForeignKey("register_logs.id"), primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary, nullable=False),
)

register_nodes = Table(  # hashes of the tile levels above the entries
    "register_nodes",
    metadata,
    Column("log", BigInteger, ForeignKey("register_logs.id"), primary_key=True, autoincrement=False),
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)

register_checkpoints = Table(  # those that left the house, under their cosignatures
    "register_checkpoints",
    metadata,
    Column("log", BigInteger, ForeignKey("register_logs.id"), primary_key=True, autoincrement=False),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", LargeBinary, nullable=False),
    Column("published_at", UTCDateTime, nullable=False),
)

REGISTER_TRIGGERS = {
    table.name: {
        "sqlite": tuple(
            f"CREATE TRIGGER {table.name}_{name} BEFORE {act} ON {table.name} "
            "BEGIN SELECT RAISE(ABORT, 'the register is append-only'); END"
            for name, act in (("keeps_rows", "UPDATE"), ("loses_none", "DELETE"))
        ),
        "postgresql": (
            "CREATE OR REPLACE FUNCTION register_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the register is append-only'; END $$",
            f"CREATE TRIGGER {table.name}_keeps_rows BEFORE UPDATE OR DELETE OR TRUNCATE ON {table.name} "
            "FOR EACH STATEMENT EXECUTE FUNCTION register_is_append_only()",
        ),
    }
    for table in (register_entries, register_nodes)
}
"""By table and engine."""

for _table in (register_entries, register_nodes):
    for _engine, _statements in REGISTER_TRIGGERS[_table.name].items():
        for _statement in _statements:
            _ddl = DDL(_statement)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves this constructor untyped
            event.listen(_table, "after_create", _ddl.execute_if(dialect=_engine))
