"""What a doctor's card and a patient's join in (flows.joints)."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, Table, Text

from broker.storage.schema.base import UTCDateTime, metadata

joint_transactions = Table(
    "joint_transactions",
    metadata,
    Column("joint_id", Text, primary_key=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("state", Text, nullable=False),
    Column("order_sealed", LargeBinary, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("professional_account", Text),
    Column("professional_subject", Text),
    Column("professional_grant", Text),  # no foreign key: either may go first
    Column("licence_sealed", LargeBinary),
    Column("patient_subject", Text),
    Column("patient_grant", Text),
    Column("completed_at", UTCDateTime),
    Index(None, "expires_at"),
    Index(None, "professional_grant"),
    Index(None, "patient_grant"),
)
