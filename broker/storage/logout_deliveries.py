"""Clients still to be told of an ended session (flows.logout_ports.LogoutDeliveryStore)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, insert, select, update

from broker.flows.logout_ports import LogoutDelivery
from broker.ids import ClientID, SessionID, Subject
from broker.storage.schema import logout_deliveries
from broker.storage.work import Work

BATCH: Final = 20
"""Taken at once: a minute's work if none of them answers."""
_SHOWN: Final = 1000

_due = logout_deliveries.c.next_at <= bindparam("b_now")
_open = (logout_deliveries.c.delivery_id == bindparam("b_delivery_id")) & logout_deliveries.c.delivered_at.is_(None)
_QUEUE = insert(logout_deliveries)
_TAKE = (
    update(logout_deliveries)
    .where(
        logout_deliveries.c.delivery_id.in_(
            select(logout_deliveries.c.delivery_id).where(_due).order_by(logout_deliveries.c.next_at).limit(BATCH)
        ),
        _due,  # once more: on PostgreSQL another host may have taken the row while we waited for it
    )
    .values(next_at=bindparam("b_until"), attempts=logout_deliveries.c.attempts + 1)
    .returning(logout_deliveries)
)
_DELIVERED = (
    update(logout_deliveries).where(_open).values(delivered_at=bindparam("b_now"), next_at=None, last_error=None)
)
_FAILED = update(logout_deliveries).where(_open).values(last_error=bindparam("b_error"), next_at=bindparam("b_next_at"))
_UNDELIVERED = (
    select(logout_deliveries)
    .where(logout_deliveries.c.delivered_at.is_(None))
    .order_by(logout_deliveries.c.expires_at.desc())
    .limit(_SHOWN)
)


class SQLLogoutDeliveries:
    """Fulfils flows.logout_ports.LogoutDeliveryStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def queue(self, delivery: LogoutDelivery) -> None:
        self._work.write(
            _QUEUE,
            delivery_id=delivery.delivery_id,
            client_id=delivery.client_id,
            subject=delivery.subject,
            session_id=delivery.session_id,
            attempts=delivery.attempts,
            next_at=delivery.next_at,
            expires_at=delivery.expires_at,
            delivered_at=delivery.delivered_at,
            last_error=delivery.last_error,
        )

    def take(self, *, now: datetime, until: datetime) -> tuple[LogoutDelivery, ...]:
        return tuple(_delivery(row) for row in self._work.write(_TAKE, b_now=now, b_until=until).all())

    def delivered(self, delivery_id: str, *, now: datetime) -> None:
        self._work.write(_DELIVERED, b_delivery_id=delivery_id, b_now=now)

    def failed(self, delivery_id: str, *, error: str, next_at: datetime | None) -> None:
        self._work.write(_FAILED, b_delivery_id=delivery_id, b_error=error, b_next_at=next_at)

    def undelivered(self) -> tuple[LogoutDelivery, ...]:
        return tuple(_delivery(row) for row in self._work.read(_UNDELIVERED).all())


def _delivery(row: Any) -> LogoutDelivery:
    return LogoutDelivery(
        delivery_id=row.delivery_id,
        client_id=ClientID(row.client_id),
        subject=Subject(row.subject),
        session_id=SessionID(row.session_id),
        attempts=row.attempts,
        next_at=row.next_at,
        expires_at=row.expires_at,
        delivered_at=row.delivered_at,
        last_error=row.last_error,
    )
