"""A login on its way, by card or from elsewhere, and the session it leaves."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from broker.storage.schema.base import UTCDateTime, metadata

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
    Column("kiosk_id", Text),  # the terminal that everybody uses where it began
    UniqueConstraint("session_id"),
    Index(None, "account"),
    Index(None, "authenticated_at"),
    Index(  # the sessions of one kiosk, to be ended with it
        "ix_sessions_kiosk_id",
        "kiosk_id",
        sqlite_where=text("kiosk_id IS NOT NULL"),
        postgresql_where=text("kiosk_id IS NOT NULL"),
    ),
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
    Column("session_ends_at", UTCDateTime),  # at a kiosk
    Column("released", Text),  # what is let go, by spaces; NULL: not asked yet
    Column("handed_over", LargeBinary),  # the digest of what another device is to approve
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
    Column("evidence", Text),  # what the receipt will say of the answer: hashes, times and kinds
    Column("application", Text, nullable=False, server_default=""),  # what we wrote for the 署名用 key
    Column("signed_sealed", LargeBinary),
    Column("proof_sealed", LargeBinary),
    Column("frame_sealed", LargeBinary),  # of a link's first reading, for the second to name
    Column("unique_person", Boolean),
    Column("kiosk_id", Text),  # whose key signed the answer; before it, in whose browser the login stands
    Column("end_digest", LargeBinary),  # of the handle by which a kiosk ends what came of this; NULL: it was used
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

device_codes = Table(  # RFC 8628
    "device_codes",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("user_code_digest", LargeBinary, nullable=False),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("request", Text, nullable=False),
    Column("device", Text),  # what is told of it, and the number on its screen
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
