"""`broker account` and `broker operator`: the desk stops an account without the card, by two people."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import click

from broker.commands.exits import answering, fail
from broker.commands.house import configured
from broker.flows import account_orders
from broker.flows.account_orders import Action
from broker.flows.ports import Ports
from broker.ids import AccountID, ClientID, SessionID, Subject

F = TypeVar("F", bound=Any)


@click.group()
def account() -> None:
    """A resident's account, named by support number, by a service's pseudonym, or by the sid of a login."""


def _named(command: F) -> F:
    """The three ways to name an account; never a name, birth date or address (R7)."""
    for option in (
        click.option("--number", help="The support number on the person's page or recovery sheet."),
        click.option("--client", "client_id", help="With --subject: the service that knows the person."),
        click.option("--subject", help="The pseudonym (sub) that --client knows its customer by."),
        click.option("--sid", help="A login session (sid of its ID token)."),
    ):
        command = option(command)
    return command


def _find(ports: Ports, number: str | None, client_id: str | None, subject: str | None, sid: str | None) -> AccountID:
    if sum((number is not None, sid is not None, client_id is not None and subject is not None)) != 1:
        raise click.UsageError("one of --number, --sid, or --client with --subject")
    return account_orders.find(
        number=number,
        client_id=None if client_id is None else ClientID(client_id),
        subject=None if subject is None else Subject(subject),
        session_id=None if sid is None else SessionID(sid),
        ports=ports,
    )


def operator_secret(name: str) -> str:
    """Typed and not shown; never an argument or a setting."""
    return str(click.prompt(f"Secret of {name}", hide_input=True, err=True))


@account.command("show")
@_named
@answering
def account_show(number: str | None, client_id: str | None, subject: str | None, sid: str | None) -> None:
    """Say whether the account is open, stopped or deleted. Nothing about the person is shown."""
    ports = configured()
    click.echo(account_orders.state(_find(ports, number, client_id, subject, sid), ports=ports).value)


def _order(action: Action, named: dict[str, str | None], operator: str, reason: str) -> None:
    ports = configured()
    found = _find(ports, named["number"], named["client_id"], named["subject"], named["sid"])
    placed = account_orders.order(
        found, action, by=operator, secret=operator_secret(operator), reason=reason, ports=ports
    )
    click.echo(placed.order_id)
    click.echo(f"another operator confirms within {account_orders.ORDER_LIFETIME}", err=True)


@account.command("stop")
@_named
@click.option("--operator", required=True)
@click.option("--reason", required=True, help="As the audit record keeps it, e.g. 'card lost, caller confirmed'.")
@answering
def account_stop(operator: str, reason: str, **named: str | None) -> None:
    """Order that the account is stopped: no login, every session and grant ends, its services are told."""
    _order(Action.STOP, named, operator, reason)


@account.command("resume")
@_named
@click.option("--operator", required=True)
@click.option("--reason", required=True)
@answering
def account_resume(operator: str, reason: str, **named: str | None) -> None:
    """Order that a stopped account may log in again; what had ended stays ended."""
    _order(Action.RESUME, named, operator, reason)


@account.command("protect")
@_named
@click.option("--operator", required=True)
@click.option("--reason", required=True, help="As the audit record keeps it; no name and no address.")
@answering
def account_protect(operator: str, reason: str, **named: str | None) -> None:
    """Order a protection notice: whoever acts for this person stops at once, and nobody begins until it is lifted."""
    _order(Action.PROTECT, named, operator, reason)


@account.command("unprotect")
@_named
@click.option("--operator", required=True)
@click.option("--reason", required=True)
@answering
def account_unprotect(operator: str, reason: str, **named: str | None) -> None:
    """Order that a protection notice is lifted; what had ended stays ended."""
    _order(Action.UNPROTECT, named, operator, reason)


@account.command("confirm")
@click.argument("order_id", metavar="ORDER")
@click.option("--operator", required=True, help="Somebody other than who ordered it.")
@answering
def account_confirm(order_id: str, operator: str) -> None:
    """Do what another operator ordered."""
    done = account_orders.confirm(order_id, by=operator, secret=operator_secret(operator), ports=configured())
    click.echo(f"{done.action} done")


@account.command("orders")
@click.option("--json", "as_json", is_flag=True)
@answering
def account_waiting(*, as_json: bool) -> None:
    """Show the orders that wait for another operator."""
    ports = configured()
    with ports.store.transaction() as tx:
        found = tx.operators.waiting(now=ports.clock())
    told = [
        {
            "order": one.order_id,
            "action": one.action,
            "ordered_by": one.ordered_by,
            "reason": one.reason,
            "until": one.expires_at.isoformat(timespec="seconds"),
        }
        for one in found
    ]
    _tell(told, as_json=as_json)


@account.command("reports")
@click.option("--json", "as_json", is_flag=True)
@answering
def account_reports(*, as_json: bool) -> None:
    """Show the uses of which residents said "this was not me", the newest report first: each is an alarm."""
    ports = configured()
    with ports.store.transaction() as tx:
        found = tx.activities.reported(limit=1000)
    told = [
        {
            "reported_at": None if one.reported_at is None else one.reported_at.isoformat(timespec="seconds"),
            "client_id": one.client_id,
            "kind": one.kind.value,
            "how": one.how.value,
            "at": one.at.isoformat(timespec="seconds"),
            "sid": one.session_id,
        }
        for one in found
    ]
    _tell(told, as_json=as_json)


def _tell(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        click.echo("\t".join("-" if value is None else str(value) for value in row.values()))


@click.group()
def operator() -> None:
    """Who may order and confirm what needs two people, each with a secret of their own."""


@operator.command("add")
@click.argument("name")
@answering
def operator_add(name: str) -> None:
    """Add an operator and print the secret, this once: it is handed to that person alone."""
    click.echo(account_orders.add_operator(name, ports=configured()))


@operator.command("remove")
@click.argument("name")
@answering
def operator_remove(name: str) -> None:
    """Remove an operator; the name is never given out again."""
    if not account_orders.remove_operator(name, ports=configured()):
        fail("no such operator", 1)
    click.echo("removed")


@operator.command("list")
@answering
def operator_list() -> None:
    """Show the operators."""
    with configured().store.transaction() as tx:
        for name in tx.operators.all():
            click.echo(name)
