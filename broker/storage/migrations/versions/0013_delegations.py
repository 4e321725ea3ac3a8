"""Powers of attorney: their life, who signs, the evidence, what was answered, and the status lists.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("access_tokens", sa.Column("actor", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "mandates",
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("grant_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("begins", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("parent", sa.Text(), nullable=True),
        sa.Column("supersedes", sa.Text(), nullable=True),
        sa.Column("status_index", sa.Integer(), nullable=True),
        sa.Column("record_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("salt_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("document_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("log_origin", sa.Text(), nullable=True),
        sa.Column("log_index", sa.BigInteger(), nullable=True),
        sa.Column("resume_origin", sa.Text(), nullable=True),
        sa.Column("resume_index", sa.BigInteger(), nullable=True),
        sa.Column("principal_good_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("blocked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["parent"], ["mandates.number"], name=op.f("fk_mandates_parent_mandates")),
        sa.ForeignKeyConstraint(["supersedes"], ["mandates.number"], name=op.f("fk_mandates_supersedes_mandates")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_mandates")),
        sa.UniqueConstraint("status_index", name=op.f("uq_mandates_status_index")),
    )
    op.create_index(op.f("ix_mandates_parent"), "mandates", ["parent"], unique=False)
    op.create_index(op.f("ix_mandates_state_changed_at"), "mandates", ["state", "changed_at"], unique=False)
    op.create_index(op.f("ix_mandates_state_ends"), "mandates", ["state", "ends"], unique=False)
    op.create_table(
        "status_epochs",
        sa.Column("list_uri", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("log_origin", sa.Text(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("list_uri", "at", name=op.f("pk_status_epochs")),
    )
    op.create_table(
        "mandate_decisions",
        sa.Column("decision_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=True),
        sa.Column("allowed", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("holds_until", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.client_id"], name=op.f("fk_mandate_decisions_client_id_clients")
        ),
        sa.ForeignKeyConstraint(
            ["number"], ["mandates.number"], name=op.f("fk_mandate_decisions_number_mandates"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("decision_id", name=op.f("pk_mandate_decisions")),
    )
    op.create_index(op.f("ix_mandate_decisions_number_at"), "mandate_decisions", ["number", "at"], unique=False)
    op.create_table(
        "mandate_events",
        sa.Column("event_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("happening", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("salt_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("commit_hash", sa.LargeBinary(), nullable=False),
        sa.Column("log_origin", sa.Text(), nullable=True),
        sa.Column("log_index", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["number"], ["mandates.number"], name=op.f("fk_mandate_events_number_mandates"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_mandate_events")),
    )
    op.create_index(op.f("ix_mandate_events_log_index"), "mandate_events", ["log_index"], unique=False)
    op.create_index(op.f("ix_mandate_events_number"), "mandate_events", ["number"], unique=False)
    op.create_table(
        "mandate_evidence",
        sa.Column("evidence_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("shows", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["number"], ["mandates.number"], name=op.f("fk_mandate_evidence_number_mandates"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("evidence_id", name=op.f("pk_mandate_evidence")),
    )
    op.create_index(op.f("ix_mandate_evidence_number"), "mandate_evidence", ["number"], unique=False)
    op.create_table(
        "mandate_judges",
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["number"], ["mandates.number"], name=op.f("fk_mandate_judges_number_mandates"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", "operator", name=op.f("pk_mandate_judges")),
    )
    op.create_table(
        "protections",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], name=op.f("fk_protections_account_accounts")),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_protections")),
    )
    op.create_table(
        "mandate_notes",
        sa.Column("note_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("deed", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], name=op.f("fk_mandate_notes_account_accounts")),
        sa.ForeignKeyConstraint(
            ["number"], ["mandates.number"], name=op.f("fk_mandate_notes_number_mandates"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("note_id", name=op.f("pk_mandate_notes")),
    )
    op.create_index(op.f("ix_mandate_notes_account"), "mandate_notes", ["account"], unique=False)
    op.create_index(op.f("ix_mandate_notes_at"), "mandate_notes", ["at"], unique=False)
    op.create_table(
        "mandate_orders",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("ordered_by", sa.Text(), nullable=False),
        sa.Column("ordered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_by", sa.Text(), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["confirmed_by"], ["operators.name"], name=op.f("fk_mandate_orders_confirmed_by_operators")
        ),
        sa.ForeignKeyConstraint(
            ["number"], ["mandates.number"], name=op.f("fk_mandate_orders_number_mandates"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["ordered_by"], ["operators.name"], name=op.f("fk_mandate_orders_ordered_by_operators")
        ),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_mandate_orders")),
    )
    op.create_index(op.f("ix_mandate_orders_expires_at"), "mandate_orders", ["expires_at"], unique=False)
    op.create_index(op.f("ix_mandate_orders_number"), "mandate_orders", ["number"], unique=False)
    op.create_table(
        "mandate_parts",
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("part_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("invitation_digest", sa.LargeBinary(), nullable=True),
        sa.Column("invited_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], name=op.f("fk_mandate_parts_account_accounts")),
        sa.ForeignKeyConstraint(
            ["number"], ["mandates.number"], name=op.f("fk_mandate_parts_number_mandates"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", "part_id", name=op.f("pk_mandate_parts")),
        sa.UniqueConstraint("invitation_digest", name=op.f("uq_mandate_parts_invitation_digest")),
    )
    op.create_index(op.f("ix_mandate_parts_account"), "mandate_parts", ["account"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_mandate_parts_account"), table_name="mandate_parts")
    op.drop_table("mandate_parts")
    op.drop_index(op.f("ix_mandate_orders_number"), table_name="mandate_orders")
    op.drop_index(op.f("ix_mandate_orders_expires_at"), table_name="mandate_orders")
    op.drop_table("mandate_orders")
    op.drop_index(op.f("ix_mandate_notes_at"), table_name="mandate_notes")
    op.drop_index(op.f("ix_mandate_notes_account"), table_name="mandate_notes")
    op.drop_table("mandate_notes")
    op.drop_table("protections")
    op.drop_table("mandate_judges")
    op.drop_index(op.f("ix_mandate_evidence_number"), table_name="mandate_evidence")
    op.drop_table("mandate_evidence")
    op.drop_index(op.f("ix_mandate_events_number"), table_name="mandate_events")
    op.drop_index(op.f("ix_mandate_events_log_index"), table_name="mandate_events")
    op.drop_table("mandate_events")
    op.drop_index(op.f("ix_mandate_decisions_number_at"), table_name="mandate_decisions")
    op.drop_table("mandate_decisions")
    op.drop_table("status_epochs")
    op.drop_index(op.f("ix_mandates_state_ends"), table_name="mandates")
    op.drop_index(op.f("ix_mandates_state_changed_at"), table_name="mandates")
    op.drop_index(op.f("ix_mandates_parent"), table_name="mandates")
    op.drop_table("mandates")
    op.drop_column("access_tokens", "actor")
