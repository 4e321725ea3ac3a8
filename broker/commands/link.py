"""`broker link`."""

from __future__ import annotations

import json

import click

from broker.accounts.link import LinkAlarm
from broker.commands.exits import answering, fail
from broker.commands.house import configured
from broker.flows import link_reconciliation, links
from broker.ids import LinkID


@click.group()
def link() -> None:
    """By which numbers services know people (官民ID連携), and what speaks against it."""


@link.command("alarms")
@click.option("--all", "closed", is_flag=True, help="Those that somebody has dealt with too.")
@click.option("--json", "as_json", is_flag=True)
@answering
def link_alarms(closed: bool, as_json: bool) -> None:
    """Show what R6 found: one card with two numbers, two cards with one, two cards in one linking."""
    ports = configured()
    with ports.store.transaction() as tx:
        rows = [_row(alarm) for alarm in tx.links.alarms(closed=closed)]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        click.echo("\t".join("-" if value is None else str(value) for value in row.values()))


@link.command("confirm")
@click.argument("link_id")
@click.option("--operator", required=True, help="Who has looked; it stands in the audit record.")
@answering
def link_confirm(link_id: str, operator: str) -> None:
    """Let a held link take effect after its alarm was looked into; what is in its way ends."""
    links.confirm_by_operator(LinkID(link_id), operator=operator, ports=configured())
    click.echo("confirmed")


@link.command("refuse")
@click.argument("link_id")
@click.option("--operator", required=True, help="Who has looked; it stands in the audit record.")
@answering
def link_refuse(link_id: str, operator: str) -> None:
    """End a link, held or active, after its alarm was looked into, and close the alarm."""
    links.refuse_by_operator(LinkID(link_id), operator=operator, ports=configured())
    click.echo("refused")


@link.command("reconcile")
@click.option("--json", "as_json", is_flag=True)
@answering
def link_reconcile(as_json: bool) -> None:
    """Count all links and look for impossible ones; the timetable does it every night. Status 1 where there are any."""
    counts = link_reconciliation.reconcile(configured())
    if as_json:
        click.echo(json.dumps(dict(counts), sort_keys=True))
    else:
        for name, count in sorted(counts.items()):
            click.echo(f"{count}\t{name}")
    if found := link_reconciliation.impossible(counts):
        fail(f"{found} links are as none can be", 1)


def _row(alarm: LinkAlarm) -> dict[str, str | None]:
    return {
        "at": alarm.at.isoformat(timespec="seconds"),
        "kind": alarm.kind.value,
        "client_id": alarm.client_id,
        "link_id": alarm.link_id,
        "other": alarm.other,
        "closed_at": None if alarm.closed_at is None else alarm.closed_at.isoformat(timespec="seconds"),
        "closed_by": alarm.closed_by,
        "decision": alarm.decision,
    }
