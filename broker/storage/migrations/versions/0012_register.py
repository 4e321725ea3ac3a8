"""The register of mandates: a tamper-evident log.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TRIGGERS = {
    "sqlite": tuple(
        f"CREATE TRIGGER {table}_{name} BEFORE {act} ON {table} "
        "BEGIN SELECT RAISE(ABORT, 'the register is append-only'); END"
        for table in ("register_entries", "register_nodes")
        for name, act in (("keeps_rows", "UPDATE"), ("loses_none", "DELETE"))
    ),
    "postgresql": (
        "CREATE OR REPLACE FUNCTION register_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the register is append-only'; END $$",
        *(
            f"CREATE TRIGGER {table}_keeps_rows BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION register_is_append_only()"
            for table in ("register_entries", "register_nodes")
        ),
    ),
}


def upgrade() -> None:
    op.create_table(
        "register_logs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("peaks", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_register_logs")),
        sa.UniqueConstraint("origin", name=op.f("uq_register_logs_origin")),
    )
    op.create_table(
        "register_entries",
        sa.Column("log", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["log"], ["register_logs.id"], name=op.f("fk_register_entries_log_register_logs")),
        sa.PrimaryKeyConstraint("log", "position", name=op.f("pk_register_entries")),
    )
    op.create_table(
        "register_nodes",
        sa.Column("log", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["log"], ["register_logs.id"], name=op.f("fk_register_nodes_log_register_logs")),
        sa.PrimaryKeyConstraint("log", "level", "position", name=op.f("pk_register_nodes")),
    )
    op.create_table(
        "register_checkpoints",
        sa.Column("log", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["log"], ["register_logs.id"], name=op.f("fk_register_checkpoints_log_register_logs")),
        sa.PrimaryKeyConstraint("log", "size", name=op.f("pk_register_checkpoints")),
    )
    for statement in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    for table in ("register_checkpoints", "register_nodes", "register_entries", "register_logs"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION register_is_append_only()")
