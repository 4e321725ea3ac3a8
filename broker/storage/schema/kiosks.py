"""Terminals that everybody uses, as the operator enrolled them."""

from __future__ import annotations

from sqlalchemy import Column, Table, Text, UniqueConstraint

from broker.storage.schema.base import UTCDateTime, metadata

kiosks = Table(
    "kiosks",
    metadata,
    Column("kiosk_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("thumbprint", Text, nullable=False),
    Column("key", Text, nullable=False),  # public JWK
    Column("start_url", Text, nullable=False),
    Column("allows", Text, nullable=False),  # acts, by spaces
    Column("enrolled_at", UTCDateTime, nullable=False),
    Column("stopped_at", UTCDateTime),
    UniqueConstraint("thumbprint"),  # a stopped key is never enrolled again
)
