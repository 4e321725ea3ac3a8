"""What the operator does about clients: each act with its audit row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from broker.audit.entry import Entry, Event
from broker.flows.client_ports import InitialAccess
from broker.flows.ports import Ports, Transaction
from broker.flows.secret import digest, mint
from broker.flows.sector import check_vouched, settle
from broker.ids import ClientID, Secret
from broker.oidc.client import Client, SecurityProfile
from broker.oidc.logout import check_front_channel
from broker.oidc.sector import check_frozen


def invite(
    *, profile: SecurityProfile, vetted: bool, uses: int, lifetime: timedelta, ports: Ports
) -> tuple[Secret, str]:
    """A new initial access token, shown this once, and the id by which the audit record names it."""
    token, now = mint(ports.entropy), ports.clock()
    held = digest(token)
    access = InitialAccess(digest=held, profile=profile, vetted=vetted, uses_left=uses, expires_at=now + lifetime)
    with ports.store.transaction() as tx:
        tx.initial_access.open(access)
        tx.audit.append(
            Entry(
                at=now,
                event=Event.CLIENT_INVITED,
                reference=invitation_id(held),
                detail={"profile": profile.value, "vetted": int(vetted), "uses": uses},
            )
        )
    return token, invitation_id(held)


def invitation_id(held: bytes) -> str:
    """A name for an initial access token, out of its SHA-256, that opens nothing."""
    return held[:8].hex()


def add(client: Client, *, ports: Ports) -> bool:
    """A new client; False when its id is taken.

    Raises InvalidClientMetadata: its sector is not vouched for, or it wants what is switched off.
    """
    _check_served(client, ports)
    check_vouched(client, ports=ports)
    with ports.store.transaction() as tx:
        return _add(tx, client, now=ports.clock(), ports=ports)


def change(client: Client, *, ports: Ports) -> bool:
    """Put `client` in the place of the one of its id, whose sector it keeps; False where there is none.

    Raises InvalidClientMetadata.
    """
    _check_served(client, ports)
    with ports.store.transaction() as tx:
        before = tx.clients.get(client.client_id)
    if before is None or not set(client.redirect_uris) <= set(before.redirect_uris):
        check_vouched(client, ports=ports)
    with ports.store.transaction() as tx:
        return _change(tx, client, now=ports.clock())


def load(clients: Iterable[Client], *, ports: Ports) -> dict[ClientID, Event]:
    """Add or change all of them, or none; by client, which of the two it was (or neither: the id was removed once).

    Raises InvalidClientMetadata.
    """
    given = tuple(clients)
    for client in given:
        _check_served(client, ports)
        check_vouched(client, ports=ports)
    now = ports.clock()
    done: dict[ClientID, Event] = {}
    with ports.store.transaction() as tx:
        for client in given:
            if _change(tx, client, now=now):
                done[client.client_id] = Event.CLIENT_CHANGED
            elif _add(tx, client, now=now, ports=ports):
                done[client.client_id] = Event.CLIENT_ADDED
    return done


def remove(client_id: ClientID, *, ports: Ports) -> bool:
    """End a client and all it had; False when there is none."""
    with ports.store.transaction() as tx:
        removed = end_client(tx, client_id, now=ports.clock())
    if removed:
        end_grants(client_id, ports=ports)
    return removed


def end_client(tx: Transaction, client_id: ClientID, *, now: datetime) -> bool:
    """Remove a client with its audit row in the caller's unit of work; `end_grants` follows after its commit."""
    removed = tx.clients.remove(client_id, now=now)
    if removed:
        tx.audit.append(Entry(at=now, event=Event.CLIENT_REMOVED, client_id=client_id))
    return removed


def end_grants(client_id: ClientID, *, ports: Ports) -> None:
    """End the grants of a removed client, step by step: without their client they are good for nothing already."""
    after: str | None = ""
    while after is not None:
        with ports.store.transaction() as tx:
            after = tx.clients.end_grants(client_id, after=after, now=ports.clock())


def _check_served(client: Client, ports: Ports) -> None:
    check_front_channel(client, served=ports.policy.front_channel_logout)


def _add(tx: Transaction, client: Client, *, now: datetime, ports: Ports) -> bool:
    added = tx.clients.add(replace(client, sector=settle(tx, client, now=now, ports=ports)), now=now)
    if added:
        tx.audit.append(Entry(at=now, event=Event.CLIENT_ADDED, client_id=client.client_id))
    return added


def _change(tx: Transaction, client: Client, *, now: datetime) -> bool:
    before = tx.clients.get(client.client_id)
    if before is None:
        return False
    check_frozen(before.sector_identifier_uri, client.sector_identifier_uri)
    changed = tx.clients.change(client, now=now)
    if changed:
        tx.audit.append(Entry(at=now, event=Event.CLIENT_CHANGED, client_id=client.client_id))
    return changed
