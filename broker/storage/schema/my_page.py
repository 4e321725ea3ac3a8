"""What residents see of their account, register and control, and who may stop it for them."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from broker.storage.schema.base import RowID, UTCDateTime, metadata

activities = Table(  # every use, as the resident sees it (R18); names of items alone, never their values
    "activities",
    metadata,
    Column("id", RowID, primary_key=True),
    Column("account", Text, ForeignKey("accounts.account"), nullable=False),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("how", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("items", Text, nullable=False),  # parted by spaces
    Column("session_id", Text),
    Column("grant_id", Text),
    Column("repeats", Text),  # what many uses of one day share one row by; NULL: a row of its own
    Column("times", Integer, nullable=False),
    Column("at", UTCDateTime, nullable=False),
    Column("last_at", UTCDateTime, nullable=False),
    Column("reported_at", UTCDateTime),
    UniqueConstraint("repeats"),
    Index(None, "account", "id"),  # the page of the newest, and the next one, without a sort
    Index(None, "last_at"),
    Index(
        "ix_activities_reported",
        "reported_at",
        sqlite_where=text("reported_at IS NOT NULL"),
        postgresql_where=text("reported_at IS NOT NULL"),
    ),
)

attributes = Table(  # what residents register once; sealed, its context names account and attribute
    "attributes",
    metadata,
    Column("account", Text, ForeignKey("accounts.account"), nullable=False),
    Column("name", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("changed_at", UTCDateTime, nullable=False),
    PrimaryKeyConstraint("account", "name"),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # keyed, of 69 random bits
    Column("account", Text, ForeignKey("accounts.account"), nullable=False),
    Column("made_at", UTCDateTime, nullable=False),
    Column("used_at", UTCDateTime),
    Index(None, "account"),
)

support_numbers = Table(  # by which the desk finds an account; it opens nothing
    "support_numbers",
    metadata,
    Column("account", Text, ForeignKey("accounts.account"), primary_key=True),
    Column("number", Text, nullable=False),
    UniqueConstraint("number"),
)

operators = Table(  # who may order and confirm what needs two people
    "operators",
    metadata,
    Column("name", Text, primary_key=True),
    Column("secret_digest", LargeBinary, nullable=False),
    Column("added_at", UTCDateTime, nullable=False),
    Column("removed_at", UTCDateTime),
)

account_orders = Table(  # one person orders, another confirms
    "account_orders",
    metadata,
    Column("order_id", Text, primary_key=True),
    Column("account", Text, ForeignKey("accounts.account"), nullable=False),
    Column("action", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("ordered_by", Text, ForeignKey("operators.name"), nullable=False),
    Column("ordered_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("confirmed_by", Text, ForeignKey("operators.name")),
    Column("confirmed_at", UTCDateTime),
    Index(None, "account"),
    Index(None, "expires_at"),
)
