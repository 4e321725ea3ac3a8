"""Terminals that everybody uses, and the sessions that end with the card.

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


def downgrade() -> None:
    op.drop_column("card_transactions", "end_digest")
    op.drop_column("card_transactions", "kiosk_id")
    op.drop_column("grants", "session_ends_at")
    op.drop_column("interactions", "session_ends_at")
    op.drop_index("ix_sessions_kiosk_id", table_name="sessions")
    op.drop_column("sessions", "kiosk_id")
    op.drop_table("kiosks")
