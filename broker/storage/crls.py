"""Revocation lists as fetched (ports.CRLStore)."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from broker.flows.ports import StoredCRL
from broker.storage.schema import crls
from broker.storage.work import Work, per_engine

_GET = select(crls).where(crls.c.source == bindparam("b_source"))
_PUT = per_engine(
    lambda insert: (new := insert(crls)).on_conflict_do_update(
        index_elements=["source"], set_={"der": new.excluded.der, "fetched_at": new.excluded.fetched_at}
    )
)


class SQLCRLs:
    """Fulfils ports.CRLStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def get(self, source: str) -> StoredCRL | None:
        row = self._work.read(_GET, b_source=source).one_or_none()
        return None if row is None else StoredCRL(source=row.source, der=row.der, fetched_at=row.fetched_at)

    def put(self, crl: StoredCRL) -> None:
        self._work.write(_PUT, source=crl.source, der=crl.der, fetched_at=crl.fetched_at)
