"""Which clients see the same pseudonym: a sector is chosen once, when a client is registered (design 4.9)."""

from __future__ import annotations

from datetime import datetime

from broker.audit.entry import Entry, Event
from broker.errors import InvalidClientMetadata, OutboundFailed, OutboundRefused
from broker.flows.ports import Ports, Transaction
from broker.ids import SectorID
from broker.jose import MAX_TOKEN, b64url
from broker.oidc.client import Client
from broker.oidc.sector import check_sector_document, check_sector_uri, choose_sector


def own_sector(ports: Ports) -> SectorID:
    """A sector that nobody else has."""
    return SectorID(b64url(ports.entropy(16)))


def approve(uri: str, *, ports: Ports) -> SectorID:
    """Let clients that the document at `uri` vouches for share one sector, now and for ever.

    Raises InvalidClientMetadata.
    """
    check_sector_uri(uri)
    with ports.store.transaction() as tx:
        return _approved(tx, uri, now=ports.clock(), ports=ports)


def check_vouched(client: Client, *, ports: Ports) -> None:
    """Fetch and judge the document that vouches for the client's redirect URIs, outside any unit of work.

    Raises InvalidClientMetadata.
    """
    uri = client.sector_identifier_uri
    if uri is None:
        return
    check_sector_uri(uri)
    try:
        document = ports.documents.fetch(uri, limit=MAX_TOKEN)
    except (OutboundRefused, OutboundFailed) as failed:
        raise InvalidClientMetadata("sector_identifier_uri cannot be fetched") from failed
    check_sector_document(document, client.redirect_uris)


def settle(tx: Transaction, client: Client, *, now: datetime, ports: Ports) -> SectorID:
    """The sector of a new client: its own, or the shared one that was approved. Raises InvalidClientMetadata."""
    uri = client.sector_identifier_uri
    shared: dict[str, SectorID] = {}
    if uri is not None and not client.native:
        sector = tx.sectors.get(uri)
        if sector is None and ports.policy.approves_sectors:
            sector = _approved(tx, uri, now=now, ports=ports)
        if sector is not None:
            shared[uri] = sector
    return choose_sector(client.sector, sector_identifier_uri=uri, native=client.native, approved=shared)


def _approved(tx: Transaction, uri: str, *, now: datetime, ports: Ports) -> SectorID:
    sector = tx.sectors.approve(uri, fresh=own_sector(ports), now=now)
    tx.audit.append(Entry(at=now, event=Event.SECTOR_APPROVED, reference=uri))
    return sector
