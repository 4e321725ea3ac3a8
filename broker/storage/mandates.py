"""Powers of attorney (mandate_ports.MandateStore): each change of state is one statement that names where it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    ColumnElement,
    Integer,
    Update,
    and_,
    bindparam,
    func,
    insert,
    literal,
    or_,
    select,
    union_all,
    update,
)

from broker.delegation.acts import Kind
from broker.delegation.life import ENDED, STEPS, Deed, Role, State
from broker.delegation.statement import StatementKind
from broker.flows.mandate_ports import LISTED, Epoch, Mandate, Part, Unended
from broker.ids import AccountID, MandateNumber
from broker.storage.mandate_papers import KINDS, SQLMandatePapers
from broker.storage.schema import mandate_parts, mandates, status_epochs
from broker.storage.work import Work, can_hold

_rows = mandates.c
_STATEMENT = "statement."
_parts = mandate_parts.c
_this = _rows.number == bindparam("b_number")


def _in(states: frozenset[State]) -> ColumnElement[bool]:
    return or_(*(_rows.state == state.value for state in sorted(states)))


def _change(begins: frozenset[State], **values: Any) -> Update:
    return (
        update(mandates)
        .where(_this, _in(begins))
        .values(changed_at=bindparam("b_now"), **values)
        .returning(_rows.number)
    )


def _lead(deed: Deed) -> Update:
    return _change(STEPS[deed].begins, state=STEPS[deed].leads.value, resume_origin=None, resume_index=None)


_APPROVE, _ACCEPT, _VERIFY = _lead(Deed.APPROVE), _lead(Deed.ACCEPT), _lead(Deed.VERIFY)
_WITNESS, _SUPERSEDE, _EXPIRE = _lead(Deed.WITNESS), _lead(Deed.SUPERSEDE), _lead(Deed.EXPIRE)
_SUSPEND, _REVOKE, _ABANDON = _lead(Deed.SUSPEND), _lead(Deed.REVOKE), _lead(Deed.ABANDON)
_RESUME = _lead(Deed.RESUME).where(_rows.blocked_at.is_(None))
_BLOCK = _change(
    STEPS[Deed.REVOKE].begins,
    state=State.SUSPENDED.value,
    resume_origin=None,
    resume_index=None,
    blocked_at=bindparam("b_now"),
).where(_rows.blocked_at.is_(None))
_UNBLOCK = _change(frozenset({State.SUSPENDED}), blocked_at=None).where(_rows.blocked_at.is_not(None))
_SIGN = _change(STEPS[Deed.SIGN].begins, state=bindparam("b_leads"), grant_sealed=bindparam("b_grant"))
_LOG = _change(
    STEPS[Deed.LOG].begins,
    state=STEPS[Deed.LOG].leads.value,
    status_index=bindparam("b_index"),
    record_sealed=bindparam("b_record"),
    salt_sealed=bindparam("b_salt"),
    document_sealed=bindparam("b_document"),
    log_origin=bindparam("b_log_origin"),
    log_index=bindparam("b_log_index"),
)
_SEAL = _change(STEPS[Deed.SEAL].begins, state=STEPS[Deed.SEAL].leads.value, document_sealed=bindparam("b_document"))
_ASK_RESUME = _change(
    STEPS[Deed.RESUME].begins, resume_origin=bindparam("b_log_origin"), resume_index=bindparam("b_log_index")
).where(_rows.blocked_at.is_(None))
_LOCK = update(mandates).where(_this).values(number=_rows.number).returning(_rows.state)
_ADD = insert(mandates)
_GET = select(mandates).where(_this)
_PLACE = select(_rows.number).where(_rows.status_index == bindparam("b_index"))
_limit = bindparam("b_limit", type_=Integer)
_without_document = [column for column in mandates.columns if column is not _rows.document_sealed]
_OF = (
    select(*_without_document, _parts.role.label("part_role"))
    .join(mandate_parts, _parts.number == _rows.number)
    .where(_parts.account == bindparam("b_account"), _rows.kind.like(bindparam("b_kinds")))
    .order_by(_rows.created_at.desc(), _rows.number)
    .limit(_limit)
)
_mark = mandates.alias("mark")
_marked_at = select(_mark.c.created_at).where(_mark.c.number == bindparam("b_older_than")).scalar_subquery()
_OF_OLDER = _OF.where(
    or_(
        _rows.created_at < _marked_at,
        and_(_rows.created_at == _marked_at, _rows.number > bindparam("b_older_than")),
    )
)
_UNENDED = (
    select(_rows.number, _rows.kind, _parts.role.label("part_role"))
    .join(mandate_parts, _parts.number == _rows.number)
    .where(
        _parts.account == bindparam("b_account"),
        or_(_parts.role == Role.PRINCIPAL.value, _parts.role == Role.AGENT.value),
        _rows.kind.like(KINDS[False]),
        _in(frozenset(State) - ENDED),
        _rows.number > bindparam("b_after"),
    )
    .order_by(_rows.number)
    .limit(_limit)
)
_IN_FORCE = (
    select(_parts.role.label("part_role"), func.count().label("held"))
    .join(mandates, _rows.number == _parts.number)
    .where(
        _parts.account == bindparam("b_account"),
        _rows.kind.like(KINDS[False]),
        _rows.state == State.ACTIVE.value,
    )
    .group_by(_parts.role)
)
_CHILDREN = select(_rows.number).where(_rows.parent == bindparam("b_number"))
_WAITING = (
    select(_rows.number).where(_rows.state == bindparam("b_state")).order_by(_rows.changed_at, _rows.number).limit(100)
)
_RESUMING = select(mandates).where(_rows.state == State.SUSPENDED.value, _rows.resume_index.is_not(None)).limit(100)
_OVERDUE = union_all(
    select(_rows.number, literal(Deed.EXPIRE.value).label("deed")).where(
        _in(STEPS[Deed.EXPIRE].begins), _rows.ends <= bindparam("b_now")
    ),
    select(_rows.number, literal(Deed.ABANDON.value).label("deed")).where(
        _in(STEPS[Deed.ABANDON].begins),
        or_(_rows.ends <= bindparam("b_now"), _rows.changed_at <= bindparam("b_before")),
    ),
).limit(1000)
_LISTED = select(_rows.number, _rows.status_index, _rows.state, _rows.parent).where(_rows.status_index.is_not(None))

_ADD_PART = insert(mandate_parts)
_PARTS = select(mandate_parts).where(_parts.number == bindparam("b_number")).order_by(_parts.role, _parts.part_id)
_open_invitation = (
    (_parts.invitation_digest == bindparam("b_digest"))
    & _parts.account.is_(None)
    & (_parts.invited_until > bindparam("b_now"))
)
_INVITED = select(mandate_parts).where(_open_invitation)
_TAKE = (
    update(mandate_parts)
    .where(_open_invitation)
    .values(account=bindparam("b_account"))
    .returning(*mandate_parts.columns)
)
_DID = (
    update(mandate_parts)
    .where(_parts.number == bindparam("b_number"), _parts.part_id == bindparam("b_part_id"), _parts.done_at.is_(None))
    .values(done_at=bindparam("b_now"))
    .returning(_parts.part_id)
)
_PUBLISH = insert(status_epochs)
_EPOCH = (
    select(status_epochs)
    .where(status_epochs.c.list_uri == bindparam("b_uri"), status_epochs.c.at <= bindparam("b_at"))
    .order_by(status_epochs.c.at.desc())
    .limit(1)
)


class SQLMandates(SQLMandatePapers):
    """Fulfils mandate_ports.MandateStore."""

    __slots__ = ()
    _MOVES: ClassVar[Mapping[Deed, Update]] = {
        Deed.APPROVE: _APPROVE,
        Deed.ACCEPT: _ACCEPT,
        Deed.VERIFY: _VERIFY,
        Deed.WITNESS: _WITNESS,
        Deed.SUSPEND: _SUSPEND,
        Deed.RESUME: _RESUME,
        Deed.REVOKE: _REVOKE,
        Deed.SUPERSEDE: _SUPERSEDE,
        Deed.EXPIRE: _EXPIRE,
        Deed.ABANDON: _ABANDON,
    }

    def __init__(self, work: Work) -> None:
        super().__init__(work)

    def draft(self, mandate: Mandate, parts: Sequence[Part]) -> None:
        if mandate.state is not State.DRAFT:
            raise ValueError("a mandate begins as a draft")
        self._work.write(
            _ADD,
            number=mandate.number,
            kind=mandate.kind.value,
            state=mandate.state.value,
            grant_sealed=mandate.grant_sealed,
            begins=mandate.begins,
            ends=mandate.ends,
            created_at=mandate.created_at,
            changed_at=mandate.changed_at,
            parent=mandate.parent,
            supersedes=mandate.supersedes,
        )
        for part in parts:
            self._work.write(
                _ADD_PART,
                number=mandate.number,
                part_id=part.part_id,
                role=part.role.value,
                account=part.account,
                invitation_digest=part.invitation_digest,
                invited_until=part.invited_until,
            )

    def get(self, number: MandateNumber) -> Mandate | None:
        if not can_hold(number):
            return None
        row = self._work.read(_GET, b_number=number).one_or_none()
        return None if row is None else _mandate(row, document_sealed=row.document_sealed)

    def lock(self, number: MandateNumber) -> State | None:
        if not can_hold(number):
            return None
        state = self._work.write(_LOCK, b_number=number).scalar_one_or_none()
        return None if state is None else State(state)

    def move(self, number: MandateNumber, deed: Deed, *, now: datetime) -> bool:
        return self._work.changes(self._MOVES[deed], b_number=number, b_now=now)

    def sign(self, number: MandateNumber, grant_sealed: bytes, *, leads: State, now: datetime) -> bool:
        return self._work.changes(_SIGN, b_number=number, b_grant=grant_sealed, b_leads=leads.value, b_now=now)

    def log(self, mandate: Mandate, *, now: datetime) -> bool:
        return self._work.changes(
            _LOG,
            b_number=mandate.number,
            b_index=mandate.status_index,
            b_record=mandate.record_sealed,
            b_salt=mandate.salt_sealed,
            b_document=mandate.document_sealed,
            b_log_origin=mandate.log_origin,
            b_log_index=mandate.log_index,
            b_now=now,
        )

    def seal(self, number: MandateNumber, document_sealed: bytes, *, now: datetime) -> bool:
        return self._work.changes(_SEAL, b_number=number, b_document=document_sealed, b_now=now)

    def ask_resume(self, number: MandateNumber, *, origin: str, index: int, now: datetime) -> bool:
        return self._work.changes(_ASK_RESUME, b_number=number, b_log_origin=origin, b_log_index=index, b_now=now)

    def block(self, number: MandateNumber, *, now: datetime) -> bool:
        return self._work.changes(_BLOCK, b_number=number, b_now=now)

    def unblock(self, number: MandateNumber, *, now: datetime) -> bool:
        return self._work.changes(_UNBLOCK, b_number=number, b_now=now)

    def place_taken(self, index: int) -> bool:
        return self._work.finds(_PLACE, b_index=index)

    def of(
        self,
        account: AccountID,
        *,
        statements: bool = False,
        older_than: MandateNumber | None = None,
        limit: int = LISTED,
    ) -> tuple[tuple[Mandate, Role], ...]:
        whose: dict[str, Any] = {"b_account": account, "b_kinds": KINDS[statements], "b_limit": limit}
        if older_than is None:
            rows = self._work.read(_OF, **whose)
        elif can_hold(older_than):
            rows = self._work.read(_OF_OLDER, **whose, b_older_than=older_than)
        else:
            return ()
        return tuple((_mandate(row, document_sealed=None), Role(row.part_role)) for row in rows)

    def unended(
        self, account: AccountID, *, after: MandateNumber | None = None, limit: int = LISTED
    ) -> tuple[Unended, ...]:
        rows = self._work.read(_UNENDED, b_account=account, b_after=after or "", b_limit=limit)
        return tuple(
            Unended(number=MandateNumber(row.number), kind=Kind(row.kind), role=Role(row.part_role)) for row in rows
        )

    def in_force(self, account: AccountID) -> Mapping[Role, int]:
        return {Role(row.part_role): row.held for row in self._work.read(_IN_FORCE, b_account=account)}

    def children(self, number: MandateNumber) -> tuple[MandateNumber, ...]:
        return tuple(MandateNumber(row.number) for row in self._work.read(_CHILDREN, b_number=number))

    def waiting(self, state: State) -> tuple[MandateNumber, ...]:
        return tuple(MandateNumber(row.number) for row in self._work.read(_WAITING, b_state=state.value))

    def resuming(self) -> tuple[Mandate, ...]:
        return tuple(_mandate(row, document_sealed=row.document_sealed) for row in self._work.read(_RESUMING))

    def overdue(self, *, now: datetime, drafts_before: datetime) -> tuple[tuple[MandateNumber, Deed], ...]:
        rows = self._work.read(_OVERDUE, b_now=now, b_before=drafts_before)
        return tuple((MandateNumber(row.number), Deed(row.deed)) for row in rows)

    def listed(self) -> Mapping[MandateNumber, tuple[int, State, MandateNumber | None]]:
        return {
            MandateNumber(row.number): (row.status_index, State(row.state), row.parent)
            for row in self._work.read(_LISTED)
        }

    # --- the parties -------------------------------------------------------------------------------------------------

    def parts(self, number: MandateNumber) -> tuple[Part, ...]:
        if not can_hold(number):
            return ()
        return tuple(_part(row) for row in self._work.read(_PARTS, b_number=number))

    def invited(self, digest: bytes, *, now: datetime) -> Part | None:
        row = self._work.read(_INVITED, b_digest=digest, b_now=now).one_or_none()
        return None if row is None else _part(row)

    def take(self, digest: bytes, account: AccountID, *, now: datetime) -> Part | None:
        row = self._work.write(_TAKE, b_digest=digest, b_account=account, b_now=now).one_or_none()
        return None if row is None else _part(row)

    def did(self, number: MandateNumber, part_id: str, *, now: datetime) -> bool:
        return self._work.changes(_DID, b_number=number, b_part_id=part_id, b_now=now)

    # --- the status list ---------------------------------------------------------------------------------------------

    def publish(self, epoch: Epoch) -> None:
        self._work.write(
            _PUBLISH,
            list_uri=epoch.list_uri,
            at=epoch.at,
            token=epoch.token,
            log_origin=epoch.log_origin,
            log_index=epoch.log_index,
        )

    def epoch(self, list_uri: str, *, at: datetime) -> Epoch | None:
        row = self._work.read(_EPOCH, b_uri=list_uri, b_at=at).one_or_none()
        if row is None:
            return None
        return Epoch(
            list_uri=row.list_uri, at=row.at, token=row.token, log_origin=row.log_origin, log_index=row.log_index
        )


def _mandate(row: Any, *, document_sealed: bytes | None) -> Mandate:
    return Mandate(
        number=MandateNumber(row.number),
        kind=StatementKind(row.kind) if row.kind.startswith(_STATEMENT) else Kind(row.kind),
        state=State(row.state),
        grant_sealed=row.grant_sealed,
        begins=row.begins,
        ends=row.ends,
        created_at=row.created_at,
        changed_at=row.changed_at,
        parent=row.parent,
        supersedes=row.supersedes,
        status_index=row.status_index,
        record_sealed=row.record_sealed,
        salt_sealed=row.salt_sealed,
        document_sealed=document_sealed,
        log_origin=row.log_origin,
        log_index=row.log_index,
        resume_origin=row.resume_origin,
        resume_index=row.resume_index,
        principal_good_at=row.principal_good_at,
        blocked_at=row.blocked_at,
    )


def _part(row: Any) -> Part:
    return Part(
        number=MandateNumber(row.number),
        part_id=row.part_id,
        role=Role(row.role),
        account=row.account,
        done_at=row.done_at,
        invitation_digest=row.invitation_digest,
        invited_until=row.invited_until,
    )
