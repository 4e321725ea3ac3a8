"""`broker jobs`."""

from __future__ import annotations

import json
import threading

import click

from broker.commands.exits import answering
from broker.commands.house import configured
from broker.jobs import run_forever, run_once


@click.group()
def jobs() -> None:
    """Work that nobody waits for."""


@jobs.command("run")
@click.option("--once", is_flag=True, help="Run what is due and stop (for a timer).")
@answering
def jobs_run(once: bool) -> None:
    """Fetch revocation lists and delete what has run out, whenever due."""
    ports = configured()
    if once:
        click.echo(json.dumps(run_once(ports)))
        return
    run_forever(ports, threading.Event())
