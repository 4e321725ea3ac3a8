"""Shared sectors by the address that vouches for them (client_ports.SectorStore)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, select

from broker.ids import SectorID
from broker.storage.schema import sectors
from broker.storage.work import Work, can_hold, per_engine

_GET = select(sectors.c.sector).where(sectors.c.uri == bindparam("b_uri"))
_APPROVE = per_engine(lambda insert: insert(sectors).on_conflict_do_nothing(index_elements=["uri"]))


class SQLSectors:
    """Fulfils client_ports.SectorStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def get(self, uri: str) -> SectorID | None:
        row = self._work.read(_GET, b_uri=uri).one_or_none() if can_hold(uri) else None
        return None if row is None else SectorID(row.sector)

    def approve(self, uri: str, *, fresh: SectorID, now: datetime) -> SectorID:
        self._work.write(_APPROVE, uri=uri, sector=fresh, approved_at=now)
        sector: str = self._work.read(_GET, b_uri=uri).one().sector
        return SectorID(sector)
