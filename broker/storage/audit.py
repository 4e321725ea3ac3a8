"""The audit record (ports.AuditLog): rows go in and stay."""

from __future__ import annotations

from sqlalchemy import insert

from broker.audit.entry import Entry
from broker.storage.schema import audit
from broker.storage.work import Work

_APPEND = insert(audit).inline()  # nobody asks for the row's number


class SQLAuditLog:
    """Fulfils ports.AuditLog."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def append(self, entry: Entry) -> None:
        self._work.write(
            _APPEND,
            at=entry.at,
            event=entry.event.value,
            client_id=entry.client_id,
            account=entry.account,
            reference=entry.reference,
            detail=entry.detail_json(),
        )
