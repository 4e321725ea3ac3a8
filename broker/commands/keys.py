"""`broker keys`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

import click

from broker.app import now
from broker.commands.exits import answering
from broker.errors import SettingsError
from broker.flows.ports import KeyUse
from broker.keys.algorithms import ENCRYPTION, SIGNING
from broker.keys.directory import served_by
from broker.keys.live import open_keys
from broker.keys.pkcs11 import TokenURI
from broker.keys.ring import State
from broker.keys.rotation import SELF_SERVED, AgentRoot, create, renew_statement, rotate
from broker.settings import Settings, read

_APART: Final[Mapping[KeyUse, str]] = {
    KeyUse.CARD_REQUEST: "agents believe what the agent-root states: add --agent-root",
    KeyUse.MANDATE_SEAL: "nothing is sealed by a new key until its certificate is in the file of BROKER_SEAL",
    KeyUse.MANDATE_STATUS: "officers who check offline name it in their policies, and have to be sent the new one",
    KeyUse.REGISTER_LOG: "it signs for its year: follow it in December, and tell witnesses and officers",
}
"""What is followed only where it is named, and why."""


@click.group()
def keys() -> None:
    """The broker's own keys."""


def _with_root(*, required: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        command = click.option(
            "--agent-root-passphrase-file",
            type=click.File("r", encoding="utf-8"),
            required=required,
            help="Its own passphrase, not the broker's.",
        )(command)
        return click.option(
            "--agent-root",
            type=click.Path(path_type=Path, dir_okay=False),
            required=required,
            help="The file of the agent-root key; keep it off this machine except for these commands.",
        )(command)

    return decorate


def _token(settings: Settings) -> TokenURI | None:
    return TokenURI.parse(settings.key_token) if settings.key_token else None


@keys.command("create")
@_with_root(required=True)
@click.option(
    "--algorithm",
    "algorithms",
    type=click.Choice(SIGNING),
    multiple=True,
    help="Make ID and access token keys of this algorithm too, beside ES256; may be repeated.",
)
@click.option("--pkcs11", is_flag=True, help="Make the signing keys in the token of BROKER_KEY_TOKEN.")
@answering
def keys_create(agent_root: Path, agent_root_passphrase_file: TextIO, algorithms: Sequence[str], pkcs11: bool) -> None:
    """Make every key, once; the folder and passphrase are those of the settings."""
    settings = read(os.environ)
    token = _token(settings)
    if pkcs11 and token is None:
        raise SettingsError("key_token: --pkcs11 needs a token")
    create(
        settings.key_directory,
        settings.key_passphrase,
        issuer=settings.issuer,
        now=now(),
        agent_root_out=agent_root,
        agent_root_passphrase=_line(agent_root_passphrase_file),
        algorithms=("ES256", *algorithms),
        token=token if pkcs11 else None,
    )
    click.echo(f"keys made in {settings.key_directory}; take {agent_root} off this machine now")


@keys.command("rotate")
@click.option(
    "--use",
    "uses",
    type=click.Choice([*(use.value for use in KeyUse), "all"]),
    multiple=True,
    help="Which keys; may be repeated. Without it, all that need nothing from others; the rest is told.",
)
@click.option(
    "--algorithm",
    "algorithms",
    type=click.Choice((*SIGNING, *ENCRYPTION)),
    multiple=True,
    help="Only keys of this algorithm, or the first of it; may be repeated. Without it, every algorithm of the use.",
)
@click.option("--now", "at_once", is_flag=True, help="Let the new key sign at once, though a kept JWK Set may lack it.")
@click.option("--pkcs11/--file", "in_token", default=None, help="Where to make it; without, where the last one is.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@_with_root(required=False)
@answering
def keys_rotate(
    *,
    uses: Sequence[str],
    algorithms: Sequence[str],
    at_once: bool,
    in_token: bool | None,
    as_json: bool,
    agent_root: Path | None,
    agent_root_passphrase_file: TextIO | None,
) -> None:
    """Follow keys with new ones while the broker runs; nothing needs a restart.

    A new key is published first and signs once nobody can hold a JWK Set without it; the old one is published until
    all that it signed has run out. A request key (--use card-request, all) needs the agent-root. Without --use the keys
    of requests, seals, status lists and the register are left as they are, and standard error says why.
    """
    settings = read(os.environ)
    if (agent_root is None) != (agent_root_passphrase_file is None):
        raise click.UsageError("--agent-root and --agent-root-passphrase-file go together")
    root = None
    if agent_root is not None and agent_root_passphrase_file is not None:
        root = AgentRoot(path=agent_root, passphrase=_line(agent_root_passphrase_file))
    made = rotate(
        settings.key_directory,
        settings.key_passphrase,
        now=now(),
        uses=_uses(uses, algorithms),
        algorithms=algorithms,
        at_once=at_once,
        agent_root=root,
        token=_token(settings),
        in_token=in_token,
    )
    rows = [
        {"use": key.use.value, "alg": key.alg, "kid": key.kid, "place": key.place, "begins": _moment(key.begins)}
        for key in made
    ]
    if as_json:
        click.echo(json.dumps(rows))
    else:
        for row in rows:
            click.echo(f"{row['use']} {row['alg']} {row['kid']} ({row['place']}): begins {row['begins']}")
    if not uses:
        for use, why in _APART.items():
            if set(algorithms) <= set(served_by(use)):
                click.echo(f"left as it is: --use {use.value} ({why})", err=True)


def _uses(given: Sequence[str], algorithms: Sequence[str]) -> tuple[KeyUse, ...]:
    if "all" in given:
        return tuple(KeyUse)
    if given:
        return tuple(KeyUse(use) for use in given)
    serving = tuple(use for use in SELF_SERVED if set(algorithms) <= set(served_by(use)))
    if not serving:
        raise click.UsageError("keys of one use sign or are encrypted to; no use takes all these algorithms")
    return serving


@keys.command("show")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@answering
def keys_show(as_json: bool) -> None:
    """Every key: its use, its state, when it begins and when the last thing it signed runs out."""
    settings = read(os.environ)
    opened = open_keys(settings.key_directory, settings.key_passphrase, token=_token(settings), clock=now)
    rows = [
        {
            "use": key.use.value,
            "alg": key.alg,
            "kid": key.kid,
            "state": state.value,
            "place": key.place,
            "begins": _moment(key.begins),
            "ends": None if ends is None else _moment(ends),
        }
        for key, state, ends in opened.held()
    ]
    expires = opened.statement_expires_at().isoformat()
    if as_json:
        click.echo(json.dumps({"issuer": opened.issuer, "statement_expires": expires, "keys": rows}, indent=1))
        return
    for row in rows:
        until = f", to {row['ends']}" if row["ends"] else ""
        begun = "from" if row["state"] != State.WAITING else "begins"
        click.echo(
            f"{row['use']:<18} {row['alg']:<14} {row['state']:<11} {row['place']:<5} {row['kid']}"
            f"  {begun} {row['begins'] or 'the first day'}{until}"
        )
    click.echo(f"statement of request keys: to {expires}")


@keys.command("renew-statement")
@_with_root(required=True)
@answering
def keys_renew_statement(agent_root: Path, agent_root_passphrase_file: TextIO) -> None:
    """Let the agent-root confirm the request keys for another 90 days; a running broker serves it at once."""
    settings = read(os.environ)
    sequence = renew_statement(
        settings.key_directory,
        agent_root=agent_root,
        agent_root_passphrase=_line(agent_root_passphrase_file),
        now=now(),
        passphrase=settings.key_passphrase,
        token=_token(settings),
    )
    click.echo(f"statement {sequence} made")


def _line(file: TextIO) -> str:
    return file.read(1024).rstrip("\n")


def _moment(seconds: int) -> str | None:
    """None for the first day, which has no moment."""
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat() if seconds else None
