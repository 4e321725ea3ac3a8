"""Who is asked about: accounts, their certificates and their names at each service, and what they agreed to."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from broker.storage.schema.base import RowID, UTCDateTime, metadata

accounts = Table(
    "accounts",
    metadata,
    Column("account", Text, primary_key=True),
    Column("created_at", UTCDateTime, nullable=False),
    Column("stopped_at", UTCDateTime),
    Column("deleted_at", UTCDateTime),  # a tombstone: its certificates' keyed fingerprints bring the pseudonyms back
)

credentials = Table(
    "credentials",
    metadata,
    Column("credential_id", Text, primary_key=True),
    Column("account", Text, ForeignKey("accounts.account"), nullable=False),
    Column("issuer_key_hash", LargeBinary, nullable=False),
    Column("serial_fingerprint", LargeBinary, nullable=False),
    Column("serial_sealed", LargeBinary, nullable=False),
    Column("kind", Text, nullable=False),
    Column("not_after", UTCDateTime, nullable=False),
    Column("first_seen", UTCDateTime, nullable=False),
    Column("renews", Text),  # the credential_id this one follows (R19); written by a statement that reads it here
    UniqueConstraint("issuer_key_hash", "serial_fingerprint"),  # one certificate, one account
    Index(None, "account"),
    Index(None, "renews", unique=True),  # a certificate has one successor
    Index(None, "not_after"),
)

revoked_certificates = Table(  # apart from the accounts: it serves the validity check alone (R13)
    "revoked_certificates",
    metadata,
    Column("issuer_key_hash", LargeBinary, primary_key=True),
    Column("serial_fingerprint", LargeBinary, primary_key=True),
    Column("seen_at", UTCDateTime, nullable=False),
    Column("not_after", UTCDateTime, nullable=False),
    Column("reason", Text, nullable=False, server_default="unspecified"),
    Index(None, "not_after"),
)

registrations = Table(  # the names under which a platform operator tells of certificates (R13)
    "registrations",
    metadata,
    Column("address", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("issuer_key_hash", LargeBinary, nullable=False),
    Column("serial_fingerprint", LargeBinary, nullable=False),
    Column("not_after", UTCDateTime, nullable=False),
    UniqueConstraint("address", "issuer_key_hash", "serial_fingerprint"),
    Index(None, "not_after"),
)

notice_marks = Table(
    "notice_marks",
    metadata,
    Column("address", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

subjects = Table(
    "subjects",
    metadata,
    Column("account", Text, ForeignKey("accounts.account"), nullable=False),
    Column("sector", Text, nullable=False),
    Column("subject", Text, nullable=False),
    PrimaryKeyConstraint("account", "sector"),
    UniqueConstraint("subject"),  # never two people, never two sectors (R14)
)

consents = Table(  # in force, one row for each account and client; what came before stands in consent_history
    "consents",
    metadata,
    Column("account", Text, ForeignKey("accounts.account"), nullable=False),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("scope", Text, nullable=False),
    Column("declined", Text, nullable=False, server_default=""),  # optional items that were left out
    Column("terms", Text, nullable=False, server_default=""),  # names what was shown
    Column("granted_at", UTCDateTime, nullable=False),
    Column("withdrawn_at", UTCDateTime),
    PrimaryKeyConstraint("account", "client_id"),
)

consent_history = Table(
    "consent_history",
    metadata,
    Column("id", RowID, primary_key=True),
    Column("account", Text, ForeignKey("accounts.account"), nullable=False),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("event", Text, nullable=False, server_default="given"),
    Column("scope", Text, nullable=False),
    Column("declined", Text, nullable=False, server_default=""),
    Column("uses", Text, nullable=False, server_default=""),  # JSON: the purposes and terms of keeping that were shown
    Column("granted_at", UTCDateTime, nullable=False),  # when it happened
    Index(None, "account", "client_id"),
)
