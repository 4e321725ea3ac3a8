"""`broker config`."""

from __future__ import annotations

import click

from broker.commands.exits import answering
from broker.commands.house import configured
from broker.settings import reference


@click.group()
def config() -> None:
    """The settings."""


@config.command("check")
@answering
def config_check() -> None:
    """Read every setting and open keys, anchors and database; say what is wrong."""
    configured()
    click.echo("settings are in order")


@config.command("reference")
def config_reference() -> None:
    """Print the settings as a table."""
    click.echo(reference(), nl=False)
