"""Who may ask: clients, what lets them register, and the sectors they share."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
)

from broker.storage.schema.base import UTCDateTime, metadata

clients = Table(
    "clients",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("vetted", Boolean, nullable=False),
    Column("profile", Text, nullable=False),
    Column("sector", Text, nullable=False),
    Column("metadata", Text, nullable=False),  # JSON, as broker.oidc.registration writes it
    Column("secret_digest", LargeBinary),
    Column("rights", Text, nullable=False, server_default=""),  # of broker.oidc.client.Right, by spaces
    Column("registration_digest", LargeBinary),  # of the token that manages it (RFC 7592); None: the operator does
    Column("added_at", UTCDateTime, nullable=False),
    Column("changed_at", UTCDateTime, nullable=False),
    Column("removed_at", UTCDateTime),
)

initial_access_tokens = Table(  # RFC 7591 §3: who may register, and as what
    "initial_access_tokens",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("profile", Text, nullable=False),
    Column("vetted", Boolean, nullable=False),
    Column("uses_left", Integer, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Index(None, "expires_at"),
)

sectors = Table(  # which sector a sector_identifier_uri stands for, once approved (design 4.9)
    "sectors",
    metadata,
    Column("uri", Text, primary_key=True),
    Column("sector", Text, nullable=False),
    Column("approved_at", UTCDateTime, nullable=False),
    UniqueConstraint("sector"),
)
