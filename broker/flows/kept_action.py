"""The action of a card request at rest: what a client calls its documents may say much of a person, and is sealed."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from broker.flows.login_ports import CardTransaction
from broker.flows.ports import Ports
from broker.ids import TransactionID
from broker.jose import b64url, b64url_decode

_SEALED: Final = "sealed:"


def kept(action: str, transaction_id: TransactionID, *, ports: Ports) -> str:
    """The action as it is stored, where it names documents of a client."""
    return _SEALED + b64url(ports.keys.seal(action.encode(), context=_context(transaction_id)))


def opened(transaction: CardTransaction, *, ports: Ports) -> CardTransaction:
    """The transaction with its action as the card was asked. Raises StoreUnavailable."""
    if not transaction.action.startswith(_SEALED):
        return transaction
    sealed = b64url_decode(transaction.action.removeprefix(_SEALED))
    action = ports.keys.unseal(sealed, context=_context(transaction.transaction_id)).decode()
    return replace(transaction, action=action)


def _context(transaction_id: TransactionID) -> bytes:
    return b"action:" + transaction_id.encode()
