"""A certificate on its way to being believed: the type says how far it has come.

UnverifiedCertificate is what a card or a stranger sent, TrustedCertificate has a path to an anchor under a
profile, UnrevokedCertificate has revocation evidence as well. Only `path` and `revocation`'s caller make the
later two, so a function that asks for one cannot be handed less.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import Extension, ExtensionType, Name

from broker.errors import CertificateMalformed, CertificateRenewing, CertificateRevoked, RevocationUnknown

if TYPE_CHECKING:
    from broker.jpki.revocation import RevocationVerdict

ExtensionT = TypeVar("ExtensionT", bound=ExtensionType)

MAX_CERTIFICATE: Final = 8 * 1024
"""Bytes. A JPKI leaf has under 2,000 and a CA 1,319; the rest is room for other authorities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedCertificate:
    """One well-formed DER certificate (RFC 5280 §4.1); nothing in it is believed yet."""

    der: bytes = field(repr=False)
    x509: x509.Certificate = field(repr=False)
    key: CertificatePublicKeyTypes = field(repr=False)
    spki: bytes = field(repr=False)
    serial: int = field(repr=False)
    not_before: datetime
    not_after: datetime
    extensions: Mapping[type[ExtensionType], Extension[Any]] = field(repr=False)

    def extension(self, kind: type[ExtensionT]) -> Extension[ExtensionT] | None:
        """The extension of this type (RFC 5280 §4.2: at most one), or None; not for UnrecognizedExtension."""
        found: Extension[ExtensionT] | None = self.extensions.get(kind)
        return found

    @property
    def subject(self) -> Name:
        """Read when asked for: who logs in is known by serial, and a name costs as much as the rest of the parsing.

        Raises CertificateMalformed where an attribute cannot be decoded.
        """
        return _name(lambda: self.x509.subject)

    @property
    def issuer(self) -> Name:
        """As `subject`."""
        return _name(lambda: self.x509.issuer)


def _name(read: Callable[[], Name]) -> Name:
    try:
        return read()
    except Exception as error:  # a parser of hostile bytes fails in many ways, and each means the same
        raise CertificateMalformed(f"a name cannot be read ({type(error).__name__})") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedCertificate:
    """A leaf with a valid path to an anchor at the time asked, under `profile`. Revocation has not been looked at.

    `issuer` is the DER of the certificate that issued it, `issuer_key_hash` SHA-256 over that certificate's
    SubjectPublicKeyInfo: with `serial` it names this certificate among all others (never the issuer's name, which
    CA generations share). `kind` says what holds the key ("plastic" for a card). `not_after` is inclusive.
    """

    der: bytes = field(repr=False)
    issuer: bytes = field(repr=False)
    issuer_key_hash: bytes
    serial: int = field(repr=False)
    spki: bytes = field(repr=False)
    not_before: datetime
    not_after: datetime
    profile: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnrevokedCertificate:
    """A trusted certificate that revocation evidence calls good (R11). Build it with `unrevoked`."""

    certificate: TrustedCertificate
    evidence: RevocationVerdict


def unrevoked(certificate: TrustedCertificate, verdict: RevocationVerdict) -> UnrevokedCertificate:
    """Join a certificate with its verdict. Unknown refuses (R11).

    Raises RevocationUnknown, CertificateRevoked, or CertificateRenewing where the reason is superseded.
    """
    match verdict.status.value:
        case "good":
            return UnrevokedCertificate(certificate=certificate, evidence=verdict)
        case "revoked" if verdict.reason == "superseded":
            raise CertificateRenewing(verdict.reason)
        case "revoked":
            raise CertificateRevoked(verdict.reason)
        case _:
            raise RevocationUnknown(verdict.reason)


def parse(der: bytes) -> UnverifiedCertificate:
    """Read one DER certificate of at most 8 KiB, all of it but its names, which are read when asked for.

    Raises CertificateMalformed, and nothing else whatever the bytes are.
    """
    if len(der) > MAX_CERTIFICATE:
        raise CertificateMalformed("certificate is longer than 8 KiB")
    return _parse(bytes(der))


@functools.lru_cache(maxsize=64)
def _parse(der: bytes) -> UnverifiedCertificate:
    """Remembers the last few: each step of one decision starts from the bytes."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        parsed = UnverifiedCertificate(
            der=der,
            x509=certificate,
            key=key,
            spki=key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            serial=certificate.serial_number,
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            extensions={type(each.value): each for each in certificate.extensions},
        )
        _ = certificate.signature_algorithm_oid  # lazily parsed: it fails here, not in a rule
        unused_bits = der[-len(certificate.signature) - 1]  # the signature's BIT STRING ends the certificate
    except Exception as error:  # a parser of hostile bytes fails in many ways, and each means the same
        raise CertificateMalformed(f"not one DER certificate ({type(error).__name__})") from None
    if unused_bits:  # the parser takes a last bit that is zero for unused: one certificate, two encodings
        raise CertificateMalformed("the signature is not whole octets")
    if not 0 < parsed.serial < 2**160:
        raise CertificateMalformed("serial number is not a positive one of at most 20 octets")  # RFC 5280 §4.1.2.2
    return parsed


def issuer_key_hash(issuer: bytes) -> bytes:
    """SHA-256 over the DER SubjectPublicKeyInfo of the CA certificate `issuer` (DER). Raises CertificateMalformed."""
    return _key_hash(bytes(issuer))


@functools.lru_cache(maxsize=64)
def _key_hash(issuer: bytes) -> bytes:
    return hashlib.sha256(parse(issuer).spki).digest()
