"""What an approval gave, and every one-time thing that hangs on it."""

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
)

from broker.storage.schema.base import UTCDateTime, metadata

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
    Column("session_ends_at", UTCDateTime),  # at a kiosk: no token of it lives longer
    Column("receipt_id", Text),  # no foreign key: a receipt may be purged before its grant
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
    Column("actor", Text, nullable=False, server_default=""),  # JSON (`act`), empty for none
    Column("grant_id", Text, ForeignKey("grants.grant_id", ondelete="CASCADE")),
    Column("jkt", Text),
    Column("x5t", Text),
    Column("issued_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("ended_at", UTCDateTime),
    Column("read_at", UTCDateTime),  # when a person's information was first read with it
    Index(None, "grant_id"),
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

assertions = Table(
    "assertions",
    metadata,
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("jti_digest", LargeBinary, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    PrimaryKeyConstraint("client_id", "jti_digest"),
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
