"""Where receipts wait until their clients ask for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from broker.ids import ClientID, ReceiptID, Subject

PAGE: Final = 50
"""Receipts of one answer: each is a signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReceipt:
    """One receipt at rest: what it says is sealed, and opens as this receipt alone."""

    receipt_id: ReceiptID
    client_id: ClientID
    subject: Subject = field(repr=False)
    sealed: bytes = field(repr=False)
    expires_at: datetime
    """When we keep it no longer; what the client has stored holds on."""


class ReceiptStore(Protocol):
    """A client's receipts are found under its own id alone."""

    def keep(self, receipt: StoredReceipt) -> None: ...

    def get(self, client_id: ClientID, receipt_id: ReceiptID) -> StoredReceipt | None:
        """None when unknown, purged or another client's."""

    def list(
        self, client_id: ClientID, *, subject: Subject | None, after: ReceiptID, before: ReceiptID
    ) -> tuple[StoredReceipt, ...]:
        """Of the client, and of `subject` where one is named: ids greater than `after` and smaller than `before`,
        oldest first, at most PAGE and one more, which says that there are more.
        """
