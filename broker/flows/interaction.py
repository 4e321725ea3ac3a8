"""A login on its way: found for its own browser alone, and the client that began it."""

from __future__ import annotations

from datetime import datetime

from broker.errors import BrowserMismatch, InteractionUnknown, UnknownClient
from broker.flows.login_ports import Interaction
from broker.flows.ports import Transaction
from broker.flows.secret import digest
from broker.ids import InteractionID
from broker.oidc.client import Client


def find(tx: Transaction, interaction_id: InteractionID, browser_secret: str | None, *, now: datetime) -> Interaction:
    """The open interaction of this very browser. Raises InteractionUnknown, BrowserMismatch."""
    interaction = tx.interactions.get(interaction_id, now=now)
    if interaction is None:
        raise InteractionUnknown("unknown, run out or finished")
    if browser_secret is None or digest(browser_secret) != interaction.browser_digest:
        raise BrowserMismatch("another browser began this login")
    return interaction


def client_of(tx: Transaction, interaction: Interaction) -> Client:
    """The client an interaction began with; removed meanwhile is unknown. Raises UnknownClient."""
    client = tx.clients.get(interaction.request.client_id)
    if client is None:
        raise UnknownClient("client was removed")
    return client
