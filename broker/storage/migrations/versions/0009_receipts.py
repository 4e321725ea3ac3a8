"""Sealed receipts of logins, proofs and signatures.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "receipts",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("receipt_id", sa.LargeBinary(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["client_id"], ["clients.client_id"], name=op.f("fk_receipts_client_id_clients")),
        sa.PrimaryKeyConstraint("client_id", "receipt_id", name=op.f("pk_receipts")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_receipts_subject_receipt_id"), "receipts", ["subject", "receipt_id"], unique=False)
    op.create_index(op.f("ix_receipts_expires_at"), "receipts", ["expires_at"], unique=False)
    op.add_column("grants", sa.Column("receipt_id", sa.Text(), nullable=True))
    op.add_column("card_transactions", sa.Column("evidence", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("card_transactions", "evidence")
    op.drop_column("grants", "receipt_id")
    op.drop_table("receipts")
