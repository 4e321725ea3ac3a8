"""Sealed receipts (receipt_ports.ReceiptStore): rows go in, are read by their client, and leave by the clock."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, insert, select

from broker.flows.receipt_ports import PAGE, StoredReceipt
from broker.ids import ClientID, ReceiptID, Subject
from broker.storage.schema import receipts
from broker.storage.work import Work, can_hold

_its_clients = receipts.c.client_id == bindparam("b_client_id")
_between = (receipts.c.receipt_id > bindparam("b_after")) & (receipts.c.receipt_id < bindparam("b_before"))
_KEEP = insert(receipts)
_GET = select(receipts).where(_its_clients, receipts.c.receipt_id == bindparam("b_receipt_id"))
_LIST = select(receipts).where(_its_clients, _between).order_by(receipts.c.receipt_id).limit(PAGE + 1)
_LIST_OF = _LIST.where(receipts.c.subject == bindparam("b_subject"))


class SQLReceipts:
    """Fulfils receipt_ports.ReceiptStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def keep(self, receipt: StoredReceipt) -> None:
        self._work.write(
            _KEEP,
            receipt_id=UUID(receipt.receipt_id).bytes,
            client_id=receipt.client_id,
            subject=receipt.subject,
            sealed=receipt.sealed,
            expires_at=receipt.expires_at,
        )

    def get(self, client_id: ClientID, receipt_id: ReceiptID) -> StoredReceipt | None:
        row = self._work.read(_GET, b_client_id=client_id, b_receipt_id=UUID(receipt_id).bytes).one_or_none()
        return None if row is None else _receipt(row)

    def list(
        self, client_id: ClientID, *, subject: Subject | None, after: ReceiptID, before: ReceiptID
    ) -> tuple[StoredReceipt, ...]:
        asked = {"b_client_id": client_id, "b_after": UUID(after).bytes, "b_before": UUID(before).bytes}
        if subject is None:
            rows = self._work.read(_LIST, **asked)
        elif can_hold(subject):
            rows = self._work.read(_LIST_OF, **asked, b_subject=subject)
        else:
            return ()
        return tuple(_receipt(row) for row in rows)


def _receipt(row: Any) -> StoredReceipt:
    return StoredReceipt(
        receipt_id=ReceiptID(str(UUID(bytes=row.receipt_id))),
        client_id=ClientID(row.client_id),
        subject=Subject(row.subject),
        sealed=row.sealed,
        expires_at=row.expires_at,
    )
