"""The story of documents to sign, on the client's side: ordered, looked after, fetched once, or cancelled.

What the resident does in between is `flows.signing`.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from broker.accounts.individual_number import holds_one
from broker.audit.entry import Entry, Event
from broker.errors import (
    InsufficientScope,
    InvalidAccessToken,
    InvalidRequest,
    InvalidToken,
    NotSignedYet,
    NumberQuarantined,
    ResultTaken,
    SignTransactionOver,
    SignTransactionUnknown,
)
from broker.flows.call import Call
from broker.flows.ports import Ports, Transaction
from broker.flows.protected import present
from broker.flows.rate import Rate, check_rate
from broker.flows.sign_documents import open_documents, seal_documents
from broker.flows.sign_results import encrypt_for, open_signed, result_claims
from broker.flows.signing_ports import SignTransaction
from broker.ids import SignTransactionID
from broker.jose import compact_json, parse_json
from broker.oidc.client import Client
from broker.oidc.sign_transaction import (
    LIFETIME,
    MAX_ORDER,
    SCOPE,
    TEXT,
    OrderedDocument,
    State,
    check_may_sign,
    read_order,
)
from broker.oidc.tokens import AccessToken

ORDERS: Final = Rate(limit=300, window=timedelta(minutes=1))
"""Of one client: each PDF costs some tenths of a second of a processor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """What stands in the authorization request next."""

    sign_transaction_id: SignTransactionID
    expires_in: int
    """Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far a transaction is."""

    sign_transaction_id: SignTransactionID
    state: State
    expires_in: int
    """Seconds: to sign in, or to fetch the result in."""
    fetched: bool


def order(call: Call, body: bytes, *, ports: Ports) -> Ordered:
    """Take the documents in `body` (JSON) by a client's own token of scope `sign`, which is judged before it is read.

    Raises InvalidAccessToken, InsufficientScope, SigningNotAllowed, InvalidRequest, DocumentRefused, NoEncryptionKey,
    TooManyRequests, StoreUnavailable. Nothing is kept of what is refused.
    """
    now = ports.clock()
    with ports.store.transaction() as tx:
        _, client = _own(tx, call, ports=ports)
        check_rate(tx.attempts, f"sign:{client.client_id}", ORDERS, now=now)
    check_may_sign(client)
    try:
        given = parse_json(body, limit=MAX_ORDER)
    except InvalidToken as broken:
        raise InvalidRequest(f"the body: {broken}") from broken
    documents = read_order(given, client)
    _check_numbers(documents)
    encrypt_for(client, b"", ports=ports)  # before anybody is asked to sign what could not be sent
    sign_transaction_id = SignTransactionID(str(uuid.UUID(bytes=ports.entropy(16), version=4)))
    sealed = seal_documents(sign_transaction_id, documents, ports=ports)
    now = ports.clock()
    with ports.store.transaction() as tx:
        tx.sign_transactions.open(
            SignTransaction(
                sign_transaction_id=sign_transaction_id,
                client_id=client.client_id,
                state=State.WAITING,
                created_at=now,
                expires_at=now + LIFETIME,
            ),
            sealed,
        )
        tx.audit.append(
            Entry(
                at=now,
                event=Event.SIGNATURE_ORDERED,
                client_id=client.client_id,
                reference=sign_transaction_id,
                detail={
                    "documents": len(documents),
                    "forms": " ".join(sorted({each.form.value for each in documents})),
                },
            )
        )
    return Ordered(sign_transaction_id=sign_transaction_id, expires_in=int(LIFETIME.total_seconds()))


def status(call: Call, sign_transaction_id: SignTransactionID, *, ports: Ports) -> Status:
    """Raises InvalidAccessToken, InsufficientScope, SignTransactionUnknown."""
    now = ports.clock()
    with ports.store.transaction() as tx:
        _, client = _own(tx, call, ports=ports)
        transaction = _known(tx, sign_transaction_id, client, now=now)
    return Status(
        sign_transaction_id=sign_transaction_id,
        state=transaction.state,
        expires_in=max(0, int((transaction.expires_at - now).total_seconds())),
        fetched=transaction.fetched_by is not None,
    )


def cancel(call: Call, sign_transaction_id: SignTransactionID, *, ports: Ports) -> None:
    """Wipe a transaction that still waits. Raises SignTransactionUnknown, SignTransactionOver: it was signed."""
    now = ports.clock()
    with ports.store.transaction() as tx:
        _, client = _own(tx, call, ports=ports)
        _known(tx, sign_transaction_id, client, now=now)
        if not tx.sign_transactions.cancel(sign_transaction_id, now=now):
            raise SignTransactionOver("signed already")
        tx.audit.append(
            Entry(at=now, event=Event.SIGNATURE_CANCELLED, client_id=client.client_id, reference=sign_transaction_id)
        )


def result(call: Call, sign_transaction_id: SignTransactionID, *, ports: Ports) -> str:
    """The result as a JWE to the client's key: to one access token, which may come again until all is wiped.

    The token is the client's own, or the one of the very login in which the documents were signed; each of scope
    `sign`. Raises InvalidAccessToken, InsufficientScope, SignTransactionUnknown, NotSignedYet, ResultTaken,
    NoEncryptionKey, DocumentChanged, StoreUnavailable.
    """
    now = ports.clock()
    with ports.store.transaction() as tx:
        token, client = _presented(tx, call, ports=ports)
        transaction = _known(tx, sign_transaction_id, client, now=now)
        if token.account is not None and token.grant_id != transaction.grant_id:
            raise SignTransactionUnknown("signed in another login than this token's, or not yet")
        if transaction.signed_sealed is None:
            raise NotSignedYet("the resident has not signed")
        documents = open_documents(tx, sign_transaction_id, ports=ports)
    signed = open_signed(sign_transaction_id, transaction.signed_sealed, ports=ports)
    answer = compact_json(result_claims(sign_transaction_id, signed, documents, client))
    encrypted = encrypt_for(client, answer, ports=ports)  # may call the client's server: between two units
    with ports.store.transaction() as tx:
        if not tx.sign_transactions.fetch(sign_transaction_id, token.jti, now=now):
            raise ResultTaken("another token has it, or it was wiped")
        tx.audit.append(
            Entry(
                at=now,
                event=Event.SIGNATURE_FETCHED,
                client_id=client.client_id,
                account=token.account,
                reference=sign_transaction_id,
            )
        )
    return encrypted


def _check_numbers(documents: Sequence[OrderedDocument]) -> None:
    """Nothing that people read here may hold a 個人番号 (design 4.22). Raises NumberQuarantined."""
    for document in documents:
        text = document.content.decode() if document.content is not None and document.media_type == TEXT else ""
        if holds_one(document.name) or holds_one(text):
            raise NumberQuarantined("a document's name or text holds what looks like an individual number")


def _own(tx: Transaction, call: Call, *, ports: Ports) -> tuple[AccessToken, Client]:
    token, client = _presented(tx, call, ports=ports)
    if token.account is not None:
        raise InsufficientScope("the client's own token is wanted (RFC 6749 §4.4)")
    return token, client


def _presented(tx: Transaction, call: Call, *, ports: Ports) -> tuple[AccessToken, Client]:
    token = present(tx, call, ports=ports)
    client = tx.clients.get(token.client_id)
    if client is None:
        raise InvalidAccessToken("the client was removed")
    if SCOPE not in token.scope:
        raise InsufficientScope("the scope sign is wanted")
    return token, client


def _known(
    tx: Transaction, sign_transaction_id: SignTransactionID, client: Client, *, now: datetime
) -> SignTransaction:
    found = tx.sign_transactions.get(sign_transaction_id, now=now)
    if found is None or found.client_id != client.client_id:
        raise SignTransactionUnknown("no such sign transaction of this client")
    return found
