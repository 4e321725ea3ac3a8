"""The story of documents to sign, on the resident's side: shown before the card, signed by it, kept for the client.

Ordered and fetched they are in `flows.sign_transactions`.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from broker.accounts.activity import Activity, How, Kind
from broker.audit.entry import Entry, Event
from broker.errors import DocumentChanged, SignTransactionOver, SignTransactionUnknown
from broker.flows import documents_to_sign
from broker.flows.interaction import find
from broker.flows.kept_action import opened
from broker.flows.login_ports import Interaction
from broker.flows.ports import Ports, Transaction
from broker.flows.secret import digest
from broker.flows.sign_documents import SignDocument, open_documents
from broker.flows.sign_results import Signed, open_signed, seal_signed, signed_file
from broker.flows.signing_ports import SignTransaction
from broker.ids import InteractionID, SignTransactionID
from broker.oidc.authorization import AuthorizationRequest
from broker.oidc.grants import Grant
from broker.oidc.sign_transaction import PDF, RESULT_LIFETIME, Form, State


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


def read(interaction_id: InteractionID, browser_secret: str | None, position: int, *, ports: Ports) -> SignDocument:
    """One document that came whole, for the browser whose login this is.

    Raises InteractionUnknown, BrowserMismatch, SignTransactionUnknown (also for one known by its digest alone),
    SignTransactionOver, DocumentChanged.
    """
    now = ports.clock()
    with ports.store.transaction() as tx:
        documents = shown(tx, find(tx, interaction_id, browser_secret, now=now), now=now, ports=ports)
    if position >= len(documents) or documents[position].content is None:
        raise SignTransactionUnknown("no document at this place")
    return documents[position]


def asked_of_card(
    tx: Transaction, interaction: Interaction, *, now: datetime, ports: Ports
) -> tuple[SignDocument, ...]:
    """What the card of this login is asked to sign; digests that go to it raw are written down before, in the caller's
    unit of work.

    Raises SignTransactionUnknown, SignTransactionOver, DocumentChanged.
    """
    documents = shown(tx, interaction, now=now, ports=ports)
    raw = [document.digest for document in documents if document.form is Form.RAW]
    if raw:
        tx.raw_digests.remember(raw, now=now)
    return documents


def complete(
    tx: Transaction, request: AuthorizationRequest, grant: Grant, interaction_id: InteractionID, *, ports: Ports
) -> None:
    """Keep what the card made for the client, in the unit of work that issues its code: of two logins with one
    transaction one gets so far. Every signature is over what is ordered, byte for byte, still.

    Raises SignTransactionUnknown, SignTransactionOver, DocumentChanged.
    """
    if request.sign_transaction is None:
        return
    now = grant.created_at
    found = waiting(tx, request, now=now)
    documents = open_documents(tx, found.sign_transaction_id, ports=ports)
    transaction, sealed = tx.cards.released(interaction_id), tx.cards.signed(interaction_id)
    if transaction is None or sealed is None:
        raise DocumentChanged("nothing was signed in this login")
    asked = [document.to_sign(transaction.issued_at).member(transaction.issued_at) for document in documents]
    if asked != list(documents_to_sign.read(opened(transaction, ports=ports).action).documents):
        raise DocumentChanged("the order is not the one that was signed")
    made = documents_to_sign.from_json(ports.keys.unseal(sealed, context=interaction_id.encode()))
    signed = Signed(at=transaction.issued_at, subject=grant.subject, made=made)
    if not tx.sign_transactions.sign(
        found.sign_transaction_id,
        signed=seal_signed(found.sign_transaction_id, signed, ports=ports),
        grant_id=grant.grant_id,
        interaction_id=interaction_id,
        now=now,
        expires_at=now + RESULT_LIFETIME,
    ):
        raise SignTransactionOver("signed in another login, or cancelled")
    tx.audit.append(
        Entry(
            at=now,
            event=Event.SIGNATURE_MADE,
            client_id=request.client_id,
            account=grant.account,
            reference=found.sign_transaction_id,
            detail={"documents": len(documents), "interaction": interaction_id},
        )
    )
    tx.activities.note(
        Activity(
            account=grant.account,
            client_id=request.client_id,
            kind=Kind.SIGNATURE,
            how=How.CARD,
            at=now,
            session_id=grant.session_id,
            grant_id=grant.grant_id,
        )
    )


# --- the resident's copies -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One file that the resident may keep."""

    document: SignDocument
    content: bytes = field(repr=False)
    media_type: str
    suffix: str
    """For the name of the file, behind the document's."""


def copies(interaction_id: InteractionID, browser_secret: str | None, *, ports: Ports) -> tuple[str, ...]:
    """Names of what was signed in a login, in its order, for the browser in which it was. Raises as `copy`."""
    with ports.store.transaction() as tx:
        found = _signed_here(tx, interaction_id, browser_secret, now=ports.clock())
        return tuple(document.name for document in open_documents(tx, found.sign_transaction_id, ports=ports))


def copy(interaction_id: InteractionID, browser_secret: str | None, position: int, *, ports: Ports) -> Copy:
    """What became of one document, for the browser in which it was signed.

    Raises SignTransactionUnknown: nothing was signed there, it was wiped, or another browser asks.
    """
    with ports.store.transaction() as tx:
        found = _signed_here(tx, interaction_id, browser_secret, now=ports.clock())
        documents = open_documents(tx, found.sign_transaction_id, ports=ports)
    if position >= len(documents):
        raise SignTransactionUnknown("no document at this place")
    signed = open_signed(found.sign_transaction_id, found.signed_sealed or b"", ports=ports)
    content, media_type = signed_file(documents[position], signed.made.signatures[position], signed.at)
    return Copy(document=documents[position], content=content, media_type=media_type, suffix=_SUFFIXES[media_type])


def _signed_here(
    tx: Transaction, interaction_id: InteractionID, browser_secret: str | None, *, now: datetime
) -> SignTransaction:
    found = tx.sign_transactions.of(interaction_id, now=now)
    if found is None or found.browser_digest is None:
        raise SignTransactionUnknown("nothing that was signed here is kept")
    if browser_secret is None or not hmac.compare_digest(digest(browser_secret), found.browser_digest):
        raise SignTransactionUnknown("another browser signed this")
    return found


_SUFFIXES: Final = {PDF: ".pdf", "application/pkcs7-signature": ".p7s", "application/octet-stream": ".sig"}
