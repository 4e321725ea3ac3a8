"""Operators, and what one of them ordered for another to confirm (people_ports.OperatorStore)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, select, update

from broker.flows.people_ports import AccountOrder
from broker.ids import AccountID
from broker.storage.schema import account_orders, operators
from broker.storage.work import Work, can_hold, per_engine

_there = (operators.c.name == bindparam("b_name")) & operators.c.removed_at.is_(None)
_ADD = per_engine(
    lambda insert_into: (
        insert_into(operators).on_conflict_do_nothing(index_elements=["name"]).returning(operators.c.name)
    )
)
_REMOVE = update(operators).where(_there).values(removed_at=bindparam("b_now")).returning(operators.c.name)
_SECRET = select(operators.c.secret_digest).where(_there)
_ALL = select(operators.c.name).where(operators.c.removed_at.is_(None)).order_by(operators.c.name)
_ORDER = insert(account_orders)
_waits = account_orders.c.confirmed_at.is_(None) & (account_orders.c.expires_at > bindparam("b_now"))
_WAITING = select(account_orders).where(_waits).order_by(account_orders.c.ordered_at)
_CONFIRM = (
    update(account_orders)
    .where(
        account_orders.c.order_id == bindparam("b_order_id"),
        account_orders.c.ordered_by != bindparam("b_by"),
        _waits,
    )
    .values(confirmed_by=bindparam("b_by"), confirmed_at=bindparam("b_now"))
    .returning(account_orders)
)


class SQLOperators:
    """Fulfils people_ports.OperatorStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def add(self, name: str, secret_digest: bytes, *, now: datetime) -> bool:
        added = self._work.write(_ADD, name=name, secret_digest=secret_digest, added_at=now).one_or_none()
        return added is not None

    def remove(self, name: str, *, now: datetime) -> bool:
        return can_hold(name) and self._work.changes(_REMOVE, b_name=name, b_now=now)

    def secret(self, name: str) -> bytes | None:
        if not can_hold(name):
            return None
        found: bytes | None = self._work.read(_SECRET, b_name=name).scalar_one_or_none()
        return found

    def all(self) -> tuple[str, ...]:
        return tuple(row.name for row in self._work.read(_ALL).all())

    def order(self, order: AccountOrder) -> None:
        self._work.write(
            _ORDER,
            order_id=order.order_id,
            account=order.account,
            action=order.action,
            reason=order.reason,
            ordered_by=order.ordered_by,
            ordered_at=order.ordered_at,
            expires_at=order.expires_at,
        )

    def waiting(self, *, now: datetime) -> tuple[AccountOrder, ...]:
        return tuple(_order(row) for row in self._work.read(_WAITING, b_now=now).all())

    def confirm(self, order_id: str, *, by: str, now: datetime) -> AccountOrder | None:
        if not can_hold(order_id):
            return None
        row = self._work.write(_CONFIRM, b_order_id=order_id, b_by=by, b_now=now).one_or_none()
        return None if row is None else _order(row)


def _order(row: Any) -> AccountOrder:
    return AccountOrder(
        order_id=row.order_id,
        account=AccountID(row.account),
        action=row.action,
        reason=row.reason,
        ordered_by=row.ordered_by,
        ordered_at=row.ordered_at,
        expires_at=row.expires_at,
    )
