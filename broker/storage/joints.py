"""What a doctor's card and a patient's join in (joint_ports.JointStore)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, or_, select, update

from broker.flows.joint_ports import JointTransaction
from broker.ids import AccountID, ClientID, GrantID, JointID, Subject
from broker.oidc.joint import State
from broker.storage.schema import joint_transactions
from broker.storage.work import Work, can_hold, maybe

_rows = joint_transactions.c
_named = _rows.joint_id == bindparam("b_id")
_own = _named & (_rows.client_id == bindparam("b_client_id"))
_OPEN = insert(joint_transactions)
_GET = select(joint_transactions).where(_named)
_OF_GRANT = select(joint_transactions).where(
    or_(_rows.professional_grant == bindparam("b_grant_id"), _rows.patient_grant == bindparam("b_grant_id"))
)
_BEGIN = (
    update(joint_transactions)
    .where(_own, _rows.state == State.ORDERED.value, _rows.expires_at > bindparam("b_now"))
    .values(
        state=State.BEGUN.value,
        professional_account=bindparam("b_account"),
        professional_subject=bindparam("b_subject"),
        professional_grant=bindparam("b_grant_id"),
        licence_sealed=bindparam("b_licence"),
        expires_at=bindparam("b_expires_at"),
    )
    .returning(_rows.joint_id)
)
_COMPLETE = (
    update(joint_transactions)
    .where(
        _own,
        _rows.state == State.BEGUN.value,
        _rows.expires_at > bindparam("b_now"),
        _rows.professional_account != bindparam("b_account"),
    )
    .values(
        state=State.COMPLETE.value,
        patient_subject=bindparam("b_subject"),
        patient_grant=bindparam("b_grant_id"),
        completed_at=bindparam("b_now"),
    )
    .returning(_rows.joint_id)
)
_END = (
    update(joint_transactions)
    .where(_own, or_(_rows.state == State.ORDERED.value, _rows.state == State.BEGUN.value))
    .values(state=State.ENDED.value)
    .returning(_rows.joint_id)
)


class SQLJoints:
    """Fulfils joint_ports.JointStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def open(self, joint: JointTransaction) -> None:
        if joint.state is not State.ORDERED:
            raise ValueError("a joint transaction begins with nobody in it")
        self._work.write(
            _OPEN,
            joint_id=joint.joint_id,
            client_id=joint.client_id,
            state=joint.state.value,
            order_sealed=joint.order_sealed,
            created_at=joint.created_at,
            expires_at=joint.expires_at,
        )

    def get(self, joint_id: JointID) -> JointTransaction | None:
        return _joint(self._work.read(_GET, b_id=joint_id).one_or_none()) if can_hold(joint_id) else None

    def of_grant(self, grant_id: GrantID) -> JointTransaction | None:
        return _joint(self._work.read(_OF_GRANT, b_grant_id=grant_id).one_or_none())

    def begin(
        self,
        joint_id: JointID,
        client_id: ClientID,
        *,
        account: AccountID,
        subject: Subject,
        grant_id: GrantID,
        licence_sealed: bytes,
        now: datetime,
        expires_at: datetime,
    ) -> bool:
        return self._work.changes(
            _BEGIN,
            b_id=joint_id,
            b_client_id=client_id,
            b_account=account,
            b_subject=subject,
            b_grant_id=grant_id,
            b_licence=licence_sealed,
            b_now=now,
            b_expires_at=expires_at,
        )

    def complete(
        self,
        joint_id: JointID,
        client_id: ClientID,
        *,
        account: AccountID,
        subject: Subject,
        grant_id: GrantID,
        now: datetime,
    ) -> bool:
        return self._work.changes(
            _COMPLETE,
            b_id=joint_id,
            b_client_id=client_id,
            b_account=account,
            b_subject=subject,
            b_grant_id=grant_id,
            b_now=now,
        )

    def end(self, joint_id: JointID, client_id: ClientID) -> bool:
        return self._work.changes(_END, b_id=joint_id, b_client_id=client_id)


def _joint(row: Any) -> JointTransaction | None:
    if row is None:
        return None
    return JointTransaction(
        joint_id=JointID(row.joint_id),
        client_id=ClientID(row.client_id),
        state=State(row.state),
        order_sealed=row.order_sealed,
        created_at=row.created_at,
        expires_at=row.expires_at,
        professional_account=maybe(AccountID, row.professional_account),
        professional_subject=maybe(Subject, row.professional_subject),
        professional_grant=maybe(GrantID, row.professional_grant),
        licence_sealed=row.licence_sealed,
        patient_subject=maybe(Subject, row.patient_subject),
        patient_grant=maybe(GrantID, row.patient_grant),
        completed_at=row.completed_at,
    )
