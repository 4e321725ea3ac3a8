"""`broker client`."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import IO, Any, Final

import click

from broker.commands.exits import answering, fail
from broker.commands.house import configured
from broker.errors import InvalidClientMetadata, SettingsError
from broker.flows import client_administration, sector
from broker.flows.ports import Ports
from broker.flows.secret import digest, mint
from broker.ids import ClientID, Secret, SectorID
from broker.jose import PRIVATE_MEMBERS, b64url, parse_json
from broker.oidc.client import SECRET_METHODS, Client, Right, SecurityProfile
from broker.oidc.client_keys import check_jwks
from broker.oidc.registration import MEMBERS, metadata, parse

MAX_FILE: Final = 1024 * 1024
MIN_SECRET: Final = 32
"""Characters of a secret from elsewhere; ours have 256 bits."""
_OPERATORS: Final = ("vetted", "profile", "rights")
"""What stands in a description beside the members of RFC 7591."""
_PLAN: Final = ("client", "client2")
"""Where the configuration of a conformance test plan describes its clients."""


@click.group()
def client() -> None:
    """Relying parties."""


@client.command("add")
@click.option("--file", "file", type=click.File("rb"), help="All members as one JSON object.")
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
    file: IO[bytes] | None,
    client_id: str | None,
    name: str | None,
    redirect_uri: tuple[str, ...],
    post_logout_redirect_uri: tuple[str, ...],
    jwks: IO[bytes] | None,
    vetted: bool,
    as_json: bool,
) -> None:
    """Register a relying party: with --file as it says there (RFC 7591 names, `profile`, `vetted` and `rights`), else
    one of profile oidc that authenticates with private_key_jwt. A client with a secret gets one, shown this once."""
    if file is not None:
        given = _object(file)
    else:
        if not (client_id and name and redirect_uri and jwks):
            raise click.UsageError("give --file, or --client-id, --name, --redirect-uri and --jwks")
        given = {
            "client_id": client_id,
            "client_name": name,
            "redirect_uris": list(redirect_uri),
            "post_logout_redirect_uris": list(post_logout_redirect_uri),
            "jwks": _object(jwks),
            "vetted": vetted,
        }
    secret = _new_secret(given)
    registered = registration(given, secret_digest=None if secret is None else digest(secret))
    if not client_administration.add(registered, ports=configured()):
        fail(f"client_id {registered.client_id} is taken", 1)
    _say("added", registered, secret, as_json=as_json)


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


@client.command("show")
@click.argument("client_id")
@click.option("--json", "as_json", is_flag=True)
@answering
def client_show(client_id: str, as_json: bool) -> None:
    """Everything that is registered about one client, but its secret, which nobody knows."""
    described = _described(_known(client_id, configured()))
    if as_json:
        click.echo(json.dumps(described, ensure_ascii=False))
        return
    for name, value in described.items():
        click.echo(f"{name}\t{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")


@client.command("update")
@click.argument("client_id")
@click.option(
    "--file",
    "file",
    type=click.File("rb"),
    help="The members to change as one JSON object; null takes a member away (RFC 7396).",
)
@click.option("--vetted/--not-vetted", default=None, help="A client that is not vetted has no rights.")
@click.option(
    "--grant",
    "granted",
    multiple=True,
    type=click.Choice([each.value for each in Right]),
    help="A right to give; repeatable.",
)
@click.option(
    "--withdraw",
    "withdrawn",
    multiple=True,
    type=click.Choice([each.value for each in Right]),
    help="A right to take away.",
)
@click.option("--new-secret", is_flag=True, help="Make a new client secret; the old one ends at once.")
@click.option("--json", "as_json", is_flag=True)
@answering
def client_update(
    *,
    client_id: str,
    file: IO[bytes] | None,
    vetted: bool | None,
    granted: tuple[str, ...],
    withdrawn: tuple[str, ...],
    new_secret: bool,
    as_json: bool,
) -> None:
    """Change some members of a client; its sector stays."""
    if file is None and vetted is None and not new_secret and not granted and not withdrawn:
        raise click.UsageError("give --file, --vetted, --not-vetted, --grant, --withdraw or --new-secret")
    ports = configured()
    before = _known(client_id, ports)
    given = _told(before) | (_object(file) if file is not None else {})
    given = {name: value for name, value in given.items() if value is not None}
    if given.get("client_id") != client_id:
        raise SettingsError("client_id cannot change")
    if vetted is not None:
        given["vetted"] = vetted
    if vetted is False:
        given.pop("rights", None)
    if granted or withdrawn:
        given["rights"] = sorted({*given.get("rights", []), *granted} - set(withdrawn))
    kept = before.secret_digest
    secret = _new_secret(given) if new_secret or kept is None else None
    if new_secret and secret is None:
        raise InvalidClientMetadata("this client has no secret")
    wants = given.get("token_endpoint_auth_method") in [method.value for method in SECRET_METHODS]
    secret_digest = digest(secret) if secret is not None else kept if wants else None
    changed = registration(given, secret_digest=secret_digest, own=before.sector)
    if not client_administration.change(changed, ports=ports):
        fail(f"no client {client_id}", 1)
    _say("changed", changed, secret, as_json=as_json)


@client.command("remove")
@click.argument("client_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True)
@answering
def client_remove(client_id: str, yes: bool, as_json: bool) -> None:
    """End a client with its grants, tokens and sessions; its id is never given out again."""
    ports = configured()
    known = _known(client_id, ports)
    if not yes:
        click.confirm(f"End {known.name} ({client_id}) and every login at it?", abort=True, err=True)
    if not client_administration.remove(known.client_id, ports=ports):
        fail(f"no client {client_id}", 1)
    _say("removed", known, None, as_json=as_json)


@client.command("invite")
@click.option(
    "--profile", type=click.Choice([each.value for each in SecurityProfile]), default="fapi2", show_default=True
)
@click.option("--uses", type=click.IntRange(1, 1000), default=1, show_default=True, help="How many clients.")
@click.option("--days", type=click.IntRange(1, 365), default=7, show_default=True)
@click.option("--vetted", is_flag=True, help="You answer for the names of the clients that come with it.")
@click.option("--json", "as_json", is_flag=True)
@answering
def client_invite(*, profile: str, uses: int, days: int, vetted: bool, as_json: bool) -> None:
    """Print an initial access token for dynamic registration (RFC 7591), once."""
    token, name = client_administration.invite(
        profile=SecurityProfile(profile),
        vetted=vetted,
        uses=uses,
        lifetime=timedelta(days=days),
        ports=configured(),
    )
    told = {"initial_access_token": token, "invitation": name}
    click.echo(json.dumps(told) if as_json else token)


@client.command("approve-sector")
@click.argument("uri")
@click.option("--json", "as_json", is_flag=True)
@answering
def client_approve_sector(uri: str, as_json: bool) -> None:
    """Let the clients that the document at URI lists see the same pseudonyms, for ever (sector_identifier_uri)."""
    approved = sector.approve(uri, ports=configured())
    told = {"sector_identifier_uri": uri, "sector": approved}
    click.echo(json.dumps(told) if as_json else f"approved {uri}")


@client.command("load")
@click.argument("file", type=click.File("rb"))
@click.option("--json", "as_json", is_flag=True)
@answering
def client_load(file: IO[bytes], as_json: bool) -> None:
    """Add or change the clients of a JSON file, all or none: those of a conformance test plan, for example.

    FILE holds `clients`, a list of descriptions as `add --file` takes them, or, as a test plan's own configuration
    does, `client` and `client2`; `registration` says what holds for all. Of a private key the public half is taken.
    """
    done = client_administration.load(clients_of(_object(file)), ports=configured())
    rows = [{"client_id": client_id, "done": event.value.removeprefix("client_")} for client_id, event in done.items()]
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        click.echo(f"{row['done']} {row['client_id']}")


# --- descriptions ----------------------------------------------------------------------------------------------------


def registration(
    given: Mapping[str, Any], *, secret_digest: bytes | None = None, own: SectorID | None = None
) -> Client:
    """A client as the operator describes it: RFC 7591 §2 members, and `vetted`, `profile` and `rights` beside them.

    `secret_digest` is the SHA-256 of its secret, where it authenticates with one; `own` its sector, if it has one.

    Raises SettingsError for a member nobody knows (here a slip of the pen), InvalidClientMetadata, InvalidRedirectURI.
    """
    vetted, profile = given.get("vetted", False), given.get("profile", SecurityProfile.OIDC)
    if not isinstance(vetted, bool) or profile not in list(SecurityProfile):
        raise SettingsError("vetted is true or false, profile is fapi2 or oidc")
    rights = given.get("rights", [])
    if not isinstance(rights, list) or not all(right in list(Right) for right in rights):
        raise SettingsError(f"rights is a list of {', '.join(Right)}")
    told = {member: value for member, value in given.items() if member not in _OPERATORS}
    for member in told:
        if member not in MEMBERS:
            raise SettingsError(f"unknown member {member}")
    if not isinstance(told.get("client_id"), str):
        raise SettingsError("client_id is required")
    made = parse(
        told,
        client_id=ClientID(told["client_id"]),
        profile=SecurityProfile(profile),
        sector=SectorID(b64url(secrets.token_bytes(16))) if own is None else own,
        vetted=vetted,
        rights=frozenset(Right(right) for right in rights),
        secret_digest=secret_digest,
    )
    if made.jwks is not None:
        check_jwks(made.jwks)
    return made


def clients_of(document: Mapping[str, Any]) -> list[Client]:
    """The clients that a file of `broker client load` describes.

    Raises SettingsError, InvalidClientMetadata, InvalidRedirectURI.
    """
    shared, listed = document.get("registration", {}), document.get("clients", [])
    if not isinstance(shared, dict) or not isinstance(listed, list):
        raise SettingsError("registration is an object, clients is a list")
    planned = [_members_of_plan(document[name]) for name in _PLAN if name in document]
    if not listed and not planned:
        raise SettingsError("the file describes no client")
    if not all(isinstance(entry, dict) for entry in listed):
        raise SettingsError("clients: a list of objects")
    described = [shared | entry for entry in [*listed, *planned]]
    made = [_loaded(entry) for entry in described]
    if len({each.client_id for each in made}) != len(made):
        raise SettingsError("a client_id stands twice")
    return made


def _members_of_plan(entry: Any) -> dict[str, Any]:
    """A test plan says more about a client than we register."""
    if not isinstance(entry, dict):
        raise SettingsError("client and client2 are objects")
    known = MEMBERS | {*_OPERATORS, "client_secret"}
    return {name: value for name, value in entry.items() if name in known}


def _loaded(entry: Mapping[str, Any]) -> Client:
    members = dict(entry)
    secret = members.pop("client_secret", None)
    if secret is not None and not (isinstance(secret, str) and len(secret) >= MIN_SECRET):
        raise SettingsError(f"client_secret: at least {MIN_SECRET} characters of chance")
    if members.get("token_endpoint_auth_method") not in [method.value for method in SECRET_METHODS]:
        secret = None
    if isinstance(members.get("jwks"), dict):
        members["jwks"] = _public_half(members["jwks"])
    return registration(members, secret_digest=None if secret is None else digest(secret))


def _public_half(jwks: Mapping[str, Any]) -> dict[str, Any]:
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not all(isinstance(jwk, dict) and jwk.get("kty") != "oct" for jwk in keys):
        raise SettingsError("jwks: a JWK Set of key pairs or public keys")
    left_out = PRIVATE_MEMBERS | {"key_ops"}  # what a private key may do is not what its public half may
    return {"keys": [{name: value for name, value in jwk.items() if name not in left_out} for jwk in keys]}


def _object(file: IO[bytes]) -> dict[str, Any]:
    """A JSON object out of a file, as strictly read as one from outside. Raises InvalidToken."""
    return parse_json(file.read(MAX_FILE + 1), limit=MAX_FILE)


def _known(client_id: str, ports: Ports) -> Client:
    with ports.store.transaction() as tx:
        known = tx.clients.get(ClientID(client_id))
    if known is None:
        fail(f"no client {client_id}", 1)
    return known


def _told(known: Client) -> dict[str, Any]:
    """A description that makes the same client again."""
    told = metadata(known) | {"vetted": known.vetted, "profile": known.profile.value}
    return told | ({"rights": sorted(known.rights)} if known.rights else {})


def _described(known: Client) -> dict[str, Any]:
    return _told(known) | {"sector": known.sector}


def _new_secret(given: Mapping[str, Any]) -> Secret | None:
    """A secret for who authenticates with one."""
    wanted = given.get("token_endpoint_auth_method") in [method.value for method in SECRET_METHODS]
    return mint(secrets.token_bytes) if wanted else None


def _say(done: str, about: Client, secret: Secret | None, *, as_json: bool) -> None:
    told = {"client_id": about.client_id} | ({} if secret is None else {"client_secret": secret})
    if as_json:
        click.echo(json.dumps(told))
        return
    click.echo(f"{done} {about.client_id}")
    if secret is not None:
        click.echo(f"client_secret {secret}")
