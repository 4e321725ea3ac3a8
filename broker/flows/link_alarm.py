"""What speaks against a link is counted and put before the operators (R6, R9), in the unit of work that met it."""

from __future__ import annotations

from datetime import datetime

from broker.accounts.link import AlarmKind, LinkAlarm, LinkRequest
from broker.audit.entry import Entry, Event
from broker.errors import LinkCardChanged
from broker.flows.login_ports import Interaction
from broker.flows.ports import Ports, Transaction
from broker.ids import AccountID, LinkID
from broker.jose import b64url


def stumbled(tx: Transaction, interaction: Interaction, fault: Exception, *, now: datetime) -> None:
    """A reading of the card for a link came to nothing, and may be tried again: counted all the same (R9)."""
    if interaction.request.link is None:
        return
    tx.links.stumbled(bytes.fromhex(interaction.request.link))
    tx.links.count(f"refused.{type(fault).__name__}", now=now)


def stop(
    tx: Transaction, request: LinkRequest, account: AccountID, fault: LinkCardChanged, *, now: datetime, ports: Ports
) -> None:
    """Two cards in one linking: the request is over, whoever comes with it next."""
    tx.links.use(request.digest, now=now)
    count(tx, request, fault, now=now)
    alarm(tx, AlarmKind.CARD_CHANGED, request, account, other=None, now=now, ports=ports)


def count(tx: Transaction, request: LinkRequest, fault: Exception, *, now: datetime) -> None:
    tx.links.stumbled(request.digest)
    tx.links.count(f"refused.{type(fault).__name__}", now=now)


def alarm(
    tx: Transaction,
    kind: AlarmKind,
    request: LinkRequest,
    account: AccountID,
    *,
    other: LinkID | None,
    now: datetime,
    ports: Ports,
) -> None:
    alarm_id = b64url(ports.entropy(16))
    tx.links.alarm(
        LinkAlarm(
            alarm_id=alarm_id,
            at=now,
            kind=kind,
            client_id=request.client_id,
            link_id=request.link_id,
            other=other,
        )
    )
    tx.links.count(f"alarm.{kind.value}", now=now)
    tx.audit.append(
        Entry(
            at=now,
            event=Event.LINK_ALARM,
            client_id=request.client_id,
            account=account,
            reference=request.link_id,
            detail={"alarm": alarm_id, "kind": kind.value, "other": other},
        )
    )
