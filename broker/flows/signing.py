"""The story of documents to sign, on the resident's side: shown before the card, signed by it, kept for the client.

Ordered and fetched they are in `flows.sign_transactions`.
"""

from __future__ import annotations

from datetime import datetime

from broker.audit.entry import Entry, Event
from broker.errors import DocumentChanged, SignTransactionOver, SignTransactionUnknown
from broker.flows import documents_to_sign
from broker.flows.documents_to_sign import Document, SignedDocuments
from broker.flows.login_ports import CardTransaction, Interaction
from broker.flows.ports import Ports, Transaction
from broker.flows.sign_documents import SignDocument, open_documents
from broker.flows.sign_results import Signed, seal_signed
from broker.flows.signing_ports import SignTransaction
from broker.ids import GrantID, SignTransactionID, Subject
from broker.oidc.authorization import AuthorizationRequest
from broker.oidc.sign_transaction import RESULT_LIFETIME, Form, State


def check_waiting(tx: Transaction, request: AuthorizationRequest, *, now: datetime) -> None:
    """Refuse a request whose transaction is not this client's, or does not wait for a signature.

    Raises SignTransactionUnknown, SignTransactionOver.
    """
    if request.sign_transaction is not None:
        waiting(tx, request, now=now)


def waiting(tx: Transaction, request: AuthorizationRequest, *, now: datetime) -> SignTransaction:
    """The transaction of a request to sign. Raises SignTransactionUnknown, SignTransactionOver."""
    found = tx.sign_transactions.get(SignTransactionID(request.sign_transaction or ""), now=now)
    if found is None or found.client_id != request.client_id:
        raise SignTransactionUnknown("no such sign transaction of this client")
    if found.state is not State.WAITING:
        raise SignTransactionOver("signed already")
    return found


def shown(tx: Transaction, interaction: Interaction, *, now: datetime, ports: Ports) -> tuple[SignDocument, ...]:
    """What this login is to sign, for its page; none for any other login.

    Raises SignTransactionUnknown, SignTransactionOver, DocumentChanged.
    """
    if interaction.request.sign_transaction is None:
        return ()
    return open_documents(tx, waiting(tx, interaction.request, now=now).sign_transaction_id, ports=ports)


def documents_of(tx: Transaction, interaction: Interaction, *, at: datetime, ports: Ports) -> tuple[Document, ...]:
    """What the card of this login is asked to sign in a request of `at` (whole seconds); digests that go to it raw are
    written down, in the caller's unit of work, before they do.

    Raises SignTransactionUnknown, SignTransactionOver, DocumentChanged.
    """
    documents = shown(tx, interaction, now=at, ports=ports)
    raw = [document.digest for document in documents if document.form is Form.RAW]
    if raw:
        tx.raw_digests.remember(raw, now=at)
    return tuple(document.to_sign(at) for document in documents)


def complete(
    tx: Transaction,
    request: AuthorizationRequest,
    transaction: CardTransaction,
    made: SignedDocuments,
    *,
    subject: Subject,
    grant_id: GrantID,
    browser_digest: bytes,
    now: datetime,
    ports: Ports,
) -> None:
    """Keep what the card made for the client, in the unit of work that issues its code: of two logins with one
    transaction one gets so far. Every signature is over what is still ordered, byte for byte.

    Raises SignTransactionUnknown, SignTransactionOver, DocumentChanged.
    """
    found = waiting(tx, request, now=now)
    documents = open_documents(tx, found.sign_transaction_id, ports=ports)
    asked = [document.to_sign(transaction.issued_at).member(transaction.issued_at) for document in documents]
    if asked != list(documents_to_sign.read(transaction.action).documents) or len(asked) != len(made.signatures):
        raise DocumentChanged("the order is not the one that was signed")
    signed = Signed(at=transaction.issued_at, subject=subject, made=made)
    if not tx.sign_transactions.sign(
        found.sign_transaction_id,
        signed=seal_signed(found.sign_transaction_id, signed, ports=ports),
        grant_id=grant_id,
        interaction_id=transaction.interaction_id,
        browser_digest=browser_digest,
        now=now,
        expires_at=now + RESULT_LIFETIME,
    ):
        raise SignTransactionOver("signed in another login, or cancelled")
    tx.audit.append(
        Entry(
            at=now,
            event=Event.SIGNATURE_MADE,
            client_id=request.client_id,
            reference=found.sign_transaction_id,
            detail={"documents": len(documents), "interaction": transaction.interaction_id},
        )
    )
