"""`broker client`."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from broker.audit.entry import Entry, Event
from broker.commands.exits import answering, fail
from broker.commands.house import configured
from broker.errors import SettingsError
from broker.ids import ClientID, SectorID
from broker.jose import b64url, parse_json
from broker.oidc.client import Client, SecurityProfile
from broker.oidc.logout import check_front_channel
from broker.oidc.registration import MEMBERS, parse


@click.group()
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
@answering
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
    ports = configured()
    check_front_channel(registered, served=ports.policy.front_channel_logout)
    with ports.store.transaction() as tx:
        added = tx.clients.add(registered, now=ports.clock())
        if added:
            tx.audit.append(Entry(at=ports.clock(), event=Event.CLIENT_ADDED, client_id=registered.client_id))
    if not added:
        fail(f"client_id {registered.client_id} is taken", 1)
    click.echo(json.dumps({"client_id": registered.client_id}) if as_json else f"added {registered.client_id}")


def registration(given: dict[str, Any], *, secret_digest: bytes | None = None) -> Client:
    """A client as the operator describes it: RFC 7591 §2 members, and `vetted` and `profile` beside them.

    `secret_digest` is the SHA-256 of its secret, where it authenticates with one.

    Raises SettingsError for a member nobody knows (here a slip of the pen), InvalidClientMetadata, InvalidRedirectURI.
    """
    vetted, profile = given.get("vetted", False), given.get("profile", SecurityProfile.OIDC)
    if not isinstance(vetted, bool) or profile not in set(SecurityProfile):
        raise SettingsError("vetted is true or false, profile is fapi2 or oidc")
    told = {member: value for member, value in given.items() if member not in {"vetted", "profile"}}
    for member in told:
        if member not in MEMBERS:
            raise SettingsError(f"unknown member {member}")
    if not isinstance(told.get("client_id"), str):
        raise SettingsError("client_id is required")
    return parse(
        told,
        client_id=ClientID(told["client_id"]),
        profile=SecurityProfile(profile),
        sector=SectorID(b64url(os.urandom(16))),
        vetted=vetted,
        secret_digest=secret_digest,
    )


@client.command("list")
@click.option("--json", "as_json", is_flag=True)
@answering
def client_list(as_json: bool) -> None:
    """Show who is registered."""
    ports = configured()
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
