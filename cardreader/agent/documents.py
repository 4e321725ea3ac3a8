"""Signing a request's documents with the 署名用 key: one entry of its password for all of them, and proof of each.

It comes after the frame's signature, on the same card under the same power (signing.py). What the key signs are
attributes that the broker wrote, to which the certificate's own is added here: it is read only after the password.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256

from cardreader import cms
from cardreader.agent.action import Document
from cardreader.agent.certificates import SIGNING, judge_certificate
from cardreader.agent.request import SignRequest
from cardreader.authentication import AuthenticationCard, SigningCard
from cardreader.errors import SignatureMismatch, SigningWayMissing, SignPasswordBlocked

_SCHEME = cms.SCHEMES["RS256"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedDocuments:
    """What the key made, each signature verified with the certificate. Both lists in the order of the documents.

    `cms` are SignedData in DER, detached, with that certificate alone; `raw_signatures` are those over bare digests.
    """

    certificate: bytes = field(repr=False)
    cms: tuple[bytes, ...] = field(repr=False)
    raw_signatures: tuple[bytes, ...] = field(repr=False)


def present_signing_key(card: AuthenticationCard) -> int | None:
    """Whether `card` can sign documents at all, and the tries left for its password; None where it does not tell.

    Uses no try. Raises SigningWayMissing, NoSignCertificate, SignPasswordBlocked at none, and the card's own errors.
    """
    if not isinstance(card, SigningCard):
        raise SigningWayMissing("the card's way leads to its other key only")
    tries_left = card.present_signing_key()
    if tries_left == 0:
        raise SignPasswordBlocked(by_this_try=False)
    return tries_left


def sign_documents(card: AuthenticationCard, request: SignRequest, password: str) -> SignedDocuments:
    """Verify the password once, read and judge the certificate, sign every document, and prove every signature.

    The caller has asked `check_sign_tries` and holds the frame's signature. Raises the card's own errors,
    SignCertificateUnsuitable, SignCertificateExpired, HierarchyForeign, SignatureMismatch; then nothing leaves.
    """
    if not isinstance(card, SigningCard):
        raise SigningWayMissing("the card's way leads to its other key only")
    card.verify_sign_password(password)
    certificate = card.sign_certificate()
    key = judge_certificate(certificate, request, purpose=SIGNING, ca_certificate=card.sign_ca_certificate)
    documents = request.act.documents
    return SignedDocuments(
        certificate=certificate,
        cms=tuple(_sign(card, document, certificate) for document in documents if document.form != "raw"),
        raw_signatures=tuple(_sign_raw(card, document, key) for document in documents if document.form == "raw"),
    )


def _sign(card: SigningCard, document: Document, certificate: bytes) -> bytes:
    attributes = cms.with_certificate(document.to_sign, certificate=certificate)
    signature = card.sign_document(attributes)
    cms.verify_attributes(attributes, signature, certificate=certificate)
    return cms.signed_data(attributes, signature, certificate=certificate, ca_certificate=None, scheme=_SCHEME)


def _sign_raw(card: SigningCard, document: Document, key: rsa.RSAPublicKey) -> bytes:
    signature = card.sign_digest(document.to_sign)
    try:
        key.verify(signature, document.to_sign, padding.PKCS1v15(), utils.Prehashed(SHA256()))
    except InvalidSignature:
        raise SignatureMismatch("the card's signature does not verify with its certificate") from None
    return signature
