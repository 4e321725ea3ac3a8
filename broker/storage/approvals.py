"""What waits for an approval on another device (approval_ports): two tables with the same rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Table, bindparam, insert, select, update

from broker.ids import AccountID, ClientID, GrantID
from broker.oidc.approval import Approval, ApprovalState, Device, DeviceKind
from broker.oidc.authorization import from_json, to_json
from broker.oidc.grants import Grant
from broker.storage.grants import SQLGrants
from broker.storage.schema import backchannel_requests, device_codes
from broker.storage.work import Work, per_engine


class _Statements:
    """The statements over one of the tables."""

    def __init__(self, table: Table) -> None:
        this = table.c.digest == bindparam("b_digest")
        waits = (table.c.state == ApprovalState.PENDING.value) & (table.c.expires_at > bindparam("b_now"))
        self.waits = waits
        # Changes nothing: it takes the row's lock on PostgreSQL and the database's on SQLite until the unit ends.
        self.hold = update(table).where(this).values(state=table.c.state).returning(table)
        self.polled = (
            update(table).where(this).values(interval=bindparam("b_interval"), polled_at=bindparam("b_polled_at"))
        )
        self.answer = (
            update(table)
            .where(this, waits)
            .values(state=bindparam("b_state"), grant_id=bindparam("b_grant_id"))
            .returning(table.c.digest)
        )
        self.consume = (
            update(table)
            .where(this, table.c.state == ApprovalState.APPROVED.value, table.c.used_at.is_(None))
            .values(used_at=bindparam("b_now"))
            .returning(table.c.grant_id)
        )
        self.used = select(table.c.grant_id).where(this, table.c.used_at.is_not(None))


_DEVICE: Final = _Statements(device_codes)
_OPEN_DEVICE: Final = per_engine(
    lambda insert: (
        insert(device_codes)
        .on_conflict_do_nothing(index_elements=["user_code_digest"])
        .returning(device_codes.c.digest)
    )
)
_PENDING_DEVICE: Final = select(device_codes).where(
    device_codes.c.user_code_digest == bindparam("b_user_code_digest"), _DEVICE.waits
)
_BACKCHANNEL: Final = _Statements(backchannel_requests)
_OPEN_BACKCHANNEL: Final = insert(backchannel_requests)
_PENDING_BACKCHANNEL: Final = select(backchannel_requests).where(
    backchannel_requests.c.digest == bindparam("b_digest"),
    _BACKCHANNEL.waits,
    backchannel_requests.c.account.is_not(None),
)
_untold = (
    backchannel_requests.c.notification_sealed.is_not(None)
    & (backchannel_requests.c.state != ApprovalState.PENDING.value)
    & (backchannel_requests.c.notification_tries < bindparam("b_most"))
    & (backchannel_requests.c.expires_at > bindparam("b_now"))
)
_CLAIM: Final = (
    update(backchannel_requests)
    .where(backchannel_requests.c.digest == bindparam("b_digest"), _untold)
    .values(notification_tries=backchannel_requests.c.notification_tries + bindparam("b_one"))
    .returning(backchannel_requests.c.client_id, backchannel_requests.c.notification_sealed)
)
_TOLD: Final = (
    update(backchannel_requests)
    .where(backchannel_requests.c.digest == bindparam("b_digest"))
    .values(notification_sealed=bindparam("b_nothing"))
)
_BATCH: Final = 100
_UNTOLD: Final = select(backchannel_requests.c.digest).where(_untold).limit(_BATCH)


class _SQLApprovals:
    """Fulfils approval_ports.ApprovalStore."""

    __slots__ = ("_statements", "_work")

    def __init__(self, work: Work, statements: _Statements) -> None:
        self._work = work
        self._statements = statements

    def hold(self, digest: bytes) -> Approval | None:
        row = self._work.write(self._statements.hold, b_digest=digest).one_or_none()
        return None if row is None else _approval(row)

    def polled(self, digest: bytes, *, interval: int, now: datetime) -> None:
        self._work.write(self._statements.polled, b_digest=digest, b_interval=interval, b_polled_at=now)

    def approve(self, digest: bytes, grant: Grant, *, now: datetime) -> bool:
        SQLGrants(self._work).open(grant)
        if self._answered(digest, ApprovalState.APPROVED, grant.grant_id, now):
            return True
        SQLGrants(self._work).end(grant.grant_id, now=now)
        return False

    def deny(self, digest: bytes, *, now: datetime) -> bool:
        return self._answered(digest, ApprovalState.DENIED, None, now)

    def _answered(self, digest: bytes, state: ApprovalState, grant_id: GrantID | None, now: datetime) -> bool:
        return self._work.changes(
            self._statements.answer, b_digest=digest, b_state=state.value, b_grant_id=grant_id, b_now=now
        )

    def consume(self, digest: bytes, *, now: datetime) -> Grant | None:
        row = self._work.write(self._statements.consume, b_digest=digest, b_now=now).one_or_none()
        return None if row is None else SQLGrants(self._work).get(GrantID(row.grant_id))

    def used(self, digest: bytes) -> GrantID | None:
        row = self._work.read(self._statements.used, b_digest=digest).one_or_none()
        return None if row is None else GrantID(row.grant_id)


def _with_device(row: Any) -> Approval:
    if row.device is None:
        return _approval(row)
    told = json.loads(row.device)
    kind = None if told["kind"] is None else DeviceKind(told["kind"])
    return replace(_approval(row), device=Device(**{**told, "kind": kind}))


class SQLDeviceCodes(_SQLApprovals):
    """Fulfils approval_ports.DeviceCodeStore."""

    __slots__ = ()

    def __init__(self, work: Work) -> None:
        super().__init__(work, _DEVICE)

    def hold(self, digest: bytes) -> Approval | None:
        row = self._work.write(_DEVICE.hold, b_digest=digest).one_or_none()
        return None if row is None else _with_device(row)

    def open(self, approval: Approval, *, user_code_digest: bytes) -> bool:
        device = None if approval.device is None else json.dumps(asdict(approval.device))
        return self._work.changes(_OPEN_DEVICE, user_code_digest=user_code_digest, device=device, **_values(approval))

    def pending(self, user_code_digest: bytes, *, now: datetime) -> Approval | None:
        row = self._work.read(_PENDING_DEVICE, b_user_code_digest=user_code_digest, b_now=now).one_or_none()
        return None if row is None else _with_device(row)


class SQLBackchannelRequests(_SQLApprovals):
    """Fulfils approval_ports.BackchannelRequestStore."""

    __slots__ = ()

    def __init__(self, work: Work) -> None:
        super().__init__(work, _BACKCHANNEL)

    def open(self, approval: Approval, *, account: AccountID | None, notification: bytes | None) -> None:
        self._work.write(
            _OPEN_BACKCHANNEL,
            account=account,
            notification_sealed=notification,
            notification_tries=0,
            **_values(approval),
        )

    def pending(self, digest: bytes, *, now: datetime) -> Approval | None:
        row = self._work.read(_PENDING_BACKCHANNEL, b_digest=digest, b_now=now).one_or_none()
        return None if row is None else _approval(row)

    def claim(self, digest: bytes, *, most: int, now: datetime) -> tuple[ClientID, bytes] | None:
        row = self._work.write(_CLAIM, b_digest=digest, b_most=most, b_now=now, b_one=1).one_or_none()
        return None if row is None else (ClientID(row.client_id), row.notification_sealed)

    def told(self, digest: bytes) -> None:
        self._work.write(_TOLD, b_digest=digest, b_nothing=None)

    def untold(self, *, most: int, now: datetime) -> tuple[bytes, ...]:
        rows = self._work.read(_UNTOLD, b_most=most, b_now=now)
        return tuple(row.digest for row in rows)


def _values(approval: Approval) -> Mapping[str, Any]:
    return {
        "digest": approval.digest,
        "client_id": approval.client_id,
        "request": to_json(approval.request),
        "state": approval.state.value,
        "interval": approval.interval,
        "expires_at": approval.expires_at,
    }


def _approval(row: Any) -> Approval:
    return Approval(
        digest=row.digest,
        client_id=ClientID(row.client_id),
        request=from_json(row.request),
        state=ApprovalState(row.state),
        interval=row.interval,
        polled_at=row.polled_at,
        expires_at=row.expires_at,
        used=row.used_at is not None,
    )
