"""What can be shown later: the sealed receipt of every login, proof and signature."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, PrimaryKeyConstraint, Table, Text

from broker.storage.schema.base import UTCDateTime, metadata

receipts = Table(  # no account: what a client may show for years outlives what we know of the person
    "receipts",
    metadata,
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("receipt_id", LargeBinary, nullable=False),  # 16 octets (RFC 9562 §5.7): in the order of time
    Column("subject", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    PrimaryKeyConstraint("client_id", "receipt_id"),
    Index(None, "subject", "receipt_id"),
    Index(None, "expires_at"),
    sqlite_with_rowid=False,  # the rows stand in the primary key: each tree more is pages that every login writes
)
