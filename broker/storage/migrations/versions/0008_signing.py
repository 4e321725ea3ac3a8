"""Documents that a client asks a resident to sign.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("clients", sa.Column("rights", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "sign_transactions",
        sa.Column("sign_transaction_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("signed_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("grant_id", sa.Text(), nullable=True),
        sa.Column("interaction_id", sa.Text(), nullable=True),
        sa.Column("browser_digest", sa.LargeBinary(), nullable=True),
        sa.Column("fetched_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.client_id"], name=op.f("fk_sign_transactions_client_id_clients")
        ),
        sa.PrimaryKeyConstraint("sign_transaction_id", name=op.f("pk_sign_transactions")),
    )
    op.create_index(op.f("ix_sign_transactions_expires_at"), "sign_transactions", ["expires_at"], unique=False)
    op.create_index(op.f("ix_sign_transactions_interaction_id"), "sign_transactions", ["interaction_id"], unique=False)
    op.create_table(
        "sign_documents",
        sa.Column("sign_transaction_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("described_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("content_sealed", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["sign_transaction_id"],
            ["sign_transactions.sign_transaction_id"],
            name=op.f("fk_sign_documents_sign_transaction_id_sign_transactions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sign_transaction_id", "position", name=op.f("pk_sign_documents")),
    )
    op.create_table(
        "raw_digests",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_raw_digests")),
    )


def downgrade() -> None:
    op.drop_table("raw_digests")
    op.drop_table("sign_documents")
    op.drop_table("sign_transactions")
    op.drop_column("clients", "rights")
