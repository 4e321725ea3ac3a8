"""Every use of an account, for its person (people_ports.ActivityStore).

A page of the newest is a walk down the index (account, id), however many rows there are in all.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Integer, bindparam, delete, func, insert, select, update

from broker.accounts.activity import Activity, How, Kind, Result
from broker.ids import AccountID, ClientID, GrantID, SessionID
from broker.storage.schema import activities
from broker.storage.work import Work, maybe, per_engine

NEWEST: Final = 2**62
"""Beyond every number a row can have."""
_NOTE = insert(activities)
_NOTE_AGAIN = per_engine(
    lambda insert_into: (new := insert_into(activities)).on_conflict_do_update(
        index_elements=["repeats"],
        set_={"times": activities.c.times + 1, "last_at": new.excluded.last_at, "items": new.excluded["items"]},
    )
)
_PAGE = (
    select(activities)
    .where(activities.c.account == bindparam("b_account"), activities.c.id < bindparam("b_before"))
    .order_by(activities.c.id.desc())
    .limit(bindparam("b_limit", type_=Integer))
)
_PAGE_OF_CLIENT = (
    select(activities)
    .where(
        activities.c.account == bindparam("b_account"),
        activities.c.id < bindparam("b_before"),
        activities.c.client_id == bindparam("b_client_id"),
    )
    .order_by(activities.c.id.desc())
    .limit(bindparam("b_limit", type_=Integer))
)
_LAST_USES = (
    select(activities.c.client_id, func.max(activities.c.last_at, type_=activities.c.last_at.type).label("used_at"))
    .where(activities.c.account == bindparam("b_account"))
    .group_by(activities.c.client_id)
)
_REPORT = (
    update(activities)
    .where(
        activities.c.id == bindparam("b_id"),
        activities.c.account == bindparam("b_account"),
        activities.c.reported_at.is_(None),
    )
    .values(reported_at=bindparam("b_now"))
    .returning(activities)
)
_REPORTED = (
    select(activities)
    .where(activities.c.reported_at.is_not(None))
    .order_by(activities.c.reported_at.desc())
    .limit(bindparam("b_limit", type_=Integer))
)
_FORGET = delete(activities).where(activities.c.account == bindparam("b_account"))


class SQLActivities:
    """Fulfils people_ports.ActivityStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def note(self, activity: Activity) -> None:
        self._work.write(
            _NOTE if activity.repeats is None else _NOTE_AGAIN,
            account=activity.account,
            client_id=activity.client_id,
            kind=activity.kind.value,
            how=activity.how.value,
            result=activity.result.value,
            items=" ".join(activity.items),
            session_id=activity.session_id,
            grant_id=activity.grant_id,
            repeats=activity.repeats,
            times=1,
            at=activity.at,
            last_at=activity.at,
            reported_at=None,
        )

    def page(
        self, account: AccountID, *, before: int | None, limit: int, client_id: ClientID | None = None
    ) -> tuple[Activity, ...]:
        start = NEWEST if before is None else min(before, NEWEST)
        if client_id is None:
            rows = self._work.read(_PAGE, b_account=account, b_before=start, b_limit=limit).all()
        else:
            rows = self._work.read(
                _PAGE_OF_CLIENT, b_account=account, b_before=start, b_limit=limit, b_client_id=client_id
            ).all()
        return tuple(_activity(row) for row in rows)

    def last_uses(self, account: AccountID) -> dict[ClientID, datetime]:
        rows = self._work.read(_LAST_USES, b_account=account).all()
        return {ClientID(row.client_id): row.used_at for row in rows}

    def report(self, account: AccountID, number: int, *, now: datetime) -> Activity | None:
        if not 0 < number < NEWEST:
            return None
        row = self._work.write(_REPORT, b_id=number, b_account=account, b_now=now).one_or_none()
        return None if row is None else _activity(row)

    def reported(self, *, limit: int) -> tuple[Activity, ...]:
        return tuple(_activity(row) for row in self._work.read(_REPORTED, b_limit=limit).all())

    def forget(self, account: AccountID) -> None:
        self._work.write(_FORGET, b_account=account)


def _activity(row: Any) -> Activity:
    return Activity(
        account=AccountID(row.account),
        client_id=ClientID(row.client_id),
        kind=Kind(row.kind),
        how=How(row.how),
        result=Result(row.result),
        items=tuple(row.items.split()),
        at=row.at,
        session_id=maybe(SessionID, row.session_id),
        grant_id=maybe(GrantID, row.grant_id),
        repeats=row.repeats,
        number=row.id,
        count=row.times,
        last_at=row.last_at,
        reported_at=row.reported_at,
    )
