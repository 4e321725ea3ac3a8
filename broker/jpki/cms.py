"""What the 署名用 key signs, and whether it did: detached CMS SignedData (RFC 5652) over attributes that we built.

The agent adds one attribute, the reference to the certificate it read from the card (ESS signing-certificate-v2, RFC
5035), so the signed bytes are known here but for that certificate: they are built again from our own template and
compared. Nothing in the structure is believed that is not compared or covered by the signature.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

from broker.errors import DocumentChanged, SignatureInvalid
from broker.jpki import der
from broker.jpki.certificate import MAX_CERTIFICATE, UnverifiedCertificate, parse
from broker.jpki.challenge import verify_signature
from broker.jpki.der import Element

MAX_CMS: Final = MAX_CERTIFICATE + 8 * 1024
"""Bytes: one certificate, a few hundred of attributes, one signature."""
MAX_ATTRIBUTES: Final = 4 * 1024

SET: Final = 0x31
_NULL: Final = 0x05
_VERSION_1: Final = b"\x02\x01\x01"
_CONTEXT_0: Final = 0xA0

_DATA: Final = bytes.fromhex("06092a864886f70d010701")  # id-data, RFC 5652 §4
_SIGNED_DATA: Final = bytes.fromhex("06092a864886f70d010702")  # id-signedData, §5.1
_CONTENT_TYPE: Final = bytes.fromhex("06092a864886f70d010903")  # §11.1
_MESSAGE_DIGEST: Final = bytes.fromhex("06092a864886f70d010904")  # §11.2
_SIGNING_TIME: Final = bytes.fromhex("06092a864886f70d010905")  # §11.3
_SIGNING_CERTIFICATE_V2: Final = bytes.fromhex("060b2a864886f70d010910022f")  # RFC 5035 §3
_SHA256: Final = bytes.fromhex("0609608648016503040201")
_RSA: Final = bytes.fromhex("06092a864886f70d010101")  # rsaEncryption, RFC 3370 §3.2: either name is in use
_SHA256_RSA: Final = bytes.fromhex("06092a864886f70d01010b")  # sha256WithRSAEncryption, RFC 5754 §3.2
_NO_PARAMETERS: Final = (b"", bytes([_NULL, 0]))  # RFC 5754 §2: absent or NULL, both are to be understood
_UTC_TIME_UNTIL: Final = 2050  # RFC 5652 §11.3


@dataclass(frozen=True, slots=True, kw_only=True)
class DetachedSignature:
    """A signature whose bytes hold; whether its certificate is worth anything is the path's to say."""

    certificate: bytes = field(repr=False)
    """The one certificate that came with it, in DER; its key made the signature."""
    attributes: bytes = field(repr=False)
    """The signed attributes as they were hashed (DER SET OF), the reference to the certificate among them."""
    signature: bytes = field(repr=False)


def signed_attributes(digest: bytes, signing_time: datetime | None) -> bytes:
    """The attributes of a document as we hand them to the agent: DER SET OF, without the certificate's reference.

    `digest` is SHA-256 over what is signed; `signing_time` is aware, and whole seconds: None for a PDF, which states
    its time itself (ETSI EN 319 142-1 §6.3). Raises ValueError: both are our own.
    """
    if len(digest) != hashlib.sha256().digest_size:
        raise ValueError("a SHA-256 digest has 32 bytes")
    if signing_time is not None and (signing_time.tzinfo is None or signing_time.microsecond):
        raise ValueError("signing_time is an aware datetime of whole seconds")
    return _set_of(
        (
            _attribute(_CONTENT_TYPE, _DATA),
            _attribute(_MESSAGE_DIGEST, der.write(der.OCTET_STRING, digest)),
            *([] if signing_time is None else [_attribute(_SIGNING_TIME, _time(signing_time))]),
        )
    )


def with_certificate(attributes: bytes, certificate: bytes) -> bytes:
    """`attributes` with the reference to `certificate` (DER) in its place: what the key signs (RFC 5035 §4).

    The hash is SHA-256, its name left out as the default, and issuer and serial are not repeated. Raises ValueError.
    """
    identifier = der.write(der.SEQUENCE, der.write(der.OCTET_STRING, hashlib.sha256(certificate).digest()))
    reference = der.write(der.SEQUENCE, der.write(der.SEQUENCE, identifier))
    given = [element.raw for element in der.whole(attributes, SET).children()]
    return _set_of((*given, _attribute(_SIGNING_CERTIFICATE_V2, reference)))


def verify_detached(cms: bytes, *, attributes: bytes) -> DetachedSignature:
    """Judge a detached CMS over `attributes`, which `signed_attributes` built.

    One signer, one certificate, SHA-256 with RSA, no content, no unsigned attribute, no revocation data. Raises
    DocumentChanged where something else was signed, CertificateMalformed for a certificate that is none, else
    SignatureInvalid; nothing else whatever the bytes are.
    """
    if len(cms) > MAX_CMS or len(attributes) > MAX_ATTRIBUTES:
        raise SignatureInvalid("the CMS is longer than a signature with one certificate")
    try:
        certificate, signer = _read(cms)
        given, signature = _signer(signer, parse(certificate))
        expected = with_certificate(attributes, certificate)
    except (ValueError, IndexError):
        raise SignatureInvalid("not the detached CMS of one signer") from None
    if given != expected:
        raise DocumentChanged("the signed attributes are not those of this transaction and certificate")
    verify_signature(parse(certificate).spki, expected, signature, algorithm="RS256")
    return DetachedSignature(certificate=certificate, attributes=expected, signature=signature)


def certificate_of(cms: bytes) -> bytes:
    """The certificate (DER) in a CMS that `verify_detached` accepted once. Raises SignatureInvalid."""
    try:
        return _read(cms)[0]
    except (ValueError, IndexError):
        raise SignatureInvalid("not the detached CMS of one signer") from None


def verify_raw(certificate: bytes, digest: bytes, signature: bytes) -> None:
    """Check that the key of `certificate` (DER) signed `digest` (SHA-256) as it is, with no attributes around it.

    Raises SignatureInvalid, CertificateMalformed.
    """
    key = parse(certificate).key
    if not isinstance(key, rsa.RSAPublicKey):
        raise SignatureInvalid("the key is of another kind")
    try:
        key.verify(signature, digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        raise SignatureInvalid("signature is not by this key over this digest") from None


def detached(signature: DetachedSignature) -> bytes:
    """The DER ContentInfo of a signature that was verified, in the one form we keep and hand on (RFC 5652 §5.1).

    Raises CertificateMalformed.
    """
    certificate = parse(signature.certificate)
    algorithm = der.write(der.SEQUENCE, _SHA256)
    signer = der.write(
        der.SEQUENCE,
        _VERSION_1,
        _issuer_and_serial(certificate),
        algorithm,
        _tagged(_CONTEXT_0, signature.attributes),
        der.write(der.SEQUENCE, _SHA256_RSA, _NO_PARAMETERS[1]),
        der.write(der.OCTET_STRING, signature.signature),
    )
    data = der.write(
        der.SEQUENCE,
        _VERSION_1,
        der.write(SET, algorithm),
        der.write(der.SEQUENCE, _DATA),
        der.write(_CONTEXT_0, signature.certificate),
        der.write(SET, signer),
    )
    return der.write(der.SEQUENCE, _SIGNED_DATA, der.write(_CONTEXT_0, data))


# --- reading ---------------------------------------------------------------------------------------------------------


def _read(cms: bytes) -> tuple[bytes, Element]:
    """The certificate and the SignerInfo. Raises ValueError where anything else stands in it."""
    kind, content = der.whole(cms, der.SEQUENCE).children()
    if kind.raw != _SIGNED_DATA or content.tag != _CONTEXT_0:
        raise ValueError("not SignedData")
    (data,) = content.children()
    if data.tag != der.SEQUENCE:
        raise ValueError("not SignedData")
    version, digests, encapsulated, certificates, signers = data.children()
    if version.raw != _VERSION_1 or digests.tag != SET or signers.tag != SET:
        raise ValueError("not SignedData of version 1")
    (digest,) = digests.children()
    _check_algorithm(digest, _SHA256)
    if encapsulated.raw != der.write(der.SEQUENCE, _DATA):
        raise ValueError("with content, or of another type")
    if certificates.tag != _CONTEXT_0:
        raise ValueError("without certificate")
    (certificate,) = certificates.children()
    (signer,) = signers.children()
    if signer.tag != der.SEQUENCE:
        raise ValueError("no SignerInfo")
    return certificate.raw, signer


def _signer(signer: Element, certificate: UnverifiedCertificate) -> tuple[bytes, bytes]:
    """The signed attributes as they are hashed (§5.4: with the tag of a SET OF), and the signature."""
    version, identifier, digest, attributes, algorithm, signature = signer.children()
    if version.raw != _VERSION_1 or identifier.raw != _issuer_and_serial(certificate):
        raise ValueError("the signer is another certificate, or named in another way")
    _check_algorithm(digest, _SHA256)
    _check_algorithm(algorithm, _RSA, _SHA256_RSA)
    if attributes.tag != _CONTEXT_0 or signature.tag != der.OCTET_STRING:
        raise ValueError("without signed attributes or signature")
    return _tagged(SET, attributes.raw), signature.value


def _check_algorithm(identifier: Element, *known: bytes) -> None:
    if identifier.tag != der.SEQUENCE:
        raise ValueError("no algorithm")
    name, *_ = identifier.children()
    if name.raw not in known or identifier.value[len(name.raw) :] not in _NO_PARAMETERS:
        raise ValueError("another algorithm")


def _issuer_and_serial(certificate: UnverifiedCertificate) -> bytes:
    """IssuerAndSerialNumber (§10.2.4), the bytes as they stand in the certificate (RFC 5280 §4.1)."""
    to_be_signed = der.signed(certificate.der).body
    fields = [field for field in to_be_signed.children() if field.tag != _CONTEXT_0]  # the version, where it stands
    serial, _, issuer = fields[:3]
    return der.write(der.SEQUENCE, issuer.raw, serial.raw)


# --- writing ---------------------------------------------------------------------------------------------------------


def _attribute(name: bytes, value: bytes) -> bytes:
    return der.write(der.SEQUENCE, name, der.write(SET, value))


def _set_of(elements: tuple[bytes, ...]) -> bytes:
    """DER: the elements of a SET OF stand in the order of their encodings (X.690 §11.6)."""
    return der.write(SET, *sorted(elements))


def _tagged(tag: int, element: bytes) -> bytes:
    return bytes([tag]) + element[1:]


def _time(moment: datetime) -> bytes:
    utc = moment.astimezone(UTC)
    if utc.year < _UTC_TIME_UNTIL:
        return der.write(der.UTC_TIME, utc.strftime("%y%m%d%H%M%SZ").encode("ascii"))
    return der.write(der.GENERALIZED_TIME, utc.strftime("%Y%m%d%H%M%SZ").encode("ascii"))
