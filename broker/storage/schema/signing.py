"""Documents that a client asks a resident to sign, and what came of it."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from broker.storage.schema.base import UTCDateTime, metadata

sign_transactions = Table(
    "sign_transactions",
    metadata,
    Column("sign_transaction_id", Text, primary_key=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("signed_at", UTCDateTime),
    Column("signed_sealed", LargeBinary),  # what the card made, and the verdict
    Column("grant_id", Text),  # of the login in which it was signed; no foreign key: either may go first
    Column("interaction_id", Text),
    Column("browser_digest", LargeBinary),  # the resident's own copies go to that browser
    Column("fetched_by", Text),  # the `jti` of the one access token that may have the result
    Index(None, "expires_at"),
    Index(None, "interaction_id"),
)

sign_documents = Table(
    "sign_documents",
    metadata,
    Column(
        "sign_transaction_id",
        Text,
        ForeignKey("sign_transactions.sign_transaction_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("position", Integer, primary_key=True),
    Column("described_sealed", LargeBinary, nullable=False),
    Column("content_sealed", LargeBinary),  # NULL where only a digest is known
)

raw_digests = Table(  # sent to a card as they were: none of them may ever count as a frame or as signed attributes
    "raw_digests",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("sent_at", UTCDateTime, nullable=False),
)
