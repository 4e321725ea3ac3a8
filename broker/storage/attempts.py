"""How often something was tried (rate.AttemptStore): one row a name, one statement a try."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import bindparam, case, select

from broker.flows.rate import window_start
from broker.storage.schema import attempts
from broker.storage.work import Work, per_engine

_COUNT_UP = per_engine(
    lambda insert: (
        (new := insert(attempts))
        .on_conflict_do_update(
            index_elements=["name"],
            set_={
                "count": case(
                    (attempts.c.window_began_at < new.excluded.window_began_at, new.excluded.count),
                    else_=attempts.c.count + new.excluded.count,
                ),
                "window_began_at": case(
                    (attempts.c.window_began_at < new.excluded.window_began_at, new.excluded.window_began_at),
                    else_=attempts.c.window_began_at,
                ),
            },
        )
        .returning(attempts.c.count.label("counted"))
    )
)

_TRIED = select(attempts.c.count.label("counted")).where(
    attempts.c.name == bindparam("b_name"), attempts.c.window_began_at >= bindparam("b_began_at")
)


class SQLAttempts:
    """Fulfils rate.AttemptStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def count_up(self, name: str, *, window: timedelta, now: datetime) -> int:
        counted: int = self._work.write(
            _COUNT_UP, name=name, window_began_at=window_start(now, window), count=1
        ).scalar_one()
        return counted

    def tried(self, name: str, *, window: timedelta, now: datetime) -> int:
        row = self._work.read(_TRIED, b_name=name, b_began_at=window_start(now, window)).one_or_none()
        return 0 if row is None else row.counted
