"""Powers of attorney: their life, who signs, the evidence, and what was answered about them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from broker.storage.schema.base import RowID, UTCDateTime, metadata

mandates = Table(
    "mandates",
    metadata,
    Column("number", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("grant_sealed", LargeBinary, nullable=False),
    Column("begins", UTCDateTime, nullable=False),
    Column("ends", UTCDateTime, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("changed_at", UTCDateTime, nullable=False),
    Column("parent", Text, ForeignKey("mandates.number")),
    Column("supersedes", Text, ForeignKey("mandates.number")),
    Column("status_index", Integer, unique=True),
    Column("record_sealed", LargeBinary),
    Column("salt_sealed", LargeBinary),
    Column("document_sealed", LargeBinary),
    Column("log_origin", Text),
    Column("log_index", BigInteger),
    Column("resume_origin", Text),
    Column("resume_index", BigInteger),
    Column("principal_good_at", UTCDateTime),
    Column("blocked_at", UTCDateTime),
    Index(None, "parent"),
    Index(None, "state", "changed_at"),
    Index(None, "state", "ends"),
)

mandate_parts = Table(
    "mandate_parts",
    metadata,
    Column("number", Text, ForeignKey("mandates.number", ondelete="CASCADE"), nullable=False),
    Column("part_id", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("account", Text, ForeignKey("accounts.account")),
    Column("done_at", UTCDateTime),
    Column("invitation_digest", LargeBinary, unique=True),
    Column("invited_until", UTCDateTime),
    PrimaryKeyConstraint("number", "part_id"),
    Index(None, "account"),
)

mandate_evidence = Table(
    "mandate_evidence",
    metadata,
    Column("evidence_id", RowID, primary_key=True),
    Column("number", Text, ForeignKey("mandates.number", ondelete="CASCADE"), nullable=False),
    Column("shows", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("at", UTCDateTime, nullable=False),
    Index(None, "number"),
)

protections = Table(
    "protections",
    metadata,
    Column("account", Text, ForeignKey("accounts.account"), primary_key=True),
    Column("at", UTCDateTime, nullable=False),
)

mandate_judges = Table(
    "mandate_judges",
    metadata,
    Column("number", Text, ForeignKey("mandates.number", ondelete="CASCADE"), nullable=False),
    Column("operator", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("at", UTCDateTime, nullable=False),
    PrimaryKeyConstraint("number", "operator"),
)

mandate_events = Table(
    "mandate_events",
    metadata,
    Column("event_id", RowID, primary_key=True),
    Column("number", Text, ForeignKey("mandates.number", ondelete="CASCADE"), nullable=False),
    Column("happening", Text, nullable=False),
    Column("at", UTCDateTime, nullable=False),
    Column("salt_sealed", LargeBinary, nullable=False),
    Column("commit_hash", LargeBinary, nullable=False),
    Column("log_origin", Text),
    Column("log_index", BigInteger),
    Index(None, "number"),
    Index(None, "log_index"),
)

mandate_orders = Table(  # one operator orders, another confirms
    "mandate_orders",
    metadata,
    Column("order_id", Text, primary_key=True),
    Column("number", Text, ForeignKey("mandates.number", ondelete="CASCADE"), nullable=False),
    Column("action", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("ordered_by", Text, ForeignKey("operators.name"), nullable=False),
    Column("ordered_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("confirmed_by", Text, ForeignKey("operators.name")),
    Column("confirmed_at", UTCDateTime),
    Index(None, "number"),
    Index(None, "expires_at"),
)

mandate_notes = Table(
    "mandate_notes",
    metadata,
    Column("note_id", RowID, primary_key=True),
    Column("number", Text, ForeignKey("mandates.number", ondelete="CASCADE"), nullable=False),
    Column("account", Text, ForeignKey("accounts.account"), nullable=False),
    Column("deed", Text, nullable=False),
    Column("at", UTCDateTime, nullable=False),
    Index(None, "account"),
    Index(None, "at"),
)

mandate_decisions = Table(
    "mandate_decisions",
    metadata,
    Column("decision_id", Text, primary_key=True),
    Column("number", Text, ForeignKey("mandates.number", ondelete="CASCADE"), nullable=False),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("act", Text, nullable=False),
    Column("entity", Text),
    Column("amount", BigInteger),
    Column("allowed", Boolean, nullable=False),
    Column("at", UTCDateTime, nullable=False),
    Column("holds_until", UTCDateTime, nullable=False),
    Index(None, "number", "at"),
)

status_epochs = Table(
    "status_epochs",
    metadata,
    Column("list_uri", Text, nullable=False),
    Column("at", UTCDateTime, nullable=False),
    Column("token", Text, nullable=False),
    Column("log_origin", Text, nullable=False),
    Column("log_index", BigInteger, nullable=False),
    PrimaryKeyConstraint("list_uri", "at"),
)
