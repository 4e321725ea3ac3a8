"""The story of a client that registers itself by invitation (RFC 7591) and looks after its registration (RFC 7592)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from broker.audit.entry import Entry, Event
from broker.errors import InvalidAccessToken, InvalidClientMetadata
from broker.flows.client_administration import end_client, end_grants, invitation_id
from broker.flows.client_ports import ManagedClient
from broker.flows.discovery import provider_metadata
from broker.flows.ports import Ports, Transaction
from broker.flows.rate import Rate, check_rate
from broker.flows.secret import digest, mint
from broker.flows.sector import check_vouched, own_sector, settle
from broker.ids import ClientID, Secret
from broker.oidc.client import SECRET_METHODS, Client, SecurityProfile
from broker.oidc.registration_rules import check_update, completed, judge, stays_vetted
from broker.oidc.sector import check_frozen

RATE: Final = Rate(limit=30, window=timedelta(minutes=1))
"""Registrations with one invitation, and acts with one client's token: each may wait 3 s for a sector document. Who
holds neither is not counted: to look for a token of 256 bits is no use, and a row for every stranger would be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A client as it is told to itself (RFC 7591 §3.2.1, RFC 7592 §3)."""

    client: Client
    issued_at: datetime
    token: Secret = field(repr=False)
    """The registration access token: a new one after each change."""
    secret: Secret | None = field(default=None, repr=False)
    """The client secret, where this act made one."""


def register(given: Mapping[str, Any], token: str | None, *, ports: Ports) -> Registered:
    """Register a client with the initial access token `token` (RFC 7591 §3), in the sandbox without one.

    Raises InvalidAccessToken, InvalidClientMetadata, InvalidRedirectURI, TooManyRequests.
    """
    now = ports.clock()
    with ports.store.transaction() as tx:
        admission = _admitted(tx, token, now=now, ports=ports)
    client, secret = _judged(
        given, ClientID(ports.entropy(16).hex()), profile=admission.profile, vetted=admission.vetted, ports=ports
    )
    check_vouched(client, ports=ports)
    manager = mint(ports.entropy)
    with ports.store.transaction() as tx:
        if admission.held is not None and not tx.initial_access.use(admission.held, now=now):
            raise InvalidAccessToken("the initial access token was used up meanwhile")
        client = replace(client, sector=settle(tx, client, now=now, ports=ports))
        if not tx.clients.add(client, now=now, manager=digest(manager)):
            raise InvalidClientMetadata("the client_id is taken; try again")
        tx.audit.append(
            Entry(
                at=now,
                event=Event.CLIENT_ADDED,
                client_id=client.client_id,
                reference=None if admission.held is None else invitation_id(admission.held),
                detail={"profile": client.profile.value},
            )
        )
    return Registered(client=client, issued_at=now, token=manager, secret=secret)


def read(client_id: ClientID, token: str, *, ports: Ports) -> Registered:
    """The registration as it is (RFC 7592 §2.1). Raises InvalidAccessToken, TooManyRequests."""
    with ports.store.transaction() as tx:
        managed = _managed(tx, client_id, token, now=ports.clock())
    return Registered(client=managed.client, issued_at=managed.issued_at, token=Secret(token))


def update(client_id: ClientID, token: str, given: Mapping[str, Any], *, ports: Ports) -> Registered:
    """Put `given` in the place of all its members (RFC 7592 §2.2); its sector and profile stay.

    Raises InvalidAccessToken, InvalidClientMetadata, InvalidRedirectURI, TooManyRequests.
    """
    now = ports.clock()
    with ports.store.transaction() as tx:
        managed = _managed(tx, client_id, token, now=now)
    before = managed.client
    check_update(given, client_id)
    _check_own_secret(given, before)
    client, secret = _judged(given, client_id, profile=before.profile, vetted=before.vetted, ports=ports, before=before)
    check_frozen(before.sector_identifier_uri, client.sector_identifier_uri)
    if not set(client.redirect_uris) <= set(before.redirect_uris):
        check_vouched(client, ports=ports)
    stays = stays_vetted(before, client)
    client = replace(client, vetted=stays, rights=before.rights if stays else frozenset())
    fresh = mint(ports.entropy)
    with ports.store.transaction() as tx:
        if not tx.managed_clients.change(client, manager=digest(token), fresh=digest(fresh), now=now):
            raise InvalidAccessToken("the token was used for another change meanwhile")
        tx.audit.append(
            Entry(
                at=now,
                event=Event.CLIENT_CHANGED,
                client_id=client_id,
                detail={"vetted": int(client.vetted), "new_secret": int(secret is not None)},
            )
        )
    return Registered(client=client, issued_at=managed.issued_at, token=fresh, secret=secret)


def remove(client_id: ClientID, token: str, *, ports: Ports) -> None:
    """End the client and all it had (RFC 7592 §2.3). Raises InvalidAccessToken, TooManyRequests."""
    now = ports.clock()
    with ports.store.transaction() as tx:
        _managed(tx, client_id, token, now=now)
        end_client(tx, client_id, now=now)
    end_grants(client_id, ports=ports)


# --- parts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Admission:
    """What whoever registers may register as."""

    profile: SecurityProfile
    vetted: bool
    held: bytes | None = field(repr=False)
    """SHA-256 of the initial access token; None where registration is open."""


def _admitted(tx: Transaction, token: str | None, *, now: datetime, ports: Ports) -> _Admission:
    if token is None:
        if ports.policy.open_registration is None:
            raise InvalidAccessToken("an initial access token is required")
        check_rate(tx.attempts, "register:open", RATE, now=now)
        return _Admission(profile=ports.policy.open_registration, vetted=False, held=None)
    held = digest(token)
    access = tx.initial_access.get(held, now=now)
    if access is None:
        raise InvalidAccessToken("no initial access token of ours, or used up")
    check_rate(tx.attempts, f"register:{held.hex()}", RATE, now=now)
    return _Admission(profile=access.profile, vetted=access.vetted, held=held)


def _managed(tx: Transaction, client_id: ClientID, token: str, *, now: datetime) -> ManagedClient:
    managed = tx.managed_clients.get(client_id, manager=digest(token))
    if managed is None:  # unknown client or wrong token: the same answer
        raise InvalidAccessToken("no registration access token of this client")
    check_rate(tx.attempts, f"manage:{client_id}", RATE, now=now)
    return managed


def _judged(
    given: Mapping[str, Any],
    client_id: ClientID,
    *,
    profile: SecurityProfile,
    vetted: bool,
    ports: Ports,
    before: Client | None = None,
) -> tuple[Client, Secret | None]:
    """The client, and its secret where it needs a new one; what it has, it keeps. Its sector is still to be chosen."""
    served = provider_metadata(ports)
    members = completed(given, profile=profile, served=served)
    secret: Secret | None = None
    secret_digest: bytes | None = None
    if members.get("token_endpoint_auth_method") in [method.value for method in SECRET_METHODS]:
        secret_digest = None if before is None else before.secret_digest
        if secret_digest is None:
            secret = mint(ports.entropy)
            secret_digest = digest(secret)
    client = judge(
        members,
        client_id=client_id,
        profile=profile,
        sector=own_sector(ports) if before is None else before.sector,
        vetted=vetted,
        secret_digest=secret_digest,
        served=served,
        loopback=ports.policy.loopback_clients,
        before=before,
    )
    return client, secret


def _check_own_secret(given: Mapping[str, Any], before: Client) -> None:
    """RFC 7592 §2.2: a secret in an update is the one there is; nobody chooses a new one."""
    told = given.get("client_secret")
    if told is None:
        return
    registered = before.secret_digest
    if not isinstance(told, str) or registered is None or not hmac.compare_digest(digest(told), registered):
        raise InvalidClientMetadata("client_secret is not this client's")
