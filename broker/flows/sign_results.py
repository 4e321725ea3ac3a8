"""What a card made of a sign transaction, and what leaves of it to whom (design 4.12)."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from broker.errors import InvalidToken, NoEncryptionKey
from broker.flows import documents_to_sign
from broker.flows.documents_to_sign import SignedDocuments
from broker.flows.ports import Ports
from broker.flows.sign_documents import SignDocument
from broker.ids import SignTransactionID, Subject
from broker.jose import b64url, compact_json
from broker.jwe import ALGORITHMS, encrypt_compact
from broker.oidc.client import Client, Right
from broker.oidc.sign_transaction import PDF, Form

_ENC = "A256GCM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The signatures of one transaction, by the order of its documents: a CMS each, or a raw signature."""

    at: datetime
    """When the card was asked: what the signatures state. Whole seconds."""
    subject: Subject = field(repr=False)
    """Who signed, as the client knows them."""
    made: SignedDocuments = field(repr=False)


def seal_signed(sign_transaction_id: SignTransactionID, signed: Signed, *, ports: Ports) -> bytes:
    """For storage."""
    text = compact_json(
        {
            "at": int(signed.at.timestamp()),
            "subject": signed.subject,
            "made": signed.made.to_json().decode(),
        }
    )
    return ports.keys.seal(text, context=_context(sign_transaction_id))


def open_signed(sign_transaction_id: SignTransactionID, sealed: bytes, *, ports: Ports) -> Signed:
    """What `seal_signed` was given. Raises StoreUnavailable."""
    read = json.loads(ports.keys.unseal(sealed, context=_context(sign_transaction_id)))
    return Signed(
        at=datetime.fromtimestamp(read["at"], UTC),
        subject=Subject(read["subject"]),
        made=documents_to_sign.from_json(read["made"].encode()),
    )


def _context(sign_transaction_id: SignTransactionID) -> bytes:
    return f"sign:{sign_transaction_id}:signed".encode()


def signed_file(document: SignDocument, signature: bytes, at: datetime) -> tuple[bytes, str]:
    """What the resident keeps of one document, and its media type: the signed PDF, the CMS, or the bare signature."""
    match document.form:
        case Form.PADES if document.placeholder is not None:
            return document.placeholder.embed(signature, at), PDF
        case Form.RAW:
            return signature, "application/octet-stream"
        case _:
            return signature, "application/pkcs7-signature"


def result_claims(
    sign_transaction_id: SignTransactionID, signed: Signed, documents: Sequence[SignDocument], client: Client
) -> dict[str, Any]:
    """What a client is told. Every signature but a raw one carries the certificate, which holds name, address, birth
    date and sex: certificate and signatures leave to clients recorded as 署名検証者 alone.
    """
    verifier = Right.SIGNATURE_VERIFIER in client.rights
    told: dict[str, Any] = {
        "sign_transaction_id": sign_transaction_id,
        "sub": signed.subject,
        "signed_at": int(signed.at.timestamp()),
        "verdict": {"certificate": "good", "checked_at": int(signed.made.answered_at.timestamp())},
        "documents": [
            _document(document, signature, signed.at, verifier=verifier)
            for document, signature in zip(documents, signed.made.signatures, strict=True)
        ],
    }
    if verifier:
        told["certificate"] = _base64(signed.made.certificate)
        if len(documents) == 1 and documents[0].form is Form.RAW:
            told["signature"] = _base64(signed.made.signatures[0])
    return told


def _document(document: SignDocument, signature: bytes, at: datetime, *, verifier: bool) -> dict[str, Any]:
    told = {"name": document.name, "format": document.form.value, "sha256": b64url(document.digest)}
    if verifier:
        member = {Form.CADES: "cms", Form.PADES: "pdf", Form.RAW: "signature"}[document.form]
        told[member] = _base64(signed_file(document, signature, at)[0])
    return told


def encrypt_for(client: Client, payload: bytes, *, ports: Ports) -> str:
    """A JWE to the client's encryption key, by the first algorithm of ours that the key is for; it may have to be
    fetched. Raises NoEncryptionKey.
    """
    try:
        jwks = ports.client_keys.of(client)
    except InvalidToken as missing:
        raise NoEncryptionKey("the client's keys cannot be had") from missing
    for alg in ALGORITHMS:
        try:
            return encrypt_compact(payload, jwks=jwks, alg=alg, enc=_ENC)
        except InvalidToken:
            continue
    raise NoEncryptionKey("no key of this client says that it is for encryption (use enc)")


def _base64(octets: bytes) -> str:
    return b64encode(octets).decode("ascii")
