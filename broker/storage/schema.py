"""One schema for SQLite and PostgreSQL. Every promise of flows.ports that a constraint can carry, one carries.

Times are UTC and aware in Python on both engines; digests are bytes. `audit` takes rows and never gives
one back: two triggers refuse UPDATE and DELETE (R16).
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    event,
)
from sqlalchemy.types import TypeDecorator


class UTCDateTime(TypeDecorator[datetime]):
    """An instant. A naive datetime is refused on the way in and never comes out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """SQLite keeps UTC wall time as fixed-width text, so that its order is the order of instants."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime names no instant")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware again; PostgreSQL answers in the session's zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_RowID = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER PRIMARY KEY counts by itself in SQLite

clients = Table(
    "clients",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("vetted", Boolean, nullable=False),
    Column("profile", Text, nullable=False),
    Column("sector", Text, nullable=False),
    Column("metadata", Text, nullable=False),  # JSON, as broker.oidc.registration writes it
    Column("secret_digest", LargeBinary),
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

accounts = Table(
    "accounts",
    metadata,
    Column("account", Text, primary_key=True),
    Column("created_at", UTCDateTime, nullable=False),
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
    Column("granted_at", UTCDateTime, nullable=False),
    Column("withdrawn_at", UTCDateTime),
    PrimaryKeyConstraint("account", "client_id"),
)

consent_history = Table(
    "consent_history",
    metadata,
    Column("id", _RowID, primary_key=True),
    Column("account", Text, ForeignKey("accounts.account"), nullable=False),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("scope", Text, nullable=False),
    Column("granted_at", UTCDateTime, nullable=False),
    Index(None, "account", "client_id"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("session_id", Text, nullable=False),
    Column("account", Text, ForeignKey("accounts.account"), nullable=False),
    Column("credential", Text, ForeignKey("credentials.credential_id"), nullable=False),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("subject", Text, nullable=False),
    Column("authenticated_at", UTCDateTime, nullable=False),
    Column("last_used_at", UTCDateTime, nullable=False),
    Column("superseded_at", UTCDateTime),
    Column("ended_at", UTCDateTime),
    UniqueConstraint("session_id"),
    Index(None, "authenticated_at"),
)

interactions = Table(
    "interactions",
    metadata,
    Column("interaction_id", Text, primary_key=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("request", Text, nullable=False),
    Column("browser_digest", LargeBinary, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("finished_at", UTCDateTime),
    Column("account", Text, ForeignKey("accounts.account")),
    Column("credential", Text, ForeignKey("credentials.credential_id")),
    Column("subject", Text),
    Column("auth_time", UTCDateTime),
    Column("acr", Text),
    Column("amr", Text),
    Column("session_digest", LargeBinary),
    Column("session_id", Text),
    Index(None, "expires_at"),
)

card_transactions = Table(
    "card_transactions",
    metadata,
    Column("transaction_id", Text, primary_key=True),
    Column(
        "interaction_id",
        Text,
        ForeignKey("interactions.interaction_id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("tag", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("request_key_thumbprint", Text, nullable=False),
    Column("answer_key", LargeBinary, nullable=False),
    Column("issued_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("issuer_key_hash", LargeBinary),
    Column("serial_fingerprint", LargeBinary),
    Column("serial_sealed", LargeBinary),
    Column("certificate_sealed", LargeBinary),  # where the client asks for offline_access
    Column("kind", Text),
    Column("not_after", UTCDateTime),
    Column("answered_at", UTCDateTime),
    Column("pin_entry", Text),
    Column("reader_kind", Text),
    Column("revocation_source", Text),
    Column("revocation_this_update", UTCDateTime),
    Column("return_digest", LargeBinary),
    Column("released_at", UTCDateTime),
    Column("predecessor_issuer_key_hash", LargeBinary),
    Column("predecessor_fingerprint", LargeBinary),
    Index(None, "interaction_id"),
)

pushed_requests = Table(  # RFC 9126; looked at while its login lasts, used up when that completes
    "pushed_requests",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("parameters", Text, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("used_at", UTCDateTime),
    Index(None, "expires_at"),
)

grants = Table(  # what one approval gave to one client; codes and tokens hang on it and end with it
    "grants",
    metadata,
    Column("grant_id", Text, primary_key=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("account", Text, ForeignKey("accounts.account"), nullable=False),
    Column("credential", Text, ForeignKey("credentials.credential_id"), nullable=False),
    Column("subject", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("claims", Text, nullable=False),  # JSON, empty for none
    Column("authorization_details", Text, nullable=False),  # JSON, empty for none
    Column("resources", Text, nullable=False),  # parted by spaces
    Column("nonce", Text),
    Column("auth_time", UTCDateTime, nullable=False),
    Column("acr", Text),
    Column("amr", Text, nullable=False),
    Column("session_digest", LargeBinary),  # no foreign key: a grant with offline_access outlives its session
    Column("session_id", Text),
    Column("created_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("ended_at", UTCDateTime),
    Index(None, "account", "client_id"),
    Index(None, "session_digest"),
    Index(None, "expires_at"),
)

codes = Table(
    "codes",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("grant_id", Text, ForeignKey("grants.grant_id", ondelete="CASCADE"), nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("code_challenge", Text, nullable=False),
    Column("jkt", Text),  # dpop_jkt (RFC 9449 §10)
    Column("expires_at", UTCDateTime, nullable=False),
    Column("used_at", UTCDateTime),
    Index(None, "grant_id"),
    Index(None, "expires_at"),
)

grant_certificates = Table(  # what the certificate's state is judged by at each refresh; gone when the grant ends
    "grant_certificates",
    metadata,
    Column("grant_id", Text, ForeignKey("grants.grant_id", ondelete="CASCADE"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("grant_id", Text, ForeignKey("grants.grant_id", ondelete="CASCADE"), nullable=False),
    Column("jkt", Text),
    Column("x5t", Text),
    Column("issued_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("used_at", UTCDateTime),  # set where tokens rotate (public clients); a second use ends the grant
    Index(None, "grant_id"),
    Index(None, "expires_at"),
)

access_tokens = Table(
    "access_tokens",
    metadata,
    Column("jti", Text, primary_key=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("account", Text, ForeignKey("accounts.account")),  # NULL: the client's own (client_credentials)
    Column("subject", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("audience", Text, nullable=False),  # parted by spaces
    Column("authorization_details", Text, nullable=False),  # JSON, empty for none
    Column("grant_id", Text, ForeignKey("grants.grant_id", ondelete="CASCADE")),
    Column("jkt", Text),
    Column("x5t", Text),
    Column("issued_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("ended_at", UTCDateTime),
    Index(None, "grant_id"),
    Index(None, "expires_at"),
)

device_codes = Table(  # RFC 8628
    "device_codes",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("user_code_digest", LargeBinary, nullable=False),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("request", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("grant_id", Text, ForeignKey("grants.grant_id", ondelete="CASCADE")),
    Column("interval", Integer, nullable=False),
    Column("polled_at", UTCDateTime),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("used_at", UTCDateTime),
    UniqueConstraint("user_code_digest"),
    Index(None, "expires_at"),
)

backchannel_requests = Table(  # CIBA Core
    "backchannel_requests",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # of auth_req_id
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("account", Text, ForeignKey("accounts.account")),  # NULL: nobody known here; it runs out unanswered
    Column("request", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("grant_id", Text, ForeignKey("grants.grant_id", ondelete="CASCADE")),
    Column("notification_sealed", LargeBinary),
    Column("notification_tries", Integer, nullable=False),
    Column("interval", Integer, nullable=False),
    Column("polled_at", UTCDateTime),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("used_at", UTCDateTime),
    Index(None, "account"),
    Index(None, "expires_at"),
)

logout_deliveries = Table(  # OIDC Back-Channel Logout §2.5: retried until given up, and shown
    "logout_deliveries",
    metadata,
    Column("delivery_id", Text, primary_key=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("subject", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", UTCDateTime),  # NULL: delivered, or given up
    Column("expires_at", UTCDateTime, nullable=False),
    Column("delivered_at", UTCDateTime),
    Column("last_error", Text),
    Index(None, "next_at"),
    Index(None, "expires_at"),
)

proofs = Table(  # `jti` of DPoP proofs (RFC 9449 §11.1)
    "proofs",
    metadata,
    Column("jkt", Text, nullable=False),
    Column("jti_digest", LargeBinary, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    PrimaryKeyConstraint("jkt", "jti_digest"),
    Index(None, "expires_at"),
)

attempts = Table(  # rate limits that hold across workers: how often something was tried in the window that began then
    "attempts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("window_began_at", UTCDateTime, nullable=False),
    Column("count", Integer, nullable=False),
    Index(None, "window_began_at"),
)

assertions = Table(
    "assertions",
    metadata,
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("jti_digest", LargeBinary, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    PrimaryKeyConstraint("client_id", "jti_digest"),
    Index(None, "expires_at"),
)

audit = Table(  # no foreign keys: the record outlives what it speaks of, and a refusal may name what never was
    "audit",
    metadata,
    Column("id", _RowID, primary_key=True),
    Column("at", UTCDateTime, nullable=False),
    Column("event", Text, nullable=False),
    Column("client_id", Text),
    Column("account", Text),
    Column("reference", Text),
    Column("detail", Text, nullable=False),
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
