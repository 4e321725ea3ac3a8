"""What serves the house itself: the audit trail, counters, leases and the clock's mark."""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    Column,
    Index,
    Integer,
    Table,
    Text,
    event,
)

from broker.storage.schema.base import RowID, UTCDateTime, metadata

audit = Table(  # no foreign keys: the record outlives what it speaks of, and a refusal may name what never was
    "audit",
    metadata,
    Column("id", RowID, primary_key=True),
    Column("at", UTCDateTime, nullable=False),
    Column("event", Text, nullable=False),
    Column("client_id", Text),
    Column("account", Text),
    Column("reference", Text),
    Column("detail", Text, nullable=False),
)

attempts = Table(  # rate limits that hold across workers: how often something was tried in the window that began then
    "attempts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("window_began_at", UTCDateTime, nullable=False),
    Column("count", Integer, nullable=False),
    Index(None, "window_began_at"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", UTCDateTime, nullable=False),
)

clock = Table(
    "clock",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", UTCDateTime, nullable=False),
)

AUDIT_TRIGGERS = {
    "sqlite": (
        "CREATE TRIGGER audit_keeps_rows BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END",
        "CREATE TRIGGER audit_loses_none BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'audit is append-only'; END $$",
        "CREATE TRIGGER audit_keeps_rows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()",
    ),
}
"""By engine. Whoever may change the schema can lift them; they stop mistakes and a hurried hand, not the owner."""

for _engine, _statements in AUDIT_TRIGGERS.items():
    for _statement in _statements:
        _ddl = DDL(_statement)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves this constructor untyped
        event.listen(audit, "after_create", _ddl.execute_if(dialect=_engine))
