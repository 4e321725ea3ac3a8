"""The `broker` command. Exit status: 0 done, 1 refused, 2 wrong usage, 3 settings, 4 storage unavailable."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TextIO, TypeVar

import click

from broker.app import join, now
from broker.audit.entry import Entry, Event
from broker.errors import BrokerError, SettingsError, StoreUnavailable
from broker.flows.ports import Ports
from broker.ids import ClientID, SectorID
from broker.jobs import run_forever, run_once
from broker.jose import b64url, parse_json
from broker.keys.software import create, renew_statement
from broker.network.outbound import OutboundGuard
from broker.oidc.client import Client, SecurityProfile
from broker.settings import Settings, read, reference
from broker.storage.migrations import upgrade

P = ParamSpec("P")
R = TypeVar("R")


def _fail(message: str, status: int) -> NoReturn:
    click.echo(f"broker: {message}", err=True)
    sys.exit(status)


def _answering(command: Callable[P, R]) -> Callable[P, R]:
    """Turn refusals into one line and an exit status."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except SettingsError as wrong:
            _fail(str(wrong), 3)
        except StoreUnavailable as unavailable:
            _fail(f"storage unavailable: {unavailable}", 4)
        except BrokerError as refused:
            _fail(str(refused), 1)

    return guarded


def _ports(settings: Settings) -> Ports:
    return join(settings, guard=OutboundGuard())


@click.group()
def main() -> None:
    """The MyNumber card (JPKI) OpenID Provider."""


@main.command()
@_answering
def serve() -> None:
    """Serve the issuer with granian until stopped."""
    settings = read(os.environ)
    from granian.constants import Interfaces  # noqa: PLC0415 -- the other commands start without a web server
    from granian.server import Server  # noqa: PLC0415

    Server(
        "broker.wsgi:app",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.workers,
        blocking_threads=4,
        websockets=False,
    ).serve()


@main.group()
def db() -> None:
    """The database schema."""


@db.command("upgrade")
@_answering
def db_upgrade() -> None:
    """Create the schema, or bring it to this version's."""
    upgrade(read(os.environ).database_url)
    click.echo("schema is up to date")


@main.group()
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
@_answering
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
@_answering
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


@main.group()
def client() -> None:
    """Relying parties."""


@client.command("add")
@click.option("--file", "file", type=click.File("rb"), help="All members as one JSON object (RFC 7591 names).")
@click.option("--client-id")
@click.option("--name")
@click.option("--redirect-uri", multiple=True)
@click.option("--post-logout-redirect-uri", multiple=True)
@click.option("--jwks", type=click.File("rb"), help="The client's public keys: a JWK Set.")
@click.option("--vetted", is_flag=True, help="You have checked who stands behind the name.")
@click.option("--json", "as_json", is_flag=True)
@_answering
def client_add(
    *,
    file: Any,
    client_id: str | None,
    name: str | None,
    redirect_uri: tuple[str, ...],
    post_logout_redirect_uri: tuple[str, ...],
    jwks: Any,
    vetted: bool,
    as_json: bool,
) -> None:
    """Register a relying party that authenticates with private_key_jwt (profile oidc)."""
    if file is not None:
        given = parse_json(file.read(65_536))
    else:
        if not (client_id and name and redirect_uri and jwks):
            raise click.UsageError("give --file, or --client-id, --name, --redirect-uri and --jwks")
        given = {
            "client_id": client_id,
            "client_name": name,
            "redirect_uris": list(redirect_uri),
            "post_logout_redirect_uris": list(post_logout_redirect_uri),
            "jwks": parse_json(jwks.read(65_536)),
            "vetted": vetted,
        }
    registered = registration(given)
    ports = _ports(read(os.environ))
    with ports.store.transaction() as tx:
        added = tx.clients.add(registered, now=ports.clock())
        if added:
            tx.audit.append(Entry(at=ports.clock(), event=Event.CLIENT_ADDED, client_id=registered.client_id))
    if not added:
        _fail(f"client_id {registered.client_id} is taken", 1)
    click.echo(json.dumps({"client_id": registered.client_id}) if as_json else f"added {registered.client_id}")


def registration(given: dict[str, Any]) -> Client:
    """A client out of RFC 7591 §2 members. Raises SettingsError for what is unknown, missing or of a wrong type."""
    known: dict[str, type] = {
        "client_id": str,
        "client_name": str,
        "redirect_uris": list,
        "post_logout_redirect_uris": list,
        "jwks": dict,
        "vetted": bool,
        "profile": str,
    }
    for member, value in given.items():
        if member not in known:
            raise SettingsError(f"unknown member {member}")
        if not isinstance(value, known[member]):
            raise SettingsError(f"{member} must be a {known[member].__name__}")
    for member in ("client_id", "client_name", "redirect_uris", "jwks"):
        if member not in given:
            raise SettingsError(f"{member} is required")
    if given.get("profile", SecurityProfile.OIDC) != SecurityProfile.OIDC:
        raise SettingsError("profile: oidc is the only one served")
    for member in ("redirect_uris", "post_logout_redirect_uris"):
        if not all(isinstance(uri, str) for uri in given.get(member, [])):
            raise SettingsError(f"{member} must hold strings")
    return Client(
        client_id=ClientID(given["client_id"]),
        name=given["client_name"],
        vetted=given.get("vetted", False),
        profile=SecurityProfile.OIDC,
        redirect_uris=tuple(given["redirect_uris"]),
        post_logout_redirect_uris=tuple(given.get("post_logout_redirect_uris", [])),
        jwks=given["jwks"],
        sector=SectorID(b64url(os.urandom(16))),
    )


@client.command("list")
@click.option("--json", "as_json", is_flag=True)
@_answering
def client_list(as_json: bool) -> None:
    """Show who is registered."""
    ports = _ports(read(os.environ))
    with ports.store.transaction() as tx:
        rows = [
            {"client_id": row.client_id, "client_name": row.name, "vetted": row.vetted, "profile": row.profile}
            for row in tx.clients.all()
        ]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        click.echo("\t".join(str(value) for value in row.values()))


@main.group()
def jobs() -> None:
    """Work that nobody waits for."""


@jobs.command("run")
@click.option("--once", is_flag=True, help="Run what is due and stop (for a timer).")
@_answering
def jobs_run(once: bool) -> None:
    """Fetch revocation lists and delete what has run out, whenever due."""
    ports = _ports(read(os.environ))
    if once:
        click.echo(json.dumps(run_once(ports)))
        return
    run_forever(ports, threading.Event())


@main.command("card-agent")
@_answering
def card_agent() -> None:
    """Print what a reader agent must trust (agent-root and issuer keys), for its trust file."""
    from broker.web.card import card_agent_document  # noqa: PLC0415 -- one document, made where it is served

    click.echo(json.dumps(card_agent_document(_ports(read(os.environ)))))


@main.group()
def config() -> None:
    """The settings."""


@config.command("check")
@_answering
def config_check() -> None:
    """Read every setting and open keys, anchors and database; say what is wrong."""
    settings = read(os.environ)
    _ports(settings)
    click.echo("settings are in order")


@config.command("reference")
def config_reference() -> None:
    """Print the settings as a table."""
    click.echo(reference(), nl=False)


if __name__ == "__main__":
    main(prog_name="broker")
