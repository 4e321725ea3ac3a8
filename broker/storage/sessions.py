"""Login sessions, found by the SHA-256 of their cookie (ports.SessionStore)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from broker.accounts.session import Session
from broker.ids import AccountID, ClientID, CredentialID, KioskID, SessionID, Subject
from broker.storage.schema import codes, grants, sessions
from broker.storage.work import Work, can_hold, maybe

_is_open = (sessions.c.digest == bindparam("b_digest")) & sessions.c.ended_at.is_(None)
_OPEN = insert(sessions)
_GET = select(sessions).where(_is_open)
_NAMED = select(sessions).where(sessions.c.session_id == bindparam("b_session_id"), sessions.c.ended_at.is_(None))
_OF = select(sessions).where(sessions.c.account == bindparam("b_account"), sessions.c.ended_at.is_(None))
_AT = select(sessions).where(sessions.c.kiosk_id == bindparam("b_kiosk_id"), sessions.c.ended_at.is_(None))
_LEFT = select(sessions).where(
    sessions.c.kiosk_id.is_not(None),
    sessions.c.ended_at.is_(None),
    sessions.c.authenticated_at <= bindparam("b_before"),
)
_TOUCH = (
    update(sessions)
    .where(_is_open, sessions.c.last_used_at < bindparam("b_now"))  # two requests may finish in the other order
    .values(last_used_at=bindparam("b_now"))
)
_SUPERSEDE = update(sessions).where(_is_open).values(superseded_at=bindparam("b_now"))
_END = update(sessions).where(_is_open).values(ended_at=bindparam("b_now")).returning(sessions.c.digest)
_DROP_CODES = delete(codes).where(
    codes.c.grant_id.in_(select(grants.c.grant_id).where(grants.c.session_digest == bindparam("b_digest"))),
    codes.c.used_at.is_(None),
)


class SQLSessions:
    """Fulfils ports.SessionStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def open(self, session: Session) -> None:
        self._work.write(
            _OPEN,
            digest=session.digest,
            session_id=session.session_id,
            account=session.account,
            credential=session.credential,
            client_id=session.client_id,
            subject=session.subject,
            authenticated_at=session.authenticated_at,
            last_used_at=session.last_used_at,
            kiosk_id=session.kiosk_id,
        )

    def get(self, digest: bytes) -> Session | None:
        row = self._work.read(_GET, b_digest=digest).one_or_none()
        return None if row is None else _session(row)

    def named(self, session_id: SessionID) -> Session | None:
        if not can_hold(session_id):
            return None
        row = self._work.read(_NAMED, b_session_id=session_id).one_or_none()
        return None if row is None else _session(row)

    def of(self, account: AccountID) -> tuple[Session, ...]:
        return tuple(_session(row) for row in self._work.read(_OF, b_account=account).all())

    def at(self, kiosk_id: KioskID) -> tuple[Session, ...]:
        return tuple(_session(row) for row in self._work.read(_AT, b_kiosk_id=kiosk_id).all())

    def left_at_kiosks(self, *, began_before: datetime) -> tuple[Session, ...]:
        return tuple(_session(row) for row in self._work.read(_LEFT, b_before=began_before).all())

    def touch(self, digest: bytes, *, now: datetime) -> None:
        self._work.write(_TOUCH, b_digest=digest, b_now=now)

    def supersede(self, digest: bytes, *, now: datetime) -> None:
        self._work.write(_SUPERSEDE, b_digest=digest, b_now=now)

    def end(self, digest: bytes, *, now: datetime) -> bool:
        ended = self._work.changes(_END, b_digest=digest, b_now=now)
        if ended:
            self._work.write(_DROP_CODES, b_digest=digest)
        return ended


def _session(row: Any) -> Session:
    return Session(
        digest=row.digest,
        session_id=SessionID(row.session_id),
        account=AccountID(row.account),
        credential=CredentialID(row.credential),
        client_id=ClientID(row.client_id),
        subject=Subject(row.subject),
        authenticated_at=row.authenticated_at,
        last_used_at=row.last_used_at,
        superseded=row.superseded_at is not None,
        kiosk_id=maybe(KioskID, row.kiosk_id),
    )
