"""Private-sector identifiers bound to a pseudonym.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_ACTIVE = sa.text("state = 'active'")
_ACTIVE_OWN = sa.text("state = 'active' AND source IS NULL")


def upgrade() -> None:
    op.add_column("card_transactions", sa.Column("frame_sealed", sa.LargeBinary(), nullable=True))
    op.add_column("card_transactions", sa.Column("unique_person", sa.Boolean(), nullable=True))
    op.create_table(
        "link_counts",
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", "name", name=op.f("pk_link_counts")),
    )
    op.create_table(
        "link_alarms",
        sa.Column("alarm_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("link_id", sa.Text(), nullable=False),
        sa.Column("other", sa.Text(), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.Text(), nullable=True),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["clients.client_id"], name=op.f("fk_link_alarms_client_id_clients")),
        sa.PrimaryKeyConstraint("alarm_id", name=op.f("pk_link_alarms")),
    )
    op.create_index(op.f("ix_link_alarms_closed_at_at"), "link_alarms", ["closed_at", "at"], unique=False)
    op.create_index(op.f("ix_link_alarms_link_id"), "link_alarms", ["link_id"], unique=False)
    op.create_table(
        "link_requests",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("link_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("value_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("value_fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("replaces", sa.LargeBinary(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("account", sa.Text(), nullable=True),
        sa.Column("issuer_key_hash", sa.LargeBinary(), nullable=True),
        sa.Column("serial_fingerprint", sa.LargeBinary(), nullable=True),
        sa.Column("start_transaction", sa.Text(), nullable=True),
        sa.Column("frame_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("refusals", sa.Integer(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], name=op.f("fk_link_requests_account_accounts")),
        sa.ForeignKeyConstraint(["client_id"], ["clients.client_id"], name=op.f("fk_link_requests_client_id_clients")),
        sa.ForeignKeyConstraint(["source"], ["clients.client_id"], name=op.f("fk_link_requests_source_clients")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_link_requests")),
        sa.UniqueConstraint("link_id", name=op.f("uq_link_requests_link_id")),
    )
    op.create_index(op.f("ix_link_requests_expires_at"), "link_requests", ["expires_at"], unique=False)
    op.create_table(
        "links",
        sa.Column("link_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("value_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("value_fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("unique_person", sa.Boolean(), nullable=False),
        sa.Column("committed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("active_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_because", sa.Text(), nullable=True),
        sa.Column("start_transaction", sa.Text(), nullable=False),
        sa.Column("commit_transaction", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.account"], name=op.f("fk_links_account_accounts")),
        sa.ForeignKeyConstraint(["client_id"], ["clients.client_id"], name=op.f("fk_links_client_id_clients")),
        sa.ForeignKeyConstraint(["source"], ["clients.client_id"], name=op.f("fk_links_source_clients")),
        sa.PrimaryKeyConstraint("link_id", name=op.f("pk_links")),
    )
    op.create_index(op.f("ix_links_account"), "links", ["account"], unique=False)
    op.create_index(
        op.f("ix_links_client_id_value_fingerprint"), "links", ["client_id", "value_fingerprint"], unique=False
    )
    op.create_index(op.f("ix_links_state_committed_at"), "links", ["state", "committed_at"], unique=False)
    op.create_index(
        "uq_links_number",
        "links",
        ["client_id", "value_fingerprint"],
        unique=True,
        sqlite_where=_ACTIVE_OWN,
        postgresql_where=_ACTIVE_OWN,
    )
    op.create_index(
        "uq_links_person",
        "links",
        ["client_id", "account"],
        unique=True,
        sqlite_where=_ACTIVE,
        postgresql_where=_ACTIVE,
    )


def downgrade() -> None:
    op.drop_table("links")
    op.drop_table("link_requests")
    op.drop_table("link_alarms")
    op.drop_table("link_counts")
    op.drop_column("card_transactions", "unique_person")
    op.drop_column("card_transactions", "frame_sealed")
