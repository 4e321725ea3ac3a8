"""Who runs a job (ports.LeaseStore)."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete

from broker.storage.schema import leases
from broker.storage.work import Work, per_engine

_TAKE = per_engine(
    lambda insert: (
        (new := insert(leases))
        .on_conflict_do_update(
            index_elements=["name"],
            set_={"holder": new.excluded.holder, "until": new.excluded.until},
            where=(leases.c.holder == new.excluded.holder) | (leases.c.until <= bindparam("b_now")),
        )
        .returning(leases.c.name)
    )
)
_RELEASE = delete(leases).where(leases.c.name == bindparam("b_name"), leases.c.holder == bindparam("b_holder"))


class SQLLeases:
    """Fulfils ports.LeaseStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def take(self, name: str, holder: str, *, now: datetime, length: timedelta) -> bool:
        taken = self._work.write(_TAKE, name=name, holder=holder, until=now + length, b_now=now).one_or_none()
        return taken is not None

    def release(self, name: str, holder: str) -> None:
        self._work.write(_RELEASE, b_name=name, b_holder=holder)
