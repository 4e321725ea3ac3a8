"""Documents to sign between order and wiping: each is sealed at its place in its transaction, and opens only there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Final

from broker.errors import DocumentChanged, StoreUnavailable
from broker.flows import documents_to_sign
from broker.flows.documents_to_sign import Document
from broker.flows.ports import Ports, Transaction
from broker.flows.signing_ports import SealedDocument
from broker.ids import SignTransactionID
from broker.jose import b64url, b64url_decode, compact_json
from broker.oidc.sign_transaction import PDF, Form, OrderedDocument
from broker.pades.placeholder import Placeholder
from broker.pades.preparation import prepare


@dataclass(frozen=True, slots=True, kw_only=True)
class SignDocument:
    """A document of an order, opened."""

    position: int
    name: str
    form: Form
    digest: bytes
    """SHA-256 of the document as the client ordered it and the resident is shown it."""
    media_type: str | None
    content: bytes | None = field(repr=False)
    """As the client gave it; None where it gave a digest alone."""
    placeholder: Placeholder | None = field(default=None, repr=False)
    """A PDF with room for the signature."""

    @property
    def text(self) -> str | None:
        """What the page shows of a text."""
        return None if self.media_type == PDF or self.content is None else self.content.decode("utf-8")

    @property
    def fingerprint(self) -> str:
        """SHA-256 as hexadecimal digits in groups of eight, as the agent shows it."""
        digits = self.digest.hex()
        return " ".join(digits[at : at + 8] for at in range(0, len(digits), 8))

    def to_sign(self, at: datetime) -> Document:
        """What the card is asked to sign in a request of `at`; a PDF states that time itself."""
        told = (None, None) if self.content is None else (len(self.content), self.media_type)
        return Document(
            name=self.name,
            sha256=self.digest,
            size=told[0],
            type=told[1],
            form=_FORMS[self.form],
            digest=None if self.placeholder is None else self.placeholder.digest(at),
        )


_FORMS: Final = {
    Form.CADES: documents_to_sign.Form.CMS,
    Form.PADES: documents_to_sign.Form.PADES,
    Form.RAW: documents_to_sign.Form.RAW,
}


def seal_documents(
    sign_transaction_id: SignTransactionID, documents: Sequence[OrderedDocument], *, ports: Ports
) -> tuple[SealedDocument, ...]:
    """The documents of a fresh order as they are kept; room for a signature is made in each PDF that gets one.

    Takes up to some seconds for each PDF: outside any unit of work. Raises DocumentRefused, StoreUnavailable.
    """
    return tuple(
        _sealed(sign_transaction_id, position, document, ports=ports) for position, document in enumerate(documents)
    )


def _sealed(
    sign_transaction_id: SignTransactionID, position: int, document: OrderedDocument, *, ports: Ports
) -> SealedDocument:
    content, room = document.content, None
    if document.form is Form.PADES and content is not None:
        placeholder = prepare(content)
        content = placeholder.pdf
        room = [placeholder.size, placeholder.start, placeholder.end, placeholder.time]
    described = compact_json(
        {
            "name": document.name,
            "form": document.form.value,
            "digest": b64url(document.digest),
            "type": document.media_type,
            "room": room,
        }
    )
    return SealedDocument(
        position=position,
        described_sealed=ports.keys.seal(described, context=_context(sign_transaction_id, position, "described")),
        content_sealed=None
        if content is None
        else ports.keys.seal(content, context=_context(sign_transaction_id, position, "content")),
    )


def open_documents(
    tx: Transaction, sign_transaction_id: SignTransactionID, *, ports: Ports
) -> tuple[SignDocument, ...]:
    """What was ordered, byte for byte. Raises DocumentChanged: what is kept is not what was ordered."""
    kept = tx.sign_transactions.documents(sign_transaction_id)
    if not kept or [document.position for document in kept] != list(range(len(kept))):
        raise DocumentChanged("a document is missing")
    return tuple(_opened(sign_transaction_id, document, ports=ports) for document in kept)


def _opened(sign_transaction_id: SignTransactionID, kept: SealedDocument, *, ports: Ports) -> SignDocument:
    try:
        described = json.loads(
            ports.keys.unseal(kept.described_sealed, context=_context(sign_transaction_id, kept.position, "described"))
        )
        content = None
        if kept.content_sealed is not None:
            content = ports.keys.unseal(
                kept.content_sealed, context=_context(sign_transaction_id, kept.position, "content")
            )
    except StoreUnavailable as broken:
        raise DocumentChanged("a document does not open in its place") from broken
    placeholder = None
    if described["room"] is not None and content is not None:
        size, start, end, time = described["room"]
        placeholder = Placeholder(pdf=content, size=size, start=start, end=end, time=time)
        content = placeholder.document
    digest = b64url_decode(described["digest"])
    if (content is None) != (described["type"] is None) or (content is not None and sha256(content).digest() != digest):
        raise DocumentChanged("a document is not the one that was ordered")
    return SignDocument(
        position=kept.position,
        name=described["name"],
        form=Form(described["form"]),
        digest=digest,
        media_type=described["type"],
        content=content,
        placeholder=placeholder,
    )


def _context(sign_transaction_id: SignTransactionID, position: int, part: str) -> bytes:
    return f"sign:{sign_transaction_id}:{position}:{part}".encode()
