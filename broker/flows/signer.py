"""Whose 署名用 key signed a card transaction's documents: its certificate judged as strictly as the 利用者証明用 one.

Signatures hold by now (`documents_to_sign.judge`). The path comes before the network, revocation and correspondence
after it (design 4.5); both certificates must be good, and one person's as far as anybody can tell.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime

from broker.accounts.credential import CredentialKey
from broker.accounts.lifecycle import CertificateName
from broker.audit.receipt import SignedDocument
from broker.errors import (
    AnswerMalformed,
    CertificateError,
    CertificateExpired,
    CertificateRenewing,
    CertificateRevoked,
    SignCertificateExpired,
    SignCertificateOfAnother,
    SignCertificateOutdated,
    SignCertificateRenewing,
    SignCertificateRevoked,
)
from broker.flows.documents_to_sign import Asked, SignedDocuments
from broker.flows.evidence import Unrevoked, prove_unrevoked
from broker.flows.ports import Ports
from broker.jose import b64url_decode
from broker.jpki.certificate import TrustedCertificate
from broker.jpki.path import validate_path
from broker.jpki.profile import DIGITAL_SIGNATURE


def trusted_signer(
    signed: SignedDocuments, *, beside: TrustedCertificate, now: datetime, ports: Ports
) -> TrustedCertificate:
    """The signer's certificate with a path to an accepted authority; `beside` is the 利用者証明用 one of the answer.

    Raises CertificateMalformed, CertificateUntrusted, SignCertificateExpired, AnswerMalformed.
    """
    try:
        trusted = validate_path(
            signed.certificate, anchors=ports.policy.sign_anchors, at=now, profile=DIGITAL_SIGNATURE
        )
    except CertificateExpired as expired:
        raise SignCertificateExpired(str(expired)) from expired
    if trusted.kind != beside.kind:
        raise AnswerMalformed("the two keys are not in one card")
    return trusted


def prove_signer(
    signed: SignedDocuments,
    trusted: TrustedCertificate,
    *,
    beside: TrustedCertificate,
    now: datetime,
    ports: Ports,
) -> tuple[SignedDocuments, Unrevoked]:
    """`signed` with what the network says of its certificate: not revoked, and (where J-LIS can be asked) the same
    person's as `beside`. Where nobody can be asked, nothing but this transaction ties the two together (R7, 4.13).

    Raises RevocationUnknown, SignCertificateRevoked and its like, SignCertificateOfAnother, CorrespondenceUnknown,
    StoreUnavailable.
    """
    key = CredentialKey(
        issuer_key_hash=trusted.issuer_key_hash,
        serial_fingerprint=ports.keys.serial_fingerprint(trusted.issuer_key_hash, trusted.serial),
    )
    try:
        proved = prove_unrevoked(trusted, key, now=now, ports=ports)
    except (CertificateRevoked, CertificateRenewing) as refusal:
        raise _refused(key, ports) from refusal
    corresponds = None
    if ports.correspondence is not None:
        corresponds = ports.correspondence.correspond(_name(beside), _name(trusted))
    if corresponds is False:
        raise SignCertificateOfAnother("J-LIS says that the two certificates are not one person's")
    judged = signed.judged(
        one_transaction=corresponds is None,
        revocation_source=proved.address,
        revocation_this_update=proved.this_update,
    )
    return judged, proved


def signed_documents(asked: Asked, signed: SignedDocuments) -> Iterator[SignedDocument]:
    """What a receipt says of each document: hashes, and in which form it was signed."""
    for document, signature in zip(asked.documents, signed.signatures, strict=True):
        yield SignedDocument(
            sha256=b64url_decode(document["sha256"]),
            form=document.get("form", "cades"),
            signature=hashlib.sha256(signature).digest(),
        )


def _refused(key: CredentialKey, ports: Ports) -> CertificateError:
    """Why it was revoked decides what its holder is told to do; the check has just remembered it (R12)."""
    with ports.store.transaction() as tx:
        reason = tx.revoked.reason(key)
    match reason:
        case "affiliationChanged":
            return SignCertificateOutdated(reason)
        case "superseded":
            return SignCertificateRenewing(reason)
        case _:
            return SignCertificateRevoked(reason or "unspecified")


def _name(certificate: TrustedCertificate) -> CertificateName:
    return CertificateName(issuer_key_hash=certificate.issuer_key_hash, serial=certificate.serial)
