"""Signed requests to the agent and what came back (login_ports.CardTransactionStore)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, bindparam, func, insert, literal, select, update

from broker.accounts.credential import CredentialKey
from broker.flows.login_ports import CardAnswer, CardTransaction
from broker.ids import ClientID, InteractionID, KioskID, TransactionID
from broker.storage.schema import card_transactions, interactions
from broker.storage.work import Work, can_hold, maybe

_one = card_transactions.c.transaction_id == bindparam("b_transaction_id")
_BEGIN = insert(card_transactions)
_BEGUN = (
    select(func.count())
    .select_from(card_transactions)
    .where(card_transactions.c.interaction_id == bindparam("b_interaction_id"))
)
_GET = select(card_transactions).where(_one)
_ANSWER = (
    update(card_transactions)
    .where(_one, card_transactions.c.answered_at.is_(None))
    .values(
        answer_key=literal(b""),
        issuer_key_hash=bindparam("b_issuer_key_hash"),
        serial_fingerprint=bindparam("b_serial_fingerprint"),
        serial_sealed=bindparam("b_serial_sealed"),
        certificate_sealed=bindparam("b_certificate_sealed"),
        kind=bindparam("b_kind"),
        not_after=bindparam("b_not_after"),
        answered_at=bindparam("b_answered_at"),
        pin_entry=bindparam("b_pin_entry"),
        reader_kind=bindparam("b_reader_kind"),
        revocation_source=bindparam("b_revocation_source"),
        revocation_this_update=bindparam("b_revocation_this_update"),
        return_digest=bindparam("b_return_digest"),
        predecessor_issuer_key_hash=bindparam("b_predecessor_issuer_key_hash"),
        predecessor_fingerprint=bindparam("b_predecessor_fingerprint"),
        evidence=bindparam("b_evidence"),
        signed_sealed=bindparam("b_signed_sealed"),
        proof_sealed=bindparam("b_proof_sealed"),
        frame_sealed=bindparam("b_frame_sealed"),
        unique_person=bindparam("b_unique_person"),
        kiosk_id=bindparam("b_kiosk_id"),
    )
    .returning(card_transactions.c.transaction_id)
)
_its_browser = (
    select(interactions.c.interaction_id)
    .where(
        interactions.c.interaction_id == card_transactions.c.interaction_id,
        interactions.c.browser_digest == bindparam("b_browser_digest"),
    )
    .exists()
)
_RELEASE = (
    update(card_transactions)
    .where(
        _one,
        card_transactions.c.answered_at.is_not(None),
        card_transactions.c.released_at.is_(None),
        card_transactions.c.expires_at > bindparam("b_now"),
        card_transactions.c.return_digest == bindparam("b_return_digest"),
        _its_browser,
    )
    .values(released_at=bindparam("b_now"))
    .returning(card_transactions)
)
_END = (
    update(card_transactions)
    .where(_one, card_transactions.c.end_digest == bindparam("b_end_digest"))
    .values(end_digest=None)
    .returning(card_transactions.c.interaction_id)
)

_of_the_login = (card_transactions.c.interaction_id == bindparam("b_interaction_id")) & (
    card_transactions.c.released_at.is_not(None)
)
_CERTIFICATE, _SIGNED, _EVIDENCE, _PROOF = (
    select(column).where(_of_the_login).order_by(card_transactions.c.released_at.desc()).limit(1)
    for column in (
        card_transactions.c.certificate_sealed,
        card_transactions.c.signed_sealed,
        card_transactions.c.evidence,
        card_transactions.c.proof_sealed,
    )
)  # of the newest: a link reads its card twice
_RELEASED = select(card_transactions).where(_of_the_login).order_by(card_transactions.c.released_at.desc()).limit(1)


class SQLCardTransactions:
    """Fulfils login_ports.CardTransactionStore."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    def begin(self, transaction: CardTransaction) -> None:
        self._work.write(
            _BEGIN,
            transaction_id=transaction.transaction_id,
            interaction_id=transaction.interaction_id,
            client_id=transaction.client_id,
            nonce=transaction.nonce,
            tag=transaction.tag,
            action=transaction.action,
            previous=transaction.previous,
            request_key_thumbprint=transaction.request_key_thumbprint,
            answer_key=transaction.answer_key,
            issued_at=transaction.issued_at,
            expires_at=transaction.expires_at,
            application=transaction.application,
            kiosk_id=transaction.kiosk_id,
            end_digest=transaction.end_digest,
        )

    def begun(self, interaction_id: InteractionID) -> int:
        count: int = self._work.read(_BEGUN, b_interaction_id=interaction_id).scalar_one()
        return count

    def get(self, transaction_id: TransactionID) -> CardTransaction | None:
        if not can_hold(transaction_id):
            return None
        row = self._work.read(_GET, b_transaction_id=transaction_id).one_or_none()
        return None if row is None else _transaction(row)

    def answer(self, transaction_id: TransactionID, answer: CardAnswer, *, return_digest: bytes) -> bool:
        kept = self._work.write(
            _ANSWER,
            b_transaction_id=transaction_id,
            b_issuer_key_hash=answer.key.issuer_key_hash,
            b_serial_fingerprint=answer.key.serial_fingerprint,
            b_serial_sealed=answer.serial_sealed,
            b_certificate_sealed=answer.certificate_sealed,
            b_kind=answer.kind,
            b_not_after=answer.not_after,
            b_answered_at=answer.answered_at,
            b_pin_entry=answer.pin_entry,
            b_reader_kind=answer.reader_kind,
            b_revocation_source=answer.revocation_source,
            b_revocation_this_update=answer.revocation_this_update,
            b_return_digest=return_digest,
            b_predecessor_issuer_key_hash=answer.predecessor.issuer_key_hash if answer.predecessor else None,
            b_predecessor_fingerprint=answer.predecessor.serial_fingerprint if answer.predecessor else None,
            b_evidence=answer.evidence,
            b_signed_sealed=answer.signed_sealed,
            b_proof_sealed=answer.proof_sealed,
            b_frame_sealed=answer.frame_sealed,
            b_unique_person=answer.unique_person,
            b_kiosk_id=answer.kiosk_id,
        ).one_or_none()
        return kept is not None

    def release(
        self, transaction_id: TransactionID, *, browser_digest: bytes, return_digest: bytes, now: datetime
    ) -> tuple[CardTransaction, CardAnswer] | None:
        if not can_hold(transaction_id):
            return None
        row = self._work.write(
            _RELEASE,
            b_transaction_id=transaction_id,
            b_browser_digest=browser_digest,
            b_return_digest=return_digest,
            b_now=now,
        ).one_or_none()
        return None if row is None else (_transaction(row), _answer(row))

    def end(self, transaction_id: TransactionID, *, end_digest: bytes) -> InteractionID | None:
        found: str | None = self._work.write(
            _END, b_transaction_id=transaction_id, b_end_digest=end_digest
        ).scalar_one_or_none()
        return None if found is None else InteractionID(found)

    def certificate(self, interaction_id: InteractionID) -> bytes | None:
        return self._kept(_CERTIFICATE, interaction_id)

    def released(self, interaction_id: InteractionID) -> CardTransaction | None:
        row = self._work.read(_RELEASED, b_interaction_id=interaction_id).one_or_none()
        return None if row is None else _transaction(row)

    def signed(self, interaction_id: InteractionID) -> bytes | None:
        return self._kept(_SIGNED, interaction_id)

    def proof(self, interaction_id: InteractionID) -> bytes | None:
        return self._kept(_PROOF, interaction_id)

    def _kept(self, statement: Select[Any], interaction_id: InteractionID) -> bytes | None:
        found: bytes | None = self._work.read(statement, b_interaction_id=interaction_id).scalar_one_or_none()
        return found

    def evidence(self, interaction_id: InteractionID) -> str | None:
        found: str | None = self._work.read(_EVIDENCE, b_interaction_id=interaction_id).scalar_one_or_none()
        return found


def _transaction(row: Row[Any]) -> CardTransaction:
    return CardTransaction(
        transaction_id=TransactionID(row.transaction_id),
        interaction_id=InteractionID(row.interaction_id),
        client_id=ClientID(row.client_id),
        nonce=row.nonce,
        tag=row.tag,
        action=row.action,
        previous=row.previous,
        request_key_thumbprint=row.request_key_thumbprint,
        answer_key=row.answer_key,
        issued_at=row.issued_at,
        expires_at=row.expires_at,
        application=row.application,
        kiosk_id=_kiosk(row),
        end_digest=row.end_digest,
    )


def _answer(row: Row[Any]) -> CardAnswer:
    return CardAnswer(
        key=CredentialKey(issuer_key_hash=row.issuer_key_hash, serial_fingerprint=row.serial_fingerprint),
        serial_sealed=row.serial_sealed,
        certificate_sealed=row.certificate_sealed,
        kind=row.kind,
        not_after=row.not_after,
        answered_at=row.answered_at,
        pin_entry=row.pin_entry,
        reader_kind=row.reader_kind,
        revocation_source=row.revocation_source,
        revocation_this_update=row.revocation_this_update,
        evidence=row.evidence or "",
        predecessor=None
        if row.predecessor_fingerprint is None
        else CredentialKey(
            issuer_key_hash=row.predecessor_issuer_key_hash, serial_fingerprint=row.predecessor_fingerprint
        ),
        signed_sealed=row.signed_sealed,
        proof_sealed=row.proof_sealed,
        frame_sealed=row.frame_sealed,
        unique_person=bool(row.unique_person),
        kiosk_id=_kiosk(row),
    )


def _kiosk(row: Row[Any]) -> KioskID | None:
    return maybe(KioskID, row.kiosk_id)
