"""Whether accounts may be used, and the numbers people name them by (people_ports.StandingStore)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, delete, null, select, update

from broker.accounts.account import State
from broker.errors import StoreUnavailable
from broker.ids import AccountID, CredentialID
from broker.storage.schema import accounts, credentials, support_numbers
from broker.storage.work import Work, can_hold, per_engine

_this = accounts.c.account == bindparam("b_account")
_open = _this & accounts.c.stopped_at.is_(None) & accounts.c.deleted_at.is_(None)
_STATE = select(accounts.c.stopped_at, accounts.c.deleted_at, accounts.c.created_at).where(_this)
_STOP = update(accounts).where(_open).values(stopped_at=bindparam("b_now")).returning(accounts.c.account)
_REOPEN = (
    update(accounts)
    .where(_this, accounts.c.stopped_at.is_not(None))
    .values(stopped_at=null())
    .returning(accounts.c.account)
)
_BURY = update(accounts).where(_open).values(deleted_at=bindparam("b_now")).returning(accounts.c.account)
_WIPE = update(credentials).where(credentials.c.account == bindparam("b_account")).values(serial_sealed=b"")
_RESEAL = (
    update(credentials)
    .where(credentials.c.account == bindparam("b_account"), credentials.c.credential_id == bindparam("b_credential"))
    .values(serial_sealed=bindparam("b_serial_sealed"))
)
_REVIVE = (
    update(accounts)
    .where(_this, accounts.c.deleted_at.is_not(None))
    .values(deleted_at=null(), created_at=bindparam("b_now"))
    .returning(accounts.c.account)
)
_NUMBER = select(support_numbers.c.number).where(support_numbers.c.account == bindparam("b_account"))
_GIVE_NUMBER = per_engine(
    lambda insert: insert(support_numbers).on_conflict_do_nothing().returning(support_numbers.c.number)
)
_NUMBERED = select(support_numbers.c.account).where(support_numbers.c.number == bindparam("b_number"))
_DROP_NUMBER = delete(support_numbers).where(support_numbers.c.account == bindparam("b_account"))


class SQLStandings:
    """Fulfils people_ports.StandingStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def state(self, account: AccountID) -> State | None:
        row = self._work.read(_STATE, b_account=account).one_or_none()
        if row is None:
            return None
        if row.deleted_at is not None:
            return State.DELETED
        return State.OPEN if row.stopped_at is None else State.STOPPED

    def began_at(self, account: AccountID) -> datetime | None:
        row = self._work.read(_STATE, b_account=account).one_or_none()
        began: datetime | None = None if row is None else row.created_at
        return began

    def stop(self, account: AccountID, *, now: datetime) -> bool:
        return self._work.changes(_STOP, b_account=account, b_now=now)

    def reopen(self, account: AccountID) -> bool:
        return self._work.changes(_REOPEN, b_account=account)

    def bury(self, account: AccountID, *, now: datetime) -> bool:
        if not self._work.changes(_BURY, b_account=account, b_now=now):
            return False
        self._work.write(_WIPE, b_account=account)
        self._work.write(_DROP_NUMBER, b_account=account)
        return True

    def revive(self, account: AccountID, *, credential: CredentialID, serial_sealed: bytes, now: datetime) -> bool:
        if not self._work.changes(_REVIVE, b_account=account, b_now=now):
            return False
        self._work.write(_RESEAL, b_account=account, b_credential=credential, b_serial_sealed=serial_sealed)
        return True

    def support_number(self, account: AccountID, *, fresh: str) -> str:
        known: str | None = self._work.read(_NUMBER, b_account=account).scalar_one_or_none()
        if known is None:
            self._work.write(_GIVE_NUMBER, account=account, number=fresh)
            known = self._work.read(_NUMBER, b_account=account).scalar_one_or_none()
        if known is None:
            raise StoreUnavailable("another account has this support number")
        return known

    def numbered(self, number: str) -> AccountID | None:
        if not can_hold(number):
            return None
        found = self._work.read(_NUMBERED, b_number=number).scalar_one_or_none()
        return None if found is None else AccountID(found)
