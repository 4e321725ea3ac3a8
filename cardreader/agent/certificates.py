"""What a card's certificate must be before a request is answered with it; the broker judges all of it again.

As far as it saves a PIN try, and so that nothing is signed with a certificate that the broker would refuse. Revocation
is the broker's affair alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from cardreader.agent.request import SignRequest
from cardreader.errors import (
    CertificateExpired,
    CertificateUnsuitable,
    HierarchyForeign,
    HPKICertificateExpired,
    HPKICertificateUnsuitable,
    SignCertificateExpired,
    SignCertificateUnsuitable,
)

MIN_RSA_BITS = 2048
_JAPAN = timezone(timedelta(hours=9))


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """What a certificate is for, by its key usage (RFC 5280 section 4.2.1.3), and the errors that speak of it."""

    signs_documents: bool
    """Whether contentCommitment (nonRepudiation) must stand there; otherwise it must not."""
    unsuitable: type[CertificateUnsuitable] | type[SignCertificateUnsuitable] | type[HPKICertificateUnsuitable]
    expired: type[CertificateExpired] | type[SignCertificateExpired] | type[HPKICertificateExpired]


AUTHENTICATION = Purpose(signs_documents=False, unsuitable=CertificateUnsuitable, expired=CertificateExpired)
"""利用者証明用"""
SIGNING = Purpose(signs_documents=True, unsuitable=SignCertificateUnsuitable, expired=SignCertificateExpired)
"""署名用"""
LICENCE = Purpose(signs_documents=False, unsuitable=HPKICertificateUnsuitable, expired=HPKICertificateExpired)
"""HPKI, 認証用. Which licence it states, the broker judges."""


def judge_certificate(
    der: bytes, request: SignRequest, *, purpose: Purpose, ca_certificate: Callable[[], bytes]
) -> rsa.RSAPublicKey:
    """Its key, once kind, dates and issuer are right for `request`. Raises the purpose's errors, HierarchyForeign.

    Dates are held against the broker's time of the request: a home clock may be years off. `ca_certificate` reads the
    one on the card; it is asked only where the signed request lists a CA newer than our trust file.
    """
    certificate = _load(der, purpose)
    key = _require_kind(certificate, purpose)
    if not certificate.not_valid_before_utc <= request.issued_at <= certificate.not_valid_after_utc:
        raise purpose.expired(_date_in_japan(certificate.not_valid_after_utc))
    accepted = (key for digest, key in request.broker.issuer_keys.items() if digest in request.accepted_issuers)
    if any(_is_issued_by(certificate, issuer) for issuer in accepted):
        return key
    if not any(_is_issued_by(certificate, issuer) for issuer in _card_issuer_key(request, purpose, ca_certificate)):
        raise HierarchyForeign("no accepted CA key has signed the certificate")
    return key


def _card_issuer_key(request: SignRequest, purpose: Purpose, ca_certificate: Callable[[], bytes]) -> Iterator[bytes]:
    unknown = request.accepted_issuers - request.broker.issuer_keys.keys()
    if not unknown:
        return
    key = _public_key_info(_load(ca_certificate(), purpose), purpose)
    if hashlib.sha256(key).digest() in unknown:
        yield key


def _load(der: bytes, purpose: Purpose) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion):
        raise purpose.unsuitable("the certificate cannot be read") from None


def _public_key_info(certificate: x509.Certificate, purpose: Purpose) -> bytes:
    try:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        raise purpose.unsuitable("the certificate's key cannot be read") from None


def _require_kind(certificate: x509.Certificate, purpose: Purpose) -> rsa.RSAPublicKey:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise purpose.unsuitable("the certificate's key cannot be read") from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < MIN_RSA_BITS:
        raise purpose.unsuitable(f"the certificate's key is not RSA of at least {MIN_RSA_BITS} bits")
    try:
        extensions = certificate.extensions
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        raise purpose.unsuitable("the extensions cannot be read or lack a key usage") from None
    signs_documents, signs_challenges = usage.content_commitment, usage.digital_signature
    is_of_kind = signs_documents if purpose.signs_documents else signs_challenges and not signs_documents
    if not is_of_kind or usage.key_cert_sign:
        raise purpose.unsuitable("the key usage is that of another kind of certificate")
    return key


def _is_issued_by(certificate: x509.Certificate, issuer_key: bytes) -> bool:
    """By signature, not by name: all generations of the CA share one name."""
    key = load_der_public_key(issuer_key)
    if not isinstance(key, rsa.RSAPublicKey) or certificate.signature_algorithm_oid not in _RSA_SHA2:
        return False
    try:
        algorithm = certificate.signature_hash_algorithm
        if algorithm is None:
            return False
        key.verify(certificate.signature, certificate.tbs_certificate_bytes, padding.PKCS1v15(), algorithm)
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True


_RSA_SHA2 = frozenset(
    {
        x509.SignatureAlgorithmOID.RSA_WITH_SHA256,
        x509.SignatureAlgorithmOID.RSA_WITH_SHA384,
        x509.SignatureAlgorithmOID.RSA_WITH_SHA512,
    }
)


def _date_in_japan(moment: datetime) -> str:
    return moment.astimezone(_JAPAN).date().isoformat()
