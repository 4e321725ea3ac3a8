"""A client is told that a session of it ended (Back-Channel Logout 1.0).

The session has ended whatever becomes of the message: what could not be delivered is tried again by a job, and the
operator sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from broker.accounts.session import Session
from broker.audit.entry import Entry, Event
from broker.errors import OutboundFailed, OutboundRefused, StoreUnavailable
from broker.flows.envelope import signed_for
from broker.flows.logout_ports import LogoutDelivery
from broker.flows.ports import Ports, Transaction
from broker.ids import ClientID, SessionID, Subject
from broker.jose import b64url
from broker.oidc.client import Client
from broker.oidc.logout import DELIVERY_LIFETIME, LOGOUT_TOKEN_TYPE, logout_token_claims, next_try

UNDER_WAY: Final = timedelta(minutes=5)
"""How long a delivery that was taken is left alone: longer than a batch of them can last."""
MAX_ROUNDS: Final = 10
"""Batches of one run; what is left then waits for the next."""


def queue_logout(
    tx: Transaction, session: Session, *, now: datetime, at_once: bool, ports: Ports
) -> LogoutDelivery | None:
    """Queue the message to the client of a session that ends in this unit (`queue_message`)."""
    return queue_message(
        tx,
        client_id=session.client_id,
        subject=session.subject,
        session_id=session.session_id,
        now=now,
        at_once=at_once,
        ports=ports,
    )


def queue_message(
    tx: Transaction,
    *,
    client_id: ClientID,
    subject: Subject,
    session_id: SessionID,
    now: datetime,
    at_once: bool,
    ports: Ports,
) -> LogoutDelivery | None:
    """Queue the message that a session at a client has ended, which the job then brings; an empty `session_id` means
    all that the person has there (§2.4).

    `at_once` says that the caller will `deliver` it after its commit. None: the client wants no message.
    """
    client = tx.clients.get(client_id)
    if client is None or client.backchannel_logout_uri is None:
        return None
    delivery = LogoutDelivery(
        delivery_id=b64url(ports.entropy(16)),
        client_id=client_id,
        subject=subject,
        session_id=session_id,
        attempts=1 if at_once else 0,
        next_at=now + UNDER_WAY if at_once else now,
        expires_at=now + DELIVERY_LIFETIME,
    )
    tx.logout_deliveries.queue(delivery)
    return delivery


def deliver(delivery: LogoutDelivery, *, ports: Ports) -> bool:
    """Try once to tell the client; True when it took the message. A failure is kept, never raised (design 4.8).

    Raises StoreUnavailable where the outcome cannot be kept: then it is tried again.
    """
    with ports.store.transaction() as tx:
        client = tx.clients.get(delivery.client_id)
    url = None if client is None else client.backchannel_logout_uri
    error = "the client has no backchannel_logout_uri any more"
    retry = False
    if client is not None and url is not None:
        try:
            ports.logout_receivers.post(url, _logout_token(client, delivery, ports))
        except (OutboundRefused, OutboundFailed, StoreUnavailable) as failed:
            error, retry = f"{type(failed).__name__}: {failed}", True
        else:
            _keep_delivered(delivery, ports)
            return True
    _keep_failed(delivery, error, ports, retry=retry)
    return False


def deliver_due(ports: Ports) -> Mapping[str, int]:
    """Tell the clients whose turn it is. Counts: delivered, failed, zeros included. Raises StoreUnavailable."""
    counts = {"delivered": 0, "failed": 0}
    for _ in range(MAX_ROUNDS):
        now = ports.clock()
        with ports.store.transaction() as tx:
            taken = tx.logout_deliveries.take(now=now, until=now + UNDER_WAY)
        for delivery in taken:
            counts["delivered" if deliver(delivery, ports=ports) else "failed"] += 1
        if not taken:
            break
    return counts


def _logout_token(client: Client, delivery: LogoutDelivery, ports: Ports) -> str:
    """Signed as the client's ID tokens are, and encrypted where they are (§2.4).

    Raises StoreUnavailable.
    """
    claims = logout_token_claims(
        issuer=ports.policy.issuer,
        client_id=client.client_id,
        subject=delivery.subject,
        session_id=delivery.session_id,
        jti=b64url(ports.entropy(16)),
        now=ports.clock(),
    )
    return signed_for(
        client,
        claims,
        alg=client.id_token_alg,
        encryption=client.id_token_encryption,
        typ=LOGOUT_TOKEN_TYPE,
        ports=ports,
    )


def _keep_delivered(delivery: LogoutDelivery, ports: Ports) -> None:
    now = ports.clock()
    with ports.store.transaction() as tx:
        tx.logout_deliveries.delivered(delivery.delivery_id, now=now)
        tx.audit.append(
            Entry(
                at=now,
                event=Event.LOGOUT_DELIVERED,
                client_id=delivery.client_id,
                reference=delivery.session_id,
                detail={"attempts": delivery.attempts},
            )
        )


def _keep_failed(delivery: LogoutDelivery, error: str, ports: Ports, *, retry: bool) -> None:
    """A failure that is tried again leaves its count on the row; the one that ends it leaves an audit row (R9)."""
    now = ports.clock()
    again = next_try(delivery.attempts, now=now, expires_at=delivery.expires_at) if retry else None
    with ports.store.transaction() as tx:
        tx.logout_deliveries.failed(delivery.delivery_id, error=error[:200], next_at=again)
        if again is None:
            tx.audit.append(
                Entry(
                    at=now,
                    event=Event.LOGOUT_UNDELIVERED,
                    client_id=delivery.client_id,
                    reference=delivery.session_id,
                    detail={"attempts": delivery.attempts, "error": error[:200]},
                )
            )
