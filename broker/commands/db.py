"""`broker db`."""

from __future__ import annotations

import os

import click

from broker.commands.exits import answering
from broker.settings import read
from broker.storage.migrations import upgrade


@click.group()
def db() -> None:
    """The database schema."""


@db.command("upgrade")
@answering
def db_upgrade() -> None:
    """Create the schema, or bring it to this version's."""
    upgrade(read(os.environ).database_url)
    click.echo("schema is up to date")
