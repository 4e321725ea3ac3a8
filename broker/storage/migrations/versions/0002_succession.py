"""Which certificate follows which, and until when a revoked one is remembered.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_LONGEST_LIFE = timedelta(days=6 * 366 + 1)
"""No certificate lives past the sixth birthday after its issue."""


def upgrade() -> None:
    op.add_column("credentials", sa.Column("renews", sa.Text(), nullable=True))
    op.create_index(op.f("ix_credentials_renews"), "credentials", ["renews"], unique=True)
    op.create_index(op.f("ix_credentials_not_after"), "credentials", ["not_after"], unique=False)
    op.add_column("card_transactions", sa.Column("predecessor_issuer_key_hash", sa.LargeBinary(), nullable=True))
    op.add_column("card_transactions", sa.Column("predecessor_fingerprint", sa.LargeBinary(), nullable=True))
    _remember_until()


def _remember_until() -> None:
    """The rows there are get the longest life; the table is made anew because SQLite adds no NOT NULL column."""
    before = sa.table(
        "revoked_certificates",
        sa.column("issuer_key_hash", sa.LargeBinary),
        sa.column("serial_fingerprint", sa.LargeBinary),
        sa.column("seen_at", sa.DateTime(timezone=True)),
    )
    rows = op.get_bind().execute(sa.select(before)).all()
    op.drop_table("revoked_certificates")
    after = op.create_table(
        "revoked_certificates",
        sa.Column("issuer_key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("serial_fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_after", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("issuer_key_hash", "serial_fingerprint", name=op.f("pk_revoked_certificates")),
    )
    op.create_index(op.f("ix_revoked_certificates_not_after"), "revoked_certificates", ["not_after"], unique=False)
    if rows:
        op.bulk_insert(after, [{**row._mapping, "not_after": row.seen_at + _LONGEST_LIFE} for row in rows])


def downgrade() -> None:
    op.drop_index(op.f("ix_revoked_certificates_not_after"), "revoked_certificates")
    op.drop_column("revoked_certificates", "not_after")
    op.drop_column("card_transactions", "predecessor_fingerprint")
    op.drop_column("card_transactions", "predecessor_issuer_key_hash")
    op.drop_index(op.f("ix_credentials_not_after"), "credentials")
    op.drop_index(op.f("ix_credentials_renews"), "credentials")
    op.drop_column("credentials", "renews")
