"""What goes with a mandate: evidence, what happened to it, notices, and answers about it (mandate_ports)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, delete, insert, select, update

from broker.audit.leaf import Happening
from broker.delegation.acts import Act
from broker.delegation.life import Deed
from broker.delegation.record import Proof
from broker.flows.mandate_ports import Decided, Happened, MandateOrder, Note, Piece
from broker.ids import AccountID, ClientID, MandateNumber
from broker.storage.schema import (
    mandate_decisions,
    mandate_events,
    mandate_evidence,
    mandate_judges,
    mandate_notes,
    mandate_orders,
    mandates,
    protections,
)
from broker.storage.work import Work, can_hold, per_engine

KINDS: Final = {False: "poa.%", True: "statement.%"}
"""What the kinds of powers, and those of statements, are like."""
_events = mandate_events.c
_KEEP = insert(mandate_evidence)
_EVIDENCE = (
    select(mandate_evidence)
    .where(mandate_evidence.c.number == bindparam("b_number"))
    .order_by(mandate_evidence.c.evidence_id)
)
_JUDGE = per_engine(
    lambda insert: (
        insert(mandate_judges)
        .on_conflict_do_nothing(index_elements=["number", "operator"])
        .returning(mandate_judges.c.operator)
    )
)
_JUDGES = select(mandate_judges).where(mandate_judges.c.number == bindparam("b_number"))
_PROTECT = per_engine(lambda insert: insert(protections).on_conflict_do_nothing(index_elements=["account"]))
_UNPROTECT = delete(protections).where(protections.c.account == bindparam("b_account"))
_SEEN_GOOD = (
    update(mandates).where(mandates.c.number == bindparam("b_number")).values(principal_good_at=bindparam("b_at"))
)
_PROTECTED = select(protections.c.account).where(protections.c.account == bindparam("b_account"))
_HAPPEN = insert(mandate_events)
_STORY = select(mandate_events).where(_events.number == bindparam("b_number")).order_by(_events.event_id)
_UNLOGGED = select(mandate_events).where(_events.log_index.is_(None)).order_by(_events.event_id).limit(1000)
_LOGGED = (
    update(mandate_events)
    .where(_events.event_id == bindparam("b_event_id"), _events.log_index.is_(None))
    .values(log_origin=bindparam("b_origin"), log_index=bindparam("b_index"))
)
_NOTIFY = insert(mandate_notes)
_NOTES = (
    select(mandate_notes)
    .join(mandates, mandates.c.number == mandate_notes.c.number)
    .where(mandate_notes.c.account == bindparam("b_account"), mandates.c.kind.like(bindparam("b_kinds")))
    .order_by(mandate_notes.c.note_id.desc())
    .limit(100)
)
_DECIDE = insert(mandate_decisions)
_DECISION = select(mandate_decisions).where(mandate_decisions.c.decision_id == bindparam("b_decision_id"))
_DECISIONS = (
    select(mandate_decisions)
    .where(mandate_decisions.c.number == bindparam("b_number"))
    .order_by(mandate_decisions.c.at.desc(), mandate_decisions.c.decision_id)
    .limit(100)
)

_ORDER = insert(mandate_orders)
_orders = mandate_orders.c
_waits = _orders.confirmed_at.is_(None) & (_orders.expires_at > bindparam("b_now"))
_ORDERS = select(mandate_orders).where(_waits).order_by(_orders.ordered_at, _orders.order_id)
_CONFIRM = (
    update(mandate_orders)
    .where(_orders.order_id == bindparam("b_order_id"), _orders.ordered_by != bindparam("b_by"), _waits)
    .values(confirmed_by=bindparam("b_by"), confirmed_at=bindparam("b_now"))
    .returning(mandate_orders)
)


class SQLMandatePapers:
    """The half of mandate_ports.MandateStore that is about papers."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def protect(self, account: AccountID, *, now: datetime) -> None:
        self._work.write(_PROTECT, account=account, at=now)

    def unprotect(self, account: AccountID) -> None:
        self._work.write(_UNPROTECT, b_account=account)

    def seen_good(self, number: MandateNumber, *, at: datetime) -> None:
        self._work.write(_SEEN_GOOD, b_number=number, b_at=at)

    def protected(self, account: AccountID) -> bool:
        return self._work.finds(_PROTECTED, b_account=account)

    def keep(self, number: MandateNumber, piece: Piece) -> None:
        self._work.write(
            _KEEP, number=number, shows=piece.shows.value, sha256=piece.sha256, sealed=piece.sealed, at=piece.at
        )

    def evidence(self, number: MandateNumber) -> tuple[Piece, ...]:
        return tuple(
            Piece(shows=Proof(row.shows), sha256=row.sha256, sealed=row.sealed, at=row.at)
            for row in self._work.read(_EVIDENCE, b_number=number)
        )

    def judge(self, number: MandateNumber, operator: str, *, sha256: str, now: datetime) -> bool:
        return self._work.changes(_JUDGE, number=number, operator=operator, sha256=sha256, at=now)

    def judges(self, number: MandateNumber) -> Mapping[str, str]:
        return {row.operator: row.sha256 for row in self._work.read(_JUDGES, b_number=number)}

    def happen(
        self,
        number: MandateNumber,
        happening: Happening,
        *,
        at: datetime,
        salt_sealed: bytes,
        commit: bytes,
        log_origin: str | None = None,
        log_index: int | None = None,
    ) -> None:
        self._work.write(
            _HAPPEN,
            number=number,
            happening=happening.value,
            at=at,
            salt_sealed=salt_sealed,
            commit_hash=commit,
            log_origin=log_origin,
            log_index=log_index,
        )

    def story(self, number: MandateNumber) -> tuple[Happened, ...]:
        return tuple(_happened(row) for row in self._work.read(_STORY, b_number=number))

    def unlogged(self) -> tuple[Happened, ...]:
        return tuple(_happened(row) for row in self._work.read(_UNLOGGED))

    def logged(self, event_id: int, *, origin: str, index: int) -> None:
        self._work.write(_LOGGED, b_event_id=event_id, b_origin=origin, b_index=index)

    def notify(self, note: Note) -> None:
        self._work.write(_NOTIFY, number=note.number, account=note.account, deed=note.deed.value, at=note.at)

    def notes(self, account: AccountID, *, statements: bool = False) -> tuple[Note, ...]:
        return tuple(
            Note(number=MandateNumber(row.number), account=AccountID(row.account), deed=Deed(row.deed), at=row.at)
            for row in self._work.read(_NOTES, b_account=account, b_kinds=KINDS[statements])
        )

    def decide(self, decided: Decided) -> None:
        self._work.write(
            _DECIDE,
            decision_id=decided.decision_id,
            number=decided.number,
            client_id=decided.client_id,
            act=decided.act.value,
            entity=decided.entity,
            amount=decided.amount,
            allowed=decided.allowed,
            at=decided.at,
            holds_until=decided.holds_until,
        )

    def decisions(self, number: MandateNumber) -> tuple[Decided, ...]:
        return tuple(_decided(row) for row in self._work.read(_DECISIONS, b_number=number))

    def decision(self, decision_id: str) -> Decided | None:
        if not can_hold(decision_id):
            return None
        row = self._work.read(_DECISION, b_decision_id=decision_id).one_or_none()
        return None if row is None else _decided(row)

    def order(self, order: MandateOrder) -> None:
        self._work.write(
            _ORDER,
            order_id=order.order_id,
            number=order.number,
            action=order.action,
            reason=order.reason,
            ordered_by=order.ordered_by,
            ordered_at=order.ordered_at,
            expires_at=order.expires_at,
        )

    def orders(self, *, now: datetime) -> tuple[MandateOrder, ...]:
        return tuple(_ordered(row) for row in self._work.read(_ORDERS, b_now=now))

    def confirm(self, order_id: str, *, by: str, now: datetime) -> MandateOrder | None:
        if not can_hold(order_id):
            return None
        row = self._work.write(_CONFIRM, b_order_id=order_id, b_by=by, b_now=now).one_or_none()
        return None if row is None else _ordered(row)


def _decided(row: Any) -> Decided:
    return Decided(
        decision_id=row.decision_id,
        number=MandateNumber(row.number),
        client_id=ClientID(row.client_id),
        act=Act(row.act),
        entity=row.entity,
        amount=row.amount,
        allowed=row.allowed,
        at=row.at,
        holds_until=row.holds_until,
    )


def _ordered(row: Any) -> MandateOrder:
    return MandateOrder(
        order_id=row.order_id,
        number=MandateNumber(row.number),
        action=row.action,
        reason=row.reason,
        ordered_by=row.ordered_by,
        ordered_at=row.ordered_at,
        expires_at=row.expires_at,
    )


def _happened(row: Any) -> Happened:
    return Happened(
        event_id=row.event_id,
        number=MandateNumber(row.number),
        happening=Happening(row.happening),
        at=row.at,
        salt_sealed=row.salt_sealed,
        commit=row.commit_hash,
        log_origin=row.log_origin,
        log_index=row.log_index,
    )
