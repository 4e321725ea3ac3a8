"""`broker keys`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import click

from broker.app import now
from broker.commands.exits import answering
from broker.keys.software import create, renew_statement
from broker.settings import read


@click.group()
def keys() -> None:
    """The broker's own keys."""


_root_options = (
    click.option(
        "--agent-root",
        type=click.Path(path_type=Path, dir_okay=False),
        required=True,
        help="The file of the agent-root key; keep it off this machine except for these commands.",
    ),
    click.option(
        "--agent-root-passphrase-file",
        type=click.File("r", encoding="utf-8"),
        required=True,
        help="Its own passphrase, not the broker's.",
    ),
)


def _with_root(command: Callable[..., None]) -> Callable[..., None]:
    for option in _root_options:
        command = option(command)
    return command


@keys.command("create")
@_with_root
@answering
def keys_create(agent_root: Path, agent_root_passphrase_file: TextIO) -> None:
    """Make every key, once; the folder and passphrase are those of the settings."""
    settings = read(os.environ)
    create(
        settings.key_directory,
        settings.key_passphrase,
        issuer=settings.issuer,
        now=now(),
        agent_root_out=agent_root,
        agent_root_passphrase=agent_root_passphrase_file.read(1024).rstrip("\n"),
    )
    click.echo(f"keys made in {settings.key_directory}; take {agent_root} off this machine now")


@keys.command("renew-statement")
@_with_root
@answering
def keys_renew_statement(agent_root: Path, agent_root_passphrase_file: TextIO) -> None:
    """Let the agent-root confirm the request keys for another 90 days; restart the broker to serve it."""
    settings = read(os.environ)
    sequence = renew_statement(
        settings.key_directory,
        agent_root=agent_root,
        agent_root_passphrase=agent_root_passphrase_file.read(1024).rstrip("\n"),
        now=now(),
    )
    click.echo(f"statement {sequence} made; restart the broker")
