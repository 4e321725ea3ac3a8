"""Terminals that everybody uses (kiosk_ports.KioskStore)."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, select, update

from broker.accounts.kiosk import Kiosk, SiteAct
from broker.ids import KioskID
from broker.storage.schema import kiosks
from broker.storage.work import Work, can_hold, per_engine

_ENROL = per_engine(
    lambda insert_into: insert_into(kiosks).on_conflict_do_nothing().returning(kiosks.c.kiosk_id),
)
_GET = select(kiosks).where(kiosks.c.kiosk_id == bindparam("b_kiosk_id"))
_OF_KEY = select(kiosks).where(kiosks.c.thumbprint == bindparam("b_thumbprint"))
_ALL = select(kiosks).order_by(kiosks.c.enrolled_at, kiosks.c.kiosk_id)
_STOP = (
    update(kiosks)
    .where(kiosks.c.kiosk_id == bindparam("b_kiosk_id"), kiosks.c.stopped_at.is_(None))
    .values(stopped_at=bindparam("b_now"))
    .returning(kiosks.c.kiosk_id)
)


class SQLKiosks:
    """Fulfils kiosk_ports.KioskStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def enrol(self, kiosk: Kiosk) -> bool:
        enrolled = self._work.write(
            _ENROL,
            kiosk_id=kiosk.kiosk_id,
            name=kiosk.name,
            thumbprint=kiosk.thumbprint,
            key=json.dumps(dict(kiosk.key), sort_keys=True),
            start_url=kiosk.start_url,
            allows=" ".join(sorted(kiosk.allows)),
            enrolled_at=kiosk.enrolled_at,
        ).one_or_none()
        return enrolled is not None

    def get(self, kiosk_id: KioskID) -> Kiosk | None:
        if not can_hold(kiosk_id):
            return None
        row = self._work.read(_GET, b_kiosk_id=kiosk_id).one_or_none()
        return None if row is None else _kiosk(row)

    def of_key(self, thumbprint: str) -> Kiosk | None:
        if not can_hold(thumbprint):
            return None
        row = self._work.read(_OF_KEY, b_thumbprint=thumbprint).one_or_none()
        return None if row is None else _kiosk(row)

    def all(self) -> tuple[Kiosk, ...]:
        return tuple(_kiosk(row) for row in self._work.read(_ALL).all())

    def stop(self, kiosk_id: KioskID, *, now: datetime) -> bool:
        return can_hold(kiosk_id) and self._work.changes(_STOP, b_kiosk_id=kiosk_id, b_now=now)


def _kiosk(row: Row[Any]) -> Kiosk:
    return Kiosk(
        kiosk_id=KioskID(row.kiosk_id),
        name=row.name,
        key=json.loads(row.key),
        thumbprint=row.thumbprint,
        start_url=row.start_url,
        allows=frozenset(SiteAct(act) for act in row.allows.split()),
        enrolled_at=row.enrolled_at,
        stopped_at=row.stopped_at,
    )
