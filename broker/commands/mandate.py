"""`broker mandate`: what two operators must see before a corporation's power of attorney is issued, and what two of
them may end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from broker.commands.account import operator_secret
from broker.commands.exits import answering
from broker.commands.house import configured
from broker.delegation.content import Content, principal_of
from broker.delegation.entity import read as read_entities
from broker.flows import mandate_orders
from broker.flows.mandate_issue import JUDGES, judge_extract, to_judge
from broker.flows.mandate_orders import Action
from broker.ids import MandateNumber

MAX_EXTRACT: Final = 16 * 1024 * 1024
"""Octets of a registry extract, as it was scanned or received."""

_SAYS: Final = {
    Action.REVOKE: "Order that an operator ends for good",
    Action.BLOCK: "Order that nobody may use or resume",
    Action.UNBLOCK: "Order that the principal's card may resume",
}


@click.group()
def mandate() -> None:
    """Powers of attorney that wait for people, or are ended by them."""


@mandate.command("waiting")
@click.option("--json", "as_json", is_flag=True)
@answering
def mandate_waiting(*, as_json: bool) -> None:
    """Show what has to be compared with a registry extract (登記事項証明書), and by how many it was."""
    for number, grant, judged in to_judge(ports=configured()):
        told = {"number": number, "judged_by": judged, **_to_compare(grant)}
        click.echo(json.dumps(told, ensure_ascii=False) if as_json else _lines(told))


@mandate.command("entities")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True)
@answering
def mandate_entities(file: Path | None, *, as_json: bool) -> None:
    """Show the procuring entities that powers may name: those of FILE, to check it, or those in use."""
    known = configured().policy.procuring_entities if file is None else read_entities(file.read_bytes())
    for each in known.values():
        told = {"code": each.code, "name": each.name, "name_en": each.name_en}
        click.echo(
            json.dumps(told, ensure_ascii=False) if as_json else f"{each.code}  {each.name}  {each.name_en}".rstrip()
        )
    if not known:
        click.echo("none are listed: any code will do", err=True)


@mandate.command("extract")
@click.argument("number")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--operator", required=True, help="Who has compared the two; another does the same with the same file.")
@answering
def mandate_extract(number: str, file: Path, operator: str) -> None:
    """Record that FILE, a registry extract, says the same as the power of attorney NUMBER."""
    if file.stat().st_size > MAX_EXTRACT:
        raise click.UsageError(f"at most {MAX_EXTRACT} octets")
    ports = configured()
    found = {waiting: grant for waiting, grant, _ in to_judge(ports=ports)}
    if number in found:
        click.echo(_lines(_to_compare(found[MandateNumber(number)])), err=True)
        click.confirm("Does the extract say the same of all of these?", abort=True, err=True)
    judged = judge_extract(
        MandateNumber(number), file.read_bytes(), operator=operator, secret=operator_secret(operator), ports=ports
    )
    click.echo(f"{judged} of {JUDGES}")


def _ordering(action: Action) -> None:
    """A command that orders `action`; another operator confirms it."""

    @mandate.command(action.value, help=f"{_SAYS[action]} NUMBER; it happens once another operator confirms the order.")
    @click.argument("number")
    @click.option("--operator", required=True)
    @click.option("--reason", required=True, help="As the audit record keeps it; nobody else sees it.")
    @answering
    def command(number: str, operator: str, reason: str) -> None:
        placed = mandate_orders.order(
            MandateNumber(number),
            action,
            by=operator,
            secret=operator_secret(operator),
            reason=reason,
            ports=configured(),
        )
        click.echo(placed.order_id)
        click.echo(f"another operator confirms within {mandate_orders.LIFETIME}", err=True)


for _action in Action:
    _ordering(_action)


@mandate.command("confirm")
@click.argument("order_id", metavar="ORDER")
@click.option("--operator", required=True, help="Somebody other than who ordered it.")
@answering
def mandate_confirm(order_id: str, operator: str) -> None:
    """Do what another operator ordered, at once."""
    done = mandate_orders.confirm(order_id, by=operator, secret=operator_secret(operator), ports=configured())
    click.echo(f"{done.action} {done.number} done")


@mandate.command("orders")
@click.option("--json", "as_json", is_flag=True)
@answering
def mandate_waiting_orders(*, as_json: bool) -> None:
    """Show the orders that wait for another operator."""
    ports = configured()
    with ports.store.transaction() as tx:
        found = tx.mandates.orders(now=ports.clock())
    for one in found:
        told = {
            "order": one.order_id,
            "action": one.action,
            "number": one.number,
            "ordered_by": one.ordered_by,
            "reason": one.reason,
            "until": one.expires_at.isoformat(timespec="seconds"),
        }
        click.echo(json.dumps(told, ensure_ascii=False) if as_json else _lines(told))


def _to_compare(content: Content) -> dict[str, str]:
    """What an extract shows of a principal."""
    principal = principal_of(content)
    shown = {
        "name": principal.name,
        "corporate_number": principal.corporate_number,
        "address": principal.address,
        "representative_title": principal.representative_title,
        "representative": principal.representative,
    }
    return {name: value for name, value in shown.items() if value}


def _lines(told: Mapping[str, object]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in told.items())
