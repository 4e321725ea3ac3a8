"""Run by Alembic. The connection and its transaction are the caller's (broker.storage.migrations)."""

from alembic import context

from broker.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a table by copying it
    transaction_per_migration=False,
)
context.run_migrations()
