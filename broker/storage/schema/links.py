"""By which number of its own a service knows somebody (官民ID連携): what was asked, what is bound, what R6 found."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from broker.storage.schema.base import UTCDateTime, metadata

_ACTIVE = text("state = 'active'")
_ACTIVE_OWN = text("state = 'active' AND source IS NULL")

link_requests = Table(
    "link_requests",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # of the handle that the browser brings
    Column("link_id", Text, nullable=False, unique=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("subject", Text),
    Column("source", Text, ForeignKey("clients.client_id")),
    Column("value_sealed", LargeBinary, nullable=False),
    Column("value_fingerprint", LargeBinary, nullable=False),
    Column("replaces", LargeBinary, nullable=False),
    Column("action", Text, nullable=False),  # RFC 8785 JSON: a commitment and the masked number, never the number
    Column("expires_at", UTCDateTime, nullable=False),
    Column("account", Text, ForeignKey("accounts.account")),
    Column("issuer_key_hash", LargeBinary),
    Column("serial_fingerprint", LargeBinary),
    Column("start_transaction", Text),
    Column("frame_sealed", LargeBinary),
    Column("refusals", Integer, nullable=False),
    Column("used_at", UTCDateTime),
    Index(None, "expires_at"),
)

links = Table(
    "links",
    metadata,
    Column("link_id", Text, primary_key=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("account", Text, ForeignKey("accounts.account"), nullable=False),
    Column("source", Text, ForeignKey("clients.client_id")),  # whose ID is read; NULL: the client's own
    Column("value_sealed", LargeBinary, nullable=False),  # empty: read from elsewhere, or the account was deleted
    Column("value_fingerprint", LargeBinary, nullable=False),  # keyed: one person, one ticket, after deletion too
    Column("state", Text, nullable=False),
    Column("unique_person", Boolean, nullable=False),
    Column("committed_at", UTCDateTime, nullable=False),
    Column("active_at", UTCDateTime),
    Column("ended_at", UTCDateTime),
    Column("ended_because", Text),
    Column("start_transaction", Text, nullable=False),
    Column("commit_transaction", Text, nullable=False),
    Index(None, "account"),
    Index(None, "client_id", "value_fingerprint"),
    Index(None, "state", "committed_at"),
    # R6, whoever is first: one card has one number at a client, and one number one card.
    Index("uq_links_person", "client_id", "account", unique=True, sqlite_where=_ACTIVE, postgresql_where=_ACTIVE),
    Index(
        "uq_links_number",
        "client_id",
        "value_fingerprint",
        unique=True,
        sqlite_where=_ACTIVE_OWN,
        postgresql_where=_ACTIVE_OWN,
    ),
)

link_alarms = Table(
    "link_alarms",
    metadata,
    Column("alarm_id", Text, primary_key=True),
    Column("at", UTCDateTime, nullable=False),
    Column("kind", Text, nullable=False),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("link_id", Text, nullable=False),  # no foreign key: what was refused never became a link
    Column("other", Text),
    Column("closed_at", UTCDateTime),
    Column("closed_by", Text),
    Column("decision", Text),
    Index(None, "link_id"),
    Index(None, "closed_at", "at"),
)

link_counts = Table(  # R9: what went wrong and was tried again is counted, by day
    "link_counts",
    metadata,
    Column("day", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("times", Integer, nullable=False),
    PrimaryKeyConstraint("day", "name"),
)
