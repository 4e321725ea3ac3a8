"""What a resident's signature certificate proved to a client.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("interactions", sa.Column("released", sa.Text(), nullable=True))
    op.add_column("card_transactions", sa.Column("application", sa.Text(), nullable=False, server_default=""))
    op.add_column("card_transactions", sa.Column("signed_sealed", sa.LargeBinary(), nullable=True))
    op.add_column("card_transactions", sa.Column("proof_sealed", sa.LargeBinary(), nullable=True))
    op.create_table(
        "identity_proofs",
        sa.Column("grant_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["grants.grant_id"], name=op.f("fk_identity_proofs_grant_id_grants"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("grant_id", name=op.f("pk_identity_proofs")),
    )


def downgrade() -> None:
    op.drop_table("identity_proofs")
    op.drop_column("card_transactions", "proof_sealed")
    op.drop_column("card_transactions", "signed_sealed")
    op.drop_column("card_transactions", "application")
    op.drop_column("interactions", "released")
