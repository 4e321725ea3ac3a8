"""Links (官民ID連携): what was asked, and what is bound (link_ports.LinkStore)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Row, bindparam, exists, func, insert, literal, or_, select, update

from broker.accounts.credential import CredentialKey
from broker.accounts.link import AlarmKind, Ending, Link, LinkAlarm, LinkRequest, LinkState, Start
from broker.ids import AccountID, ClientID, LinkID, Subject, TransactionID
from broker.storage.schema import accounts, clients, link_alarms, link_counts, link_requests, links, subjects
from broker.storage.work import Work, can_hold, maybe, per_engine

# --- what is asked ---------------------------------------------------------------------------------------------------

BATCH: Final = 1000
"""Rows that are looked at in one go."""

_ASK = insert(link_requests)
_waits = link_requests.c.used_at.is_(None) & (link_requests.c.expires_at > bindparam("b_now"))
_waiting = (link_requests.c.digest == bindparam("b_digest")) & _waits
_ASKED = select(link_requests).where(_waiting)
_WAITS = select(link_requests.c.link_id).where(
    link_requests.c.link_id == bindparam("b_link_id"), link_requests.c.client_id == bindparam("b_client_id"), _waits
)
_START = (
    update(link_requests)
    .where(
        _waiting,
        or_(
            link_requests.c.account.is_(None),
            (link_requests.c.account == bindparam("b_account"))
            & (link_requests.c.issuer_key_hash == bindparam("b_issuer_key_hash"))
            & (link_requests.c.serial_fingerprint == bindparam("b_serial_fingerprint")),
        ),
    )
    .values(
        account=bindparam("b_account"),
        issuer_key_hash=bindparam("b_issuer_key_hash"),
        serial_fingerprint=bindparam("b_serial_fingerprint"),
        start_transaction=bindparam("b_start_transaction"),
        frame_sealed=bindparam("b_frame_sealed"),
    )
    .returning(link_requests.c.digest)
)
_USE = update(link_requests).where(_waiting).values(used_at=bindparam("b_now")).returning(link_requests)
_STUMBLED = (
    update(link_requests)
    .where(link_requests.c.digest == bindparam("b_digest"))
    .values(refusals=link_requests.c.refusals + 1)
)

# --- what is bound ---------------------------------------------------------------------------------------------------

_is_active = links.c.state == LinkState.ACTIVE.value
_has_ended = links.c.state == LinkState.ENDED.value
_one = links.c.link_id == bindparam("b_link_id")
_theirs = (links.c.client_id == bindparam("b_client_id")) & (links.c.account == bindparam("b_account"))
_ADD = per_engine(lambda insert_into: insert_into(links).on_conflict_do_nothing().returning(links.c.link_id))
_GET = select(links).where(_one)
_ACTIVE = select(links).where(_theirs, _is_active)
_EARLIER = (
    select(links)
    .where(_theirs, or_(_is_active, _has_ended))
    .order_by(links.c.state, links.c.committed_at.desc())  # "active" before "ended"
    .limit(1)
)
_same_number = (
    (links.c.client_id == bindparam("b_client_id"))
    & (links.c.value_fingerprint == bindparam("b_fingerprint"))
    & (links.c.account != bindparam("b_account"))
    & links.c.source.is_(None)
)
_RIVAL = select(links).where(_same_number, _is_active)
_RIVAL_EVER = (
    select(links)
    .where(_same_number, or_(_is_active, _has_ended))
    .order_by(links.c.state, links.c.committed_at.desc())
    .limit(1)
)
_OF = select(links).where(links.c.account == bindparam("b_account")).order_by(links.c.committed_at.desc())
_other = links.alias("other")
_in_the_way = (
    exists()
    .where(
        _other.c.state == LinkState.ACTIVE.value,
        _other.c.client_id == links.c.client_id,
        or_(
            _other.c.account == links.c.account,
            (_other.c.value_fingerprint == links.c.value_fingerprint)
            & _other.c.source.is_(None)
            & links.c.source.is_(None),
        ),
    )
    .correlate(links)
)
_ACTIVATE = (
    update(links)
    .where(_one, links.c.state == LinkState.HELD.value, ~_in_the_way)
    .values(state=LinkState.ACTIVE.value, active_at=bindparam("b_now"))
    .returning(links.c.link_id)
)
_ended = {"state": LinkState.ENDED.value, "ended_at": bindparam("b_now"), "ended_because": bindparam("b_because")}
_END = update(links).where(_one, ~_has_ended).values(_ended).returning(links.c.link_id)
_END_ALL = update(links).where(links.c.account == bindparam("b_account"), ~_has_ended).values(_ended).returning(links)
_END_AT = _END_ALL.where(links.c.client_id == bindparam("b_client_id"))
_FORGET = (
    update(links)
    .where(links.c.account == bindparam("b_account"), _has_ended, links.c.value_sealed != b"")
    .values(value_sealed=literal(b""))
)
_OVERDUE = (
    select(links)
    .where(links.c.state == LinkState.HELD.value, links.c.committed_at <= bindparam("b_before"))
    .order_by(links.c.committed_at)
    .limit(BATCH)
)
_BATCH = select(links).where(links.c.link_id > bindparam("b_after"), _is_active).order_by(links.c.link_id).limit(BATCH)

# --- what R6, R8 and R9 want known -----------------------------------------------------------------------------------

_ALARM = insert(link_alarms)
_ALARMS = select(link_alarms).order_by(link_alarms.c.at.desc()).limit(BATCH)
_OPEN_ALARMS = _ALARMS.where(link_alarms.c.closed_at.is_(None))
_ALARMS_OF = _OPEN_ALARMS.where(link_alarms.c.link_id == bindparam("b_link_id"))
_CLOSE_ALARMS = (
    update(link_alarms)
    .where(link_alarms.c.link_id == bindparam("b_link_id"), link_alarms.c.closed_at.is_(None))
    .values(closed_at=bindparam("b_now"), closed_by=bindparam("b_by"), decision=bindparam("b_decision"))
)
_COUNT = per_engine(
    lambda insert_into: insert_into(link_counts).on_conflict_do_update(
        index_elements=["day", "name"], set_={"times": link_counts.c.times + 1}
    )
)
_COUNTS = select(link_counts.c.name, link_counts.c.times).where(link_counts.c.day == bindparam("b_day"))
_BY_STATE = select(links.c.state, func.count().label("how_many")).group_by(links.c.state)
_TWICE_A_PERSON = select(func.count()).select_from(
    select(links.c.client_id)
    .where(_is_active)
    .group_by(links.c.client_id, links.c.account)
    .having(func.count() > 1)
    .subquery()
)
_TWICE_A_NUMBER = select(func.count()).select_from(
    select(links.c.client_id)
    .where(_is_active, links.c.source.is_(None))
    .group_by(links.c.client_id, links.c.value_fingerprint)
    .having(func.count() > 1)
    .subquery()
)
_WITHOUT_SUBJECT = (
    select(func.count())
    .select_from(links.join(clients, clients.c.client_id == links.c.client_id))
    .where(
        _is_active,
        ~exists()
        .where(subjects.c.account == links.c.account, subjects.c.sector == clients.c.sector)
        .correlate(links, clients),
    )
)
_WITHOUT_ACCOUNT = (
    select(func.count())
    .select_from(links)
    .where(_is_active, ~exists().where(accounts.c.account == links.c.account).correlate(links))
)
_READ_FROM_NOBODY = (
    select(func.count())
    .select_from(links)
    .where(
        _is_active,
        links.c.source.is_not(None),
        ~exists()
        .where(
            _other.c.client_id == links.c.source,
            _other.c.account == links.c.account,
            _other.c.state == LinkState.ACTIVE.value,
            _other.c.source.is_(None),
        )
        .correlate(links),
    )
)
_OPEN_ALARM_COUNT = select(func.count()).select_from(link_alarms).where(link_alarms.c.closed_at.is_(None))
_SURVEY = (
    ("two_numbers_one_card", _TWICE_A_PERSON),
    ("one_number_two_cards", _TWICE_A_NUMBER),
    ("without_subject", _WITHOUT_SUBJECT),
    ("without_account", _WITHOUT_ACCOUNT),
    ("shared_without_source", _READ_FROM_NOBODY),
    ("alarms_open", _OPEN_ALARM_COUNT),
)


class SQLLinks:
    """Fulfils link_ports.LinkStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def ask(self, request: LinkRequest) -> None:
        if request.start is not None or request.refusals:
            raise ValueError("a link is asked for before any card is read")
        self._work.write(
            _ASK,
            digest=request.digest,
            link_id=request.link_id,
            client_id=request.client_id,
            subject=request.subject,
            source=request.source,
            value_sealed=request.value_sealed,
            value_fingerprint=request.value_fingerprint,
            replaces=request.replaces,
            action=request.action,
            expires_at=request.expires_at,
            refusals=0,
        )

    def asked(self, digest: bytes, *, now: datetime) -> LinkRequest | None:
        row = self._work.read(_ASKED, b_digest=digest, b_now=now).one_or_none()
        return None if row is None else _request(row)

    def waits(self, link_id: LinkID, client_id: ClientID, *, now: datetime) -> bool:
        if not can_hold(link_id):
            return False
        return self._work.finds(_WAITS, b_link_id=link_id, b_client_id=client_id, b_now=now)

    def start(self, digest: bytes, start: Start, *, now: datetime) -> bool:
        return self._work.changes(
            _START,
            b_digest=digest,
            b_now=now,
            b_account=start.account,
            b_issuer_key_hash=start.key.issuer_key_hash,
            b_serial_fingerprint=start.key.serial_fingerprint,
            b_start_transaction=start.transaction,
            b_frame_sealed=start.frame_sealed,
        )

    def use(self, digest: bytes, *, now: datetime) -> LinkRequest | None:
        row = self._work.write(_USE, b_digest=digest, b_now=now).one_or_none()
        return None if row is None else _request(row)

    def stumbled(self, digest: bytes) -> None:
        self._work.write(_STUMBLED, b_digest=digest)

    def add(self, link: Link) -> bool:
        return self._work.changes(
            _ADD,
            link_id=link.link_id,
            client_id=link.client_id,
            account=link.account,
            source=link.source,
            value_sealed=link.value_sealed,
            value_fingerprint=link.value_fingerprint,
            state=link.state.value,
            unique_person=link.unique_person,
            committed_at=link.committed_at,
            active_at=link.active_at,
            ended_at=link.ended_at,
            ended_because=None if link.ended_because is None else link.ended_because.value,
            start_transaction=link.start_transaction,
            commit_transaction=link.commit_transaction,
        )

    def get(self, link_id: LinkID) -> Link | None:
        if not can_hold(link_id):
            return None
        row = self._work.read(_GET, b_link_id=link_id).one_or_none()
        return None if row is None else _link(row)

    def active(self, client_id: ClientID, account: AccountID) -> Link | None:
        row = self._work.read(_ACTIVE, b_client_id=client_id, b_account=account).one_or_none()
        return None if row is None else _link(row)

    def earlier(self, client_id: ClientID, account: AccountID) -> Link | None:
        row = self._work.read(_EARLIER, b_client_id=client_id, b_account=account).one_or_none()
        return None if row is None else _link(row)

    def rival(self, client_id: ClientID, fingerprint: bytes, account: AccountID, *, ended: bool) -> Link | None:
        row = self._work.read(
            _RIVAL_EVER if ended else _RIVAL, b_client_id=client_id, b_fingerprint=fingerprint, b_account=account
        ).one_or_none()
        return None if row is None else _link(row)

    def of(self, account: AccountID) -> tuple[Link, ...]:
        return tuple(_link(row) for row in self._work.read(_OF, b_account=account).all())

    def activate(self, link_id: LinkID, *, now: datetime) -> bool:
        return self._work.changes(_ACTIVATE, b_link_id=link_id, b_now=now)

    def end(self, link_id: LinkID, *, because: Ending, now: datetime) -> bool:
        return self._work.changes(_END, b_link_id=link_id, b_now=now, b_because=because.value)

    def end_all(
        self, account: AccountID, *, client_id: ClientID | None, because: Ending, now: datetime
    ) -> tuple[Link, ...]:
        values: dict[str, object] = {"b_account": account, "b_now": now, "b_because": because.value}
        if client_id is None:
            ended = self._work.write(_END_ALL, **values)
        else:
            ended = self._work.write(_END_AT, **values, b_client_id=client_id)
        return tuple(_link(row) for row in ended.all())

    def forget(self, account: AccountID) -> int:
        return self._work.write(_FORGET, b_account=account).rowcount

    def overdue(self, *, before: datetime) -> tuple[Link, ...]:
        return tuple(_link(row) for row in self._work.read(_OVERDUE, b_before=before).all())

    def alarm(self, alarm: LinkAlarm) -> None:
        self._work.write(
            _ALARM,
            alarm_id=alarm.alarm_id,
            at=alarm.at,
            kind=alarm.kind.value,
            client_id=alarm.client_id,
            link_id=alarm.link_id,
            other=alarm.other,
            closed_at=alarm.closed_at,
            closed_by=alarm.closed_by,
            decision=alarm.decision,
        )

    def alarms(self, *, closed: bool) -> tuple[LinkAlarm, ...]:
        return tuple(_alarm(row) for row in self._work.read(_ALARMS if closed else _OPEN_ALARMS).all())

    def alarms_of(self, link_id: LinkID) -> tuple[LinkAlarm, ...]:
        return tuple(_alarm(row) for row in self._work.read(_ALARMS_OF, b_link_id=link_id).all())

    def close_alarms(self, link_id: LinkID, *, by: str, decision: str, now: datetime) -> int:
        return self._work.write(_CLOSE_ALARMS, b_link_id=link_id, b_by=by, b_decision=decision, b_now=now).rowcount

    def count(self, name: str, *, now: datetime) -> None:
        self._work.write(_COUNT, day=now.astimezone(UTC).date().isoformat(), name=name, times=1)

    def counts(self, *, day: str) -> Mapping[str, int]:
        return {row.name: row.times for row in self._work.read(_COUNTS, b_day=day).all()}

    def survey(self) -> Mapping[str, int]:
        found = {row.state: row.how_many for row in self._work.read(_BY_STATE).all()}
        by_state = {state.value: found.get(state.value, 0) for state in LinkState if state is not LinkState.STARTED}
        return by_state | {name: self._work.read(statement).scalar_one() for name, statement in _SURVEY}

    def batch(self, *, after: LinkID) -> tuple[Link, ...]:
        return tuple(_link(row) for row in self._work.read(_BATCH, b_after=after).all())


def _request(row: Row[Any]) -> LinkRequest:
    return LinkRequest(
        digest=row.digest,
        link_id=LinkID(row.link_id),
        client_id=ClientID(row.client_id),
        subject=maybe(Subject, row.subject),
        source=maybe(ClientID, row.source),
        value_sealed=row.value_sealed,
        value_fingerprint=row.value_fingerprint,
        replaces=row.replaces,
        action=row.action,
        expires_at=row.expires_at,
        refusals=row.refusals,
        start=None
        if row.account is None
        else Start(
            account=AccountID(row.account),
            key=CredentialKey(issuer_key_hash=row.issuer_key_hash, serial_fingerprint=row.serial_fingerprint),
            transaction=TransactionID(row.start_transaction),
            frame_sealed=row.frame_sealed,
        ),
    )


def _link(row: Row[Any]) -> Link:
    return Link(
        link_id=LinkID(row.link_id),
        client_id=ClientID(row.client_id),
        account=AccountID(row.account),
        source=maybe(ClientID, row.source),
        value_sealed=row.value_sealed,
        value_fingerprint=row.value_fingerprint,
        state=LinkState(row.state),
        unique_person=row.unique_person,
        committed_at=row.committed_at,
        active_at=row.active_at,
        ended_at=row.ended_at,
        ended_because=maybe(Ending, row.ended_because),
        start_transaction=TransactionID(row.start_transaction),
        commit_transaction=TransactionID(row.commit_transaction),
    )


def _alarm(row: Row[Any]) -> LinkAlarm:
    return LinkAlarm(
        alarm_id=row.alarm_id,
        at=row.at,
        kind=AlarmKind(row.kind),
        client_id=ClientID(row.client_id),
        link_id=LinkID(row.link_id),
        other=maybe(LinkID, row.other),
        closed_at=row.closed_at,
        closed_by=row.closed_by,
        decision=row.decision,
    )
