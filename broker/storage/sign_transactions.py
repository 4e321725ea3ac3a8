"""What is to be signed (signing_ports.SignTransactionStore), and digests that were sent raw (RawDigestStore)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, insert, or_, select, update

from broker.flows.signing_ports import SealedDocument, SignTransaction
from broker.ids import ClientID, GrantID, InteractionID, SignTransactionID
from broker.oidc.sign_transaction import State
from broker.storage.schema import interactions, raw_digests, sign_documents, sign_transactions
from broker.storage.work import Work, can_hold, maybe, per_engine

_rows = sign_transactions.c
_alive = (_rows.sign_transaction_id == bindparam("b_id")) & (_rows.expires_at > bindparam("b_now"))
_waits = _alive & (_rows.state == State.WAITING.value)
_OPEN = insert(sign_transactions)
_ADD = insert(sign_documents)
_GET = select(sign_transactions).where(_alive)
_OF = select(sign_transactions).where(
    _rows.interaction_id == bindparam("b_interaction_id"), _rows.expires_at > bindparam("b_now")
)
_DOCUMENTS = (
    select(sign_documents)
    .where(sign_documents.c.sign_transaction_id == bindparam("b_id"))
    .order_by(sign_documents.c.position)
)
_CANCEL = delete(sign_transactions).where(_waits).returning(_rows.sign_transaction_id)  # its documents go by the key
_SIGN = (
    update(sign_transactions)
    .where(_waits)
    .values(
        state=bindparam("b_state"),
        signed_sealed=bindparam("b_signed"),
        signed_at=bindparam("b_now"),
        grant_id=bindparam("b_grant_id"),
        interaction_id=bindparam("b_interaction_id"),
        browser_digest=select(interactions.c.browser_digest)
        .where(interactions.c.interaction_id == bindparam("b_interaction_id"))
        .scalar_subquery(),
        expires_at=bindparam("b_expires_at"),
    )
    .returning(_rows.sign_transaction_id)
)
_FETCH = (
    update(sign_transactions)
    .where(
        _alive,
        _rows.state == State.SIGNED.value,
        or_(_rows.fetched_by.is_(None), _rows.fetched_by == bindparam("b_token_id")),
    )
    .values(fetched_by=bindparam("b_token_id"))
    .returning(_rows.sign_transaction_id)
)
_REMEMBER = per_engine(lambda insert: insert(raw_digests).on_conflict_do_nothing(index_elements=["digest"]))
_SENT = select(raw_digests.c.digest).where(raw_digests.c.digest == bindparam("b_digest"))


class SQLSignTransactions:
    """Fulfils signing_ports.SignTransactionStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def open(self, transaction: SignTransaction, documents: Collection[SealedDocument]) -> None:
        if transaction.state is not State.WAITING:
            raise ValueError("a transaction begins unsigned")
        self._work.write(
            _OPEN,
            sign_transaction_id=transaction.sign_transaction_id,
            client_id=transaction.client_id,
            state=transaction.state.value,
            created_at=transaction.created_at,
            expires_at=transaction.expires_at,
        )
        for document in documents:
            self._work.write(
                _ADD,
                sign_transaction_id=transaction.sign_transaction_id,
                position=document.position,
                described_sealed=document.described_sealed,
                content_sealed=document.content_sealed,
            )

    def get(self, sign_transaction_id: SignTransactionID, *, now: datetime) -> SignTransaction | None:
        if not can_hold(sign_transaction_id):
            return None
        return _transaction(self._work.read(_GET, b_id=sign_transaction_id, b_now=now).one_or_none())

    def of(self, interaction_id: InteractionID, *, now: datetime) -> SignTransaction | None:
        if not can_hold(interaction_id):
            return None
        return _transaction(self._work.read(_OF, b_interaction_id=interaction_id, b_now=now).one_or_none())

    def documents(self, sign_transaction_id: SignTransactionID) -> tuple[SealedDocument, ...]:
        return tuple(
            SealedDocument(
                position=row.position, described_sealed=row.described_sealed, content_sealed=row.content_sealed
            )
            for row in self._work.read(_DOCUMENTS, b_id=sign_transaction_id).all()
        )

    def cancel(self, sign_transaction_id: SignTransactionID, *, now: datetime) -> bool:
        return self._work.changes(_CANCEL, b_id=sign_transaction_id, b_now=now)

    def sign(
        self,
        sign_transaction_id: SignTransactionID,
        *,
        signed: bytes,
        grant_id: GrantID,
        interaction_id: InteractionID,
        now: datetime,
        expires_at: datetime,
    ) -> bool:
        return self._work.changes(
            _SIGN,
            b_id=sign_transaction_id,
            b_state=State.SIGNED.value,
            b_signed=signed,
            b_grant_id=grant_id,
            b_interaction_id=interaction_id,
            b_now=now,
            b_expires_at=expires_at,
        )

    def fetch(self, sign_transaction_id: SignTransactionID, token_id: str, *, now: datetime) -> bool:
        return self._work.changes(_FETCH, b_id=sign_transaction_id, b_token_id=token_id, b_now=now)


class SQLRawDigests:
    """Fulfils signing_ports.RawDigestStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def remember(self, digests: Collection[bytes], *, now: datetime) -> None:
        for digest in digests:
            self._work.write(_REMEMBER, digest=digest, sent_at=now)

    def any_of(self, digests: Collection[bytes]) -> bool:
        return any(self._work.finds(_SENT, b_digest=digest) for digest in digests)


def _transaction(row: Any) -> SignTransaction | None:
    if row is None:
        return None
    return SignTransaction(
        sign_transaction_id=SignTransactionID(row.sign_transaction_id),
        client_id=ClientID(row.client_id),
        state=State(row.state),
        created_at=row.created_at,
        expires_at=row.expires_at,
        signed_at=row.signed_at,
        signed_sealed=row.signed_sealed,
        grant_id=maybe(GrantID, row.grant_id),
        browser_digest=row.browser_digest,
        fetched_by=row.fetched_by,
    )
