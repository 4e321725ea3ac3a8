"""What residents see, register and control.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_REPORTED = sa.text("reported_at IS NOT NULL")


def _account() -> sa.Column[str]:
    return sa.Column("account", sa.Text(), nullable=False)


def _of_account(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["account"], ["accounts.account"], name=op.f(f"fk_{table}_account_accounts"))


def _instant(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.add_column("accounts", _instant("stopped_at", nullable=True))
    op.add_column("accounts", _instant("deleted_at", nullable=True))
    op.add_column("access_tokens", _instant("read_at", nullable=True))
    op.add_column("device_codes", sa.Column("device", sa.Text(), nullable=True))
    op.add_column("interactions", sa.Column("handed_over", sa.LargeBinary(), nullable=True))
    for table, names in (("consents", ("declined", "terms")), ("consent_history", ("declined", "uses"))):
        for name in names:
            op.add_column(table, sa.Column(name, sa.Text(), nullable=False, server_default=""))
    op.add_column("consent_history", sa.Column("event", sa.Text(), nullable=False, server_default="given"))
    op.create_index(op.f("ix_sessions_account"), "sessions", ["account"], unique=False)
    _activities()
    op.create_table(
        "attributes",
        _account(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        _instant("changed_at"),
        _of_account("attributes"),
        sa.PrimaryKeyConstraint("account", "name", name=op.f("pk_attributes")),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        _account(),
        _instant("made_at"),
        _instant("used_at", nullable=True),
        _of_account("recovery_codes"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_recovery_codes")),
    )
    op.create_index(op.f("ix_recovery_codes_account"), "recovery_codes", ["account"], unique=False)
    op.create_table(
        "support_numbers",
        _account(),
        sa.Column("number", sa.Text(), nullable=False),
        _of_account("support_numbers"),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_support_numbers")),
        sa.UniqueConstraint("number", name=op.f("uq_support_numbers_number")),
    )
    _two_people()


def _activities() -> None:
    op.create_table(
        "activities",
        sa.Column("id", _ROW_ID, nullable=False),
        _account(),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("client_id", "kind", "how", "result", "items")),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("session_id", "grant_id", "repeats")),
        sa.Column("times", sa.Integer(), nullable=False),
        _instant("at"),
        _instant("last_at"),
        _instant("reported_at", nullable=True),
        _of_account("activities"),
        sa.ForeignKeyConstraint(["client_id"], ["clients.client_id"], name=op.f("fk_activities_client_id_clients")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activities")),
        sa.UniqueConstraint("repeats", name=op.f("uq_activities_repeats")),
    )
    op.create_index(op.f("ix_activities_account_id"), "activities", ["account", "id"], unique=False)
    op.create_index(op.f("ix_activities_last_at"), "activities", ["last_at"], unique=False)
    op.create_index(
        "ix_activities_reported",
        "activities",
        ["reported_at"],
        unique=False,
        sqlite_where=_REPORTED,
        postgresql_where=_REPORTED,
    )


def _two_people() -> None:
    op.create_table(
        "operators",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_digest", sa.LargeBinary(), nullable=False),
        _instant("added_at"),
        _instant("removed_at", nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_operators")),
    )
    op.create_table(
        "account_orders",
        sa.Column("order_id", sa.Text(), nullable=False),
        _account(),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("action", "reason", "ordered_by")),
        _instant("ordered_at"),
        _instant("expires_at"),
        sa.Column("confirmed_by", sa.Text(), nullable=True),
        _instant("confirmed_at", nullable=True),
        _of_account("account_orders"),
        *(
            sa.ForeignKeyConstraint([name], ["operators.name"], name=op.f(f"fk_account_orders_{name}_operators"))
            for name in ("ordered_by", "confirmed_by")
        ),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_account_orders")),
    )
    op.create_index(op.f("ix_account_orders_account"), "account_orders", ["account"], unique=False)
    op.create_index(op.f("ix_account_orders_expires_at"), "account_orders", ["expires_at"], unique=False)


def downgrade() -> None:
    for table in ("account_orders", "operators", "support_numbers", "recovery_codes", "attributes", "activities"):
        op.drop_table(table)
    op.drop_index(op.f("ix_sessions_account"), "sessions")
    for table, names in (("consent_history", ("event", "declined", "uses")), ("consents", ("declined", "terms"))):
        for name in names:
            op.drop_column(table, name)
    op.drop_column("interactions", "handed_over")
    op.drop_column("device_codes", "device")
    op.drop_column("access_tokens", "read_at")
    op.drop_column("accounts", "deleted_at")
    op.drop_column("accounts", "stopped_at")
