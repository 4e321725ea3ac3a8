"""Registrations with a platform operator, and how far its notices were taken (flows.notice.NoticeStore)."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from broker.accounts.credential import CredentialKey
from broker.flows.notice import Registration
from broker.storage.schema import notice_marks, registrations
from broker.storage.work import Work, per_engine

_REGISTERED = select(registrations.c.name).where(
    registrations.c.address == bindparam("b_address"),
    registrations.c.issuer_key_hash == bindparam("b_issuer_key_hash"),
    registrations.c.serial_fingerprint == bindparam("b_serial_fingerprint"),
)
_REGISTER = per_engine(lambda insert_into: insert_into(registrations).on_conflict_do_nothing())
_FIND = select(registrations).where(
    registrations.c.address == bindparam("b_address"), registrations.c.name == bindparam("b_name")
)
_TAKEN = select(notice_marks.c.number).where(notice_marks.c.address == bindparam("b_address"))
_TAKE = per_engine(
    lambda insert_into: (
        (new := insert_into(notice_marks))
        .on_conflict_do_update(
            index_elements=["address"],
            set_={"number": new.excluded.number},
            where=notice_marks.c.number == bindparam("b_after"),
        )
        .returning(notice_marks.c.address)
    )
)


class SQLNotices:
    """Fulfils flows.notice.NoticeStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def registered(self, address: str, key: CredentialKey) -> bool:
        row = self._work.read(
            _REGISTERED,
            b_address=address,
            b_issuer_key_hash=key.issuer_key_hash,
            b_serial_fingerprint=key.serial_fingerprint,
        ).one_or_none()
        return row is not None

    def register(self, address: str, registration: Registration) -> None:
        self._work.write(
            _REGISTER,
            address=address,
            name=registration.name,
            issuer_key_hash=registration.key.issuer_key_hash,
            serial_fingerprint=registration.key.serial_fingerprint,
            not_after=registration.not_after,
        )

    def find(self, address: str, name: str) -> Registration | None:
        row = self._work.read(_FIND, b_address=address, b_name=name).one_or_none()
        if row is None:
            return None
        return Registration(
            name=row.name,
            key=CredentialKey(issuer_key_hash=row.issuer_key_hash, serial_fingerprint=row.serial_fingerprint),
            not_after=row.not_after,
        )

    def taken(self, address: str) -> int:
        number: int | None = self._work.read(_TAKEN, b_address=address).scalar_one_or_none()
        return number or 0

    def take(self, address: str, *, after: int, last: int) -> bool:
        return self._work.changes(_TAKE, address=address, number=last, b_after=after)
