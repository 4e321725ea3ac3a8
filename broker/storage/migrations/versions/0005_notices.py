"""Why a certificate was revoked, and an operator's notices of it.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("revoked_certificates", sa.Column("reason", sa.Text(), nullable=False, server_default="unspecified"))
    op.create_table(
        "registrations",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("issuer_key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("serial_fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("not_after", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("address", "name", name=op.f("pk_registrations")),
        sa.UniqueConstraint(
            "address",
            "issuer_key_hash",
            "serial_fingerprint",
            name=op.f("uq_registrations_address_issuer_key_hash_serial_fingerprint"),
        ),
    )
    op.create_index(op.f("ix_registrations_not_after"), "registrations", ["not_after"], unique=False)
    op.create_table(
        "notice_marks",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_notice_marks")),
    )


def downgrade() -> None:
    op.drop_table("notice_marks")
    op.drop_table("registrations")
    op.drop_column("revoked_certificates", "reason")
