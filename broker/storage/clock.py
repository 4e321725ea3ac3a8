"""The high-water mark of time (ports.ClockStore)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, select

from broker.storage.schema import clock
from broker.storage.work import Work, per_engine

_NAME = "mark"
_MARK = select(clock.c.at).where(clock.c.name == bindparam("b_name"))
_RAISE = per_engine(
    lambda insert: (new := insert(clock)).on_conflict_do_update(
        index_elements=["name"], set_={"at": new.excluded.at}, where=clock.c.at < new.excluded.at
    )
)


class SQLClock:
    """Fulfils ports.ClockStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def mark(self) -> datetime | None:
        found: datetime | None = self._work.read(_MARK, b_name=_NAME).scalar_one_or_none()
        return found

    def raise_to(self, moment: datetime) -> None:
        self._work.write(_RAISE, name=_NAME, at=moment)
