"""Recovery codes by their keyed digests (people_ports.RecoveryCodeStore)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, delete, func, insert, select, update

from broker.ids import AccountID
from broker.storage.schema import recovery_codes
from broker.storage.work import Work

_of_account = recovery_codes.c.account == bindparam("b_account")
_ADD = insert(recovery_codes)
_USE = (
    update(recovery_codes)
    .where(recovery_codes.c.digest == bindparam("b_digest"), recovery_codes.c.used_at.is_(None))
    .values(used_at=bindparam("b_now"))
    .returning(recovery_codes.c.account)
)
_LEFT = select(
    func.count().label("unused"), func.max(recovery_codes.c.made_at, type_=recovery_codes.c.made_at.type).label("made")
).where(_of_account, recovery_codes.c.used_at.is_(None))
_FORGET = delete(recovery_codes).where(_of_account)


class SQLRecoveryCodes:
    """Fulfils people_ports.RecoveryCodeStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def replace(self, account: AccountID, digests: Sequence[bytes], *, now: datetime) -> None:
        self._work.write(_FORGET, b_account=account)
        for digest in digests:
            self._work.write(_ADD, digest=digest, account=account, made_at=now)

    def use(self, digest: bytes, *, now: datetime) -> AccountID | None:
        account = self._work.write(_USE, b_digest=digest, b_now=now).scalar_one_or_none()
        return None if account is None else AccountID(account)

    def left(self, account: AccountID) -> tuple[int, datetime | None]:
        row = self._work.read(_LEFT, b_account=account).one()
        return row.unused, row.made

    def forget(self, account: AccountID) -> None:
        self._work.write(_FORGET, b_account=account)
