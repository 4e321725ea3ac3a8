"""What the 署名用 certificate proved of a resident to one client."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, LargeBinary, Table, Text

from broker.storage.schema.base import metadata

identity_proofs = Table(  # only what was released, sealed; gone when the grant ends
    "identity_proofs",
    metadata,
    Column("grant_id", Text, ForeignKey("grants.grant_id", ondelete="CASCADE"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
