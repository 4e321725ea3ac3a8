"""A detached signature over a file: CMS SignedData (RFC 5652) with the attributes of CAdES-BES (ETSI EN 319 122-1).

Pure: the caller has the attributes signed by a card. No time stamp is in it, so it says what was signed and by which
key, and its time is the signer's own word. For a broker's document (`document_attributes`, `with_certificate`) the
broker writes all attributes but the certificate's, which only the card's side knows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO

from asn1crypto import algos, cms, core, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from cardreader.errors import MalformedCardData, SignatureMismatch

_UTC_TIME_UNTIL = 2050  # RFC 5652 section 11.3
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """How a key signs: names of hashlib and of CMS."""

    hash_name: str
    signature_name: str


SCHEMES = {
    "RS256": Scheme(hash_name="sha256", signature_name="sha256_rsa"),
    "ES384": Scheme(hash_name="sha384", signature_name="sha384_ecdsa"),
}
"""By the JWA name that a card's profile bears."""


def digest_of(file: BinaryIO, scheme: Scheme) -> bytes:
    """The hash of what is left in `file`, read piece by piece. Raises OSError."""
    digest = hashlib.new(scheme.hash_name)
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.digest()


def signed_attributes(*, digest: bytes, certificate: bytes, signed_at: datetime, scheme: Scheme) -> bytes:
    """The DER SET OF attributes that the key signs (RFC 5652 section 5.4): content type, digest, time, certificate.

    The certificate is named by its SHA-256 and by issuer and serial (signing-certificate-v2, RFC 5035), so that no
    other certificate of the same key can be put in its place. `signed_at` is aware; seconds are kept. Raises
    MalformedCardData.
    """
    parsed = _parse(certificate)
    # Each part is encoded before it goes into the next one: asn1crypto encodes whatever was not read from bytes anew at
    # every level, several times, which made this a hundred times slower.
    issuer = _encoded(asn1_x509.GeneralName("directory_name", asn1_x509.Name.load(parsed.issuer.dump())))
    named = {"issuer": [issuer], "serial_number": parsed.serial_number}
    return _set_of([*_document_values(digest, signed_at), _certificate_value(certificate, issuer_serial=named)])


def document_attributes(*, digest: bytes, signed_at: datetime | None) -> bytes:
    """The DER SET OF attributes as a broker writes it: content type, message digest (SHA-256), signing time.

    `signed_at` is aware; seconds are kept; None for a PDF, which states its time itself (ETSI EN 319 142-1 section
    6.3).
    """
    return _set_of(_document_values(digest, signed_at))


def with_certificate(attributes: bytes, *, certificate: bytes) -> bytes:
    """`attributes` (of `document_attributes`) and the signer's certificate by its SHA-256 alone (RFC 5035 section 3).

    Which serial number it bears, the hash says already to whoever holds the certificate, and to nobody else.
    """
    given = cms.CMSAttributes.load(attributes)
    name, value = _certificate_value(certificate, issuer_serial=None)
    added = _encoded(cms.CMSAttribute({"type": name, "values": [value]}))
    return bytes(cms.CMSAttributes([*given, added]).dump())


def verify_attributes(attributes: bytes, signature: bytes, *, certificate: bytes) -> None:
    """Prove what the card made, before anybody is handed it. `signature` is RSA's, or r and s side by side.

    Raises SignatureMismatch, MalformedCardData.
    """
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise MalformedCardData("the certificate cannot be read") from None
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, attributes, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(_der_signature(signature), attributes, ec.ECDSA(hashes.SHA384()))
        else:
            raise MalformedCardData("the certificate's key is neither RSA nor EC")
    except InvalidSignature:
        raise SignatureMismatch("the card's signature does not verify with its certificate") from None


def signed_data(
    attributes: bytes, signature: bytes, *, certificate: bytes, ca_certificate: bytes | None, scheme: Scheme
) -> bytes:
    """The DER ContentInfo, without the content. `signature` as in `verify_attributes`. Raises MalformedCardData."""
    parsed = _parse(certificate)
    algorithm = _digest_algorithm(scheme)
    certificates = [parsed] if ca_certificate is None else [parsed, _parse(ca_certificate)]
    signer = cms.SignerInfo(
        {
            "version": "v1",
            "sid": cms.SignerIdentifier(
                "issuer_and_serial_number",
                cms.IssuerAndSerialNumber({"issuer": parsed.issuer, "serial_number": parsed.serial_number}),
            ),
            "digest_algorithm": algorithm,
            "signed_attrs": cms.CMSAttributes.load(attributes),
            "signature_algorithm": _signature_algorithm(scheme),
            "signature": signature if scheme is SCHEMES["RS256"] else _der_signature(signature),
        }
    )
    data = cms.SignedData(
        {
            "version": "v1",
            "digest_algorithms": [algorithm],
            "encap_content_info": {"content_type": "data"},
            "certificates": certificates,
            "signer_infos": [signer],
        }
    )
    return bytes(cms.ContentInfo({"content_type": "signed_data", "content": data}).dump())


def _document_values(digest: bytes, signed_at: datetime | None) -> list[tuple[str, object]]:
    values: list[tuple[str, object]] = [("content_type", "data"), ("message_digest", digest)]
    if signed_at is None:
        return values
    moment = signed_at.astimezone(UTC).replace(microsecond=0)
    kind = "utc_time" if moment.year < _UTC_TIME_UNTIL else "generalized_time"
    return [*values, ("signing_time", cms.Time({kind: moment}))]


def _certificate_value(certificate: bytes, *, issuer_serial: object) -> tuple[str, object]:
    """ESS signing-certificate-v2. The hash algorithm is left out: SHA-256 is its default."""
    fields: dict[str, object] = {"cert_hash": hashlib.sha256(certificate).digest()}
    if issuer_serial is not None:
        fields["issuer_serial"] = issuer_serial
    identifier = _encoded(tsp.ESSCertIDv2(fields))
    return "signing_certificate_v2", _encoded(tsp.SigningCertificateV2({"certs": [identifier]}))


def _set_of(values: list[tuple[str, object]]) -> bytes:
    attributes = cms.CMSAttributes(
        [_encoded(cms.CMSAttribute({"type": name, "values": [value]})) for name, value in values]
    )
    return bytes(attributes.dump())


def _encoded(value: Any) -> Any:
    """The same value, as read from its own encoding."""
    return type(value).load(value.dump())


def _digest_algorithm(scheme: Scheme) -> algos.DigestAlgorithm:
    """Without parameters (RFC 5754 section 2); asn1crypto would write NULL ones, so it is handed the encoding."""
    identifier = algos.DigestAlgorithmId(scheme.hash_name).dump()
    return algos.DigestAlgorithm.load(bytes((0x30, len(identifier))) + identifier)


def _signature_algorithm(scheme: Scheme) -> algos.SignedDigestAlgorithm:
    fields: dict[str, object] = {"algorithm": scheme.signature_name}
    if scheme is SCHEMES["RS256"]:
        fields["parameters"] = core.Null()  # RFC 4055 section 5
    return algos.SignedDigestAlgorithm(fields)


def _der_signature(signature: bytes) -> bytes:
    half = len(signature) // 2
    r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    return utils.encode_dss_signature(r, s)


def _parse(certificate: bytes) -> asn1_x509.Certificate:
    """A certificate of which issuer and serial number can be read; nothing else of it is looked at here.

    asn1crypto reads late, and its look-ups of unknown identifiers raise KeyError: all that is used is read now.
    """
    try:
        parsed = asn1_x509.Certificate.load(certificate, strict=True)
        _ = (parsed.issuer.native, parsed.serial_number)
    except (ValueError, TypeError, KeyError):
        raise MalformedCardData("the certificate cannot be read") from None
    return parsed
