"""A login on its way: found for its own browser alone, and the client that began it."""

from __future__ import annotations

from datetime import datetime

from broker.accounts.session import alive
from broker.errors import BrowserMismatch, InteractionUnknown, UnknownClient
from broker.flows.login_ports import Authenticated, Interaction
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


def check_session(tx: Transaction, who: Authenticated, *, now: datetime) -> None:
    """Who has logged out, or has made room for another card, agrees to nothing any more (R1, R2); nor does whoever
    comes to a kiosk after them: looking counts as use there (R4). Raises InteractionUnknown.
    """
    session = tx.sessions.get(who.session_digest)
    if session is None or (session.kiosk_id is not None and not alive(session, now=now)):
        raise InteractionUnknown("the session of this login has ended")
    if session.kiosk_id is not None:
        tx.sessions.touch(session.digest, now=now)
