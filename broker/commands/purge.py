"""`broker purge`."""

from __future__ import annotations

import json
import sys

import click

from broker.commands.exits import answering
from broker.commands.house import configured
from broker.flows.jobs import purge as run


@click.command()
@click.option("--json", "as_json", is_flag=True)
@answering
def purge(as_json: bool) -> None:
    """Delete what has run out now, and prove it: counts, and what is still overdue. Exit status 1 if anything is."""
    counts = run(configured())
    if as_json:
        click.echo(json.dumps(counts))
    else:
        for name, count in counts.items():
            click.echo(f"{name}\t{count}")
    if counts["overdue"]:
        sys.exit(1)
