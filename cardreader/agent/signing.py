"""One card, one request: everything that is judged before the PIN, and the one signature after it.

Pages (app.py) and programs (`answer_request`) both come through here, so there is no second way to a card.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from cardreader.agent.frame import build_frame
from cardreader.agent.request import SignRequest
from cardreader.authentication import AuthenticationCard, CardFace, PINPadCard, PINPadMissing
from cardreader.errors import (
    CertificateExpired,
    CertificateUnsuitable,
    HierarchyForeign,
    LastTryNotConfirmed,
    PINBlocked,
    SignatureMismatch,
)

MIN_RSA_BITS = 2048
PAD_SECONDS = 30  # for typing on a reader
_JAPAN = timezone(timedelta(hours=9))


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentedCard:
    """A card that may be asked for its PIN: its face was read, and its certificate, where readable yet, was judged."""

    face: CardFace
    has_pin_pad: bool = False
    """The reader has keys of its own for the PIN."""

    @property
    def tries_left(self) -> int | None:
        """As the card told before any PIN; None where it does not tell."""
        return self.face.tries_left


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSignature:
    """What the card made: PKCS#1 v1.5 with SHA-256 over the frame, already verified with the certificate's key."""

    certificate: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    algorithm: str
    reader_kind: str


def present_card(card: AuthenticationCard, request: SignRequest) -> PresentedCard:
    """Read and judge the card for `request`; uses no PIN try.

    Raises the card's own errors, PINBlocked where no try is left, CertificateUnsuitable, CertificateExpired,
    HierarchyForeign. A phone shows its certificate only after the PIN: it is judged then.
    """
    face = card.present()
    if face.tries_left == 0:
        raise PINBlocked(by_this_try=False)
    if face.certificate is not None:
        _judge_certificate(face.certificate, card, request)
    return PresentedCard(face=face, has_pin_pad=isinstance(card, PINPadCard) and card.has_pin_pad)


def check_tries(tries_left: int | None, *, floor: int) -> None:
    """Raise LastTryNotConfirmed below `floor` tries; a card that does not tell counts as one with a single try."""
    if (tries_left or 1) < floor:
        raise LastTryNotConfirmed(tries_left)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPINPad:
    """In a PIN's place: the holder types it on the reader, within `seconds` (1 to 255)."""

    language: str
    seconds: int


def sign_with_pin(
    card: AuthenticationCard, presented: PresentedCard, request: SignRequest, pin: str | OnPINPad
) -> CardSignature:
    """Verify the PIN once, sign the frame, and prove the signature with the certificate.

    The caller has asked `check_tries`. Raises the card's own errors; SignatureMismatch; for phones also what
    `present_card` raises.
    """
    if isinstance(pin, str):
        card.verify_pin(pin)
    elif isinstance(card, PINPadCard):
        card.verify_pin_on_pad(language=pin.language, seconds=pin.seconds)
    else:
        raise PINPadMissing("the card's way knows no reader keys")
    der = presented.face.certificate
    if der is None:
        der = card.certificate()
        _judge_certificate(der, card, request)
    frame = build_frame(
        tag=request.tag,
        issuer=request.issuer,
        origin=request.origin,
        request_key_thumbprint=request.request_key_thumbprint,
        nonce=request.nonce,
        client_id=request.client_id,
        transaction=request.transaction,
        action=request.action,
        previous=request.previous,
        issued_at_ms=int(request.issued_at.timestamp()) * 1000,
        certificate=der,
    )
    signature = card.sign(frame)
    try:
        _rsa_key(_load_certificate(der)).verify(signature, frame, padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        raise SignatureMismatch("the card's signature does not verify with its certificate") from None
    return CardSignature(
        certificate=der,
        signature=signature,
        algorithm=card.algorithm,
        reader_kind=card.reader_kind,
    )


def _judge_certificate(der: bytes, card: AuthenticationCard, request: SignRequest) -> None:
    """Kind, dates and issuer, as far as that saves a PIN try; the broker judges all of it again, and revocation.

    Dates are held against the broker's time of the request: a home clock may be years off.
    """
    certificate = _load_certificate(der)
    _require_authentication_kind(certificate)
    if not certificate.not_valid_before_utc <= request.issued_at <= certificate.not_valid_after_utc:
        raise CertificateExpired(_date_in_japan(certificate.not_valid_after_utc))
    accepted = (key for digest, key in request.broker.issuer_keys.items() if digest in request.accepted_issuers)
    if any(_is_issued_by(certificate, key) for key in accepted):
        return
    if not any(_is_issued_by(certificate, key) for key in _card_issuer_key(card, request)):
        raise HierarchyForeign("no accepted CA key has signed the certificate")


def _card_issuer_key(card: AuthenticationCard, request: SignRequest) -> Iterator[bytes]:
    """The key of the CA certificate on the card, where the signed request lists it: a CA newer than our trust file."""
    unknown = request.accepted_issuers - request.broker.issuer_keys.keys()
    if not unknown:
        return
    der = card.ca_certificate()
    key = _public_key_info(_load_certificate(der))
    if hashlib.sha256(key).digest() in unknown:
        yield key


def _load_certificate(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion):
        raise CertificateUnsuitable("the certificate cannot be read") from None


def _public_key_info(certificate: x509.Certificate) -> bytes:
    try:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateUnsuitable("the certificate's key cannot be read") from None


def _require_authentication_kind(certificate: x509.Certificate) -> None:
    _rsa_key(certificate)
    try:
        extensions = certificate.extensions
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        raise CertificateUnsuitable("the extensions cannot be read or lack a key usage") from None
    if not usage.digital_signature or usage.content_commitment or usage.key_cert_sign:
        raise CertificateUnsuitable("the key usage is not that of a user-authentication certificate")


def _rsa_key(certificate: x509.Certificate) -> rsa.RSAPublicKey:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateUnsuitable("the certificate's key cannot be read") from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < MIN_RSA_BITS:
        raise CertificateUnsuitable(f"the certificate's key is not RSA of at least {MIN_RSA_BITS} bits")
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
