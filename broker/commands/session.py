"""`broker session`."""

from __future__ import annotations

import json

import click

from broker.commands.exits import answering, fail
from broker.commands.house import configured
from broker.flows.session import end_by_operator
from broker.ids import SessionID


@click.group()
def session() -> None:
    """Who is logged in, and which clients were told that somebody no longer is."""


@session.command("end")
@click.argument("session_id", metavar="SID")
@answering
def session_end(session_id: str) -> None:
    """End the session SID (`sid` of its ID tokens, `reference` of its audit rows); its client is told."""
    if not end_by_operator(SessionID(session_id), ports=configured()):
        fail("no such session is open", 1)
    click.echo("ended")


@session.command("undelivered")
@click.option("--json", "as_json", is_flag=True)
@answering
def session_undelivered(as_json: bool) -> None:
    """Show the clients that were not told of a logout: tried again (with the next try), or given up."""
    ports = configured()
    with ports.store.transaction() as tx:
        rows = [
            {
                "client_id": row.client_id,
                "sid": row.session_id,
                "attempts": row.attempts,
                "next_try": None if row.next_at is None else row.next_at.isoformat(timespec="seconds"),
                "error": row.last_error,
            }
            for row in tx.logout_deliveries.undelivered()
        ]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        click.echo("\t".join("-" if value is None else str(value) for value in row.values()))
