"""Terminals that everybody uses, and the sessions that end with the card; what a doctor and a patient join in.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_AT_A_KIOSK = sa.text("kiosk_id IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "kiosks",
        sa.Column("kiosk_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("thumbprint", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("start_url", sa.Text(), nullable=False),
        sa.Column("allows", sa.Text(), nullable=False),
        sa.Column("enrolled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("kiosk_id", name=op.f("pk_kiosks")),
        sa.UniqueConstraint("thumbprint", name=op.f("uq_kiosks_thumbprint")),
    )
    op.add_column("sessions", sa.Column("kiosk_id", sa.Text(), nullable=True))
    op.create_index(
        "ix_sessions_kiosk_id", "sessions", ["kiosk_id"], sqlite_where=_AT_A_KIOSK, postgresql_where=_AT_A_KIOSK
    )
    op.add_column("interactions", sa.Column("session_ends_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("grants", sa.Column("session_ends_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("card_transactions", sa.Column("kiosk_id", sa.Text(), nullable=True))
    op.add_column("card_transactions", sa.Column("end_digest", sa.LargeBinary(), nullable=True))
    op.create_table(
        "joint_transactions",
        sa.Column("joint_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("order_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("professional_account", sa.Text(), nullable=True),
        sa.Column("professional_subject", sa.Text(), nullable=True),
        sa.Column("professional_grant", sa.Text(), nullable=True),
        sa.Column("licence_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("patient_subject", sa.Text(), nullable=True),
        sa.Column("patient_grant", sa.Text(), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.client_id"], name=op.f("fk_joint_transactions_client_id_clients")
        ),
        sa.PrimaryKeyConstraint("joint_id", name=op.f("pk_joint_transactions")),
    )
    for column in ("expires_at", "professional_grant", "patient_grant"):
        op.create_index(f"ix_joint_transactions_{column}", "joint_transactions", [column])


def downgrade() -> None:
    op.drop_table("joint_transactions")
    op.drop_column("card_transactions", "end_digest")
    op.drop_column("card_transactions", "kiosk_id")
    op.drop_column("grants", "session_ends_at")
    op.drop_column("interactions", "session_ends_at")
    op.drop_index("ix_sessions_kiosk_id", table_name="sessions")
    op.drop_column("sessions", "kiosk_id")
    op.drop_table("kiosks")
