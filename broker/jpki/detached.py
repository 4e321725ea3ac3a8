"""A detached CMS that a principal made with a tool of their own, over bytes that we have (RFC 5652, CAdES-B).

Other tools order attributes as they like, add some of their own and send the certificates above theirs along, so
nothing is rebuilt here as `cms` does; what is not covered by the signature is refused, not ignored. The signer's
certificate must be named by the signed attributes (ESS signing-certificate-v2, RFC 5035; ETSI EN 319 122-1 §5.2.2),
else another certificate of the same key could take its place.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from broker.errors import DocumentChanged, InvalidToken, SignatureInvalid
from broker.jose import raw_ecdsa
from broker.jpki import der
from broker.jpki.certificate import parse
from broker.jpki.challenge import verify_signature
from broker.jpki.der import Element

MAX_CMS: Final = 32 * 1024
MAX_CERTIFICATES: Final = 6
MAX_ATTRIBUTES: Final = 16

_SET: Final = 0x31
_CONTEXT_0: Final = 0xA0
_VERSION_1: Final = b"\x02\x01\x01"
_DATA: Final = bytes.fromhex("06092a864886f70d010701")
_SIGNED_DATA: Final = bytes.fromhex("06092a864886f70d010702")
_CONTENT_TYPE: Final = bytes.fromhex("06092a864886f70d010903")
_MESSAGE_DIGEST: Final = bytes.fromhex("06092a864886f70d010904")
_SIGNING_CERTIFICATE_V2: Final = bytes.fromhex("060b2a864886f70d010910022f")
_HASHES: Final = {
    bytes.fromhex("0609608648016503040201"): "sha256",
    bytes.fromhex("0609608648016503040202"): "sha384",
    bytes.fromhex("0609608648016503040203"): "sha512",
}
_RSA: Final = bytes.fromhex("06092a864886f70d010101")  # rsaEncryption: the digest is said beside it
_ALGORITHMS: Final = {
    bytes.fromhex("06092a864886f70d01010b"): "RS256",
    bytes.fromhex("06092a864886f70d01010c"): "RS384",
    bytes.fromhex("06092a864886f70d01010d"): "RS512",
    bytes.fromhex("06082a8648ce3d040302"): "ES256",
    bytes.fromhex("06082a8648ce3d040303"): "ES384",
    bytes.fromhex("06082a8648ce3d040304"): "ES512",
}
_NO_PARAMETERS: Final = (b"", b"\x05\x00")


@dataclass(frozen=True, slots=True, kw_only=True)
class Detached:
    """A signature that holds over the content; whether its certificate is worth anything is the path's to say."""

    certificate: bytes = field(repr=False)
    """The signer's (DER)."""
    others: tuple[bytes, ...] = field(repr=False)
    """Certificates that came along, which are a stranger's word."""


def verify(cms: bytes, content: bytes) -> Detached:
    """Judge `cms` (DER) over `content`.

    One signer, SHA-2, no content inside, no unsigned attribute, no revocation data. Raises DocumentChanged where it is
    over other bytes, CertificateMalformed for a certificate that is none, else SignatureInvalid; nothing else whatever
    the bytes are.
    """
    if len(cms) > MAX_CMS:
        raise SignatureInvalid("the CMS is longer than a signature with its certificates")
    try:
        certificates, signer = _read(cms)
        return _judged(certificates, signer, content)
    except (ValueError, IndexError):
        raise SignatureInvalid("not the detached CMS of one signer") from None


def _read(cms: bytes) -> tuple[tuple[bytes, ...], Element]:
    kind, content = der.whole(cms, der.SEQUENCE).children()
    if kind.raw != _SIGNED_DATA or content.tag != _CONTEXT_0:
        raise ValueError("not SignedData")
    (data,) = content.children()
    version, digests, encapsulated, certificates, signers = data.children()  # with a CRL there are six
    if data.tag != der.SEQUENCE or version.raw != _VERSION_1 or (digests.tag, signers.tag) != (_SET, _SET):
        raise ValueError("not SignedData of version 1")
    if encapsulated.raw != der.write(der.SEQUENCE, _DATA) or certificates.tag != _CONTEXT_0:
        raise ValueError("with content, of another type, or without certificates")
    found = tuple(each.raw for each in certificates.children())
    (signer,) = signers.children()
    if not 1 <= len(found) <= MAX_CERTIFICATES or signer.tag != der.SEQUENCE:
        raise ValueError("no certificates, or too many")
    return found, signer


def _judged(certificates: tuple[bytes, ...], signer: Element, content: bytes) -> Detached:
    version, identifier, digest, attributes, algorithm, signature = signer.children()  # with unsigned ones, seven
    if version.raw != _VERSION_1 or attributes.tag != _CONTEXT_0 or signature.tag != der.OCTET_STRING:
        raise ValueError("no SignerInfo of version 1 with signed attributes")
    name = _hash(digest)
    (certificate,) = {each for each in certificates if _named(each) == identifier.raw}  # exactly one, by its very bytes
    told = _attributes(attributes)
    if told.get(_CONTENT_TYPE) != _DATA:
        raise ValueError("the content is of another type")
    if told.get(_MESSAGE_DIGEST) != der.write(der.OCTET_STRING, hashlib.new(name, content).digest()):
        raise DocumentChanged("the signature is over other bytes")
    _check_certificate(told, certificate)
    used = _algorithm(algorithm, name)
    signed = bytes([_SET]) + attributes.raw[1:]  # §5.4: hashed with the tag of a SET OF
    try:
        value = raw_ecdsa(signature.value, algorithm=used) if used.startswith("ES") else signature.value
    except (InvalidToken, OverflowError):
        raise ValueError("no signature of that curve") from None
    verify_signature(parse(certificate).spki, signed, value, algorithm=used)
    return Detached(certificate=certificate, others=tuple(each for each in certificates if each != certificate))


def _named(certificate: bytes) -> bytes:
    """IssuerAndSerialNumber (§10.2.4), the bytes as they stand. Raises CertificateMalformed, ValueError."""
    body = der.signed(parse(certificate).der).body
    serial, _, issuer = [each for each in body.children() if each.tag != _CONTEXT_0][:3]
    return der.write(der.SEQUENCE, issuer.raw, serial.raw)


def _attributes(attributes: Element) -> dict[bytes, bytes]:
    """Type to value; each type once, with one value. What we do not know is covered by the signature, and harmless."""
    told: dict[bytes, bytes] = {}
    for each in attributes.children():
        kind, values = each.children()
        (value,) = values.children()
        if each.tag != der.SEQUENCE or values.tag != _SET or kind.raw in told or len(told) >= MAX_ATTRIBUTES:
            raise ValueError("an attribute twice, with several values, or too many")
        told[kind.raw] = value.raw
    return told


def _check_certificate(told: dict[bytes, bytes], certificate: bytes) -> None:
    """RFC 5035 §3: the first identifier is the signer's. Raises SignatureInvalid."""
    try:
        (first, *_) = next(der.whole(told[_SIGNING_CERTIFICATE_V2], der.SEQUENCE).children()).children()
        parts = list(first.children())
    except (KeyError, ValueError, StopIteration):
        raise SignatureInvalid("the signature does not name its certificate (CAdES)") from None
    name = _hash(parts.pop(0)) if parts and parts[0].tag == der.SEQUENCE else "sha256"
    if not parts or parts[0].raw != der.write(der.OCTET_STRING, hashlib.new(name, certificate).digest()):
        raise SignatureInvalid("the signature names another certificate")


def _hash(identifier: Element) -> str:
    name, *rest = identifier.children()
    if identifier.tag != der.SEQUENCE or b"".join(each.raw for each in rest) not in _NO_PARAMETERS:
        raise ValueError("another digest")
    try:
        return _HASHES[name.raw]
    except KeyError:
        raise ValueError("another digest") from None


def _algorithm(identifier: Element, digest: str) -> str:
    name, *rest = identifier.children()
    if identifier.tag != der.SEQUENCE or b"".join(each.raw for each in rest) not in _NO_PARAMETERS:
        raise ValueError("another algorithm")
    used = f"RS{digest[3:]}" if name.raw == _RSA else _ALGORITHMS.get(name.raw, "")
    if used[2:] != digest[3:]:
        raise ValueError("another algorithm")
    return used
