"""The authority behind a statement: whose key it is, whether it signed, and when two names are one."""

from __future__ import annotations

import functools
import unicodedata
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from asn1crypto.algos import SignedDigestAlgorithm
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from broker.errors import RevocationUnknown
from broker.jpki import der
from broker.jpki.algorithms import PRODUCTION, Algorithms, signature_holds
from broker.jpki.certificate import UnverifiedCertificate, parse

PreparedName = tuple[frozenset[tuple[str, str | bytes]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """A CA certificate the caller trusts, read once. A name in the very octets of `raw_name` is this one's."""

    certificate: UnverifiedCertificate = field(repr=False)
    key: PublicKeyTypes = field(repr=False)
    name: PreparedName = field(repr=False)
    raw_name: bytes = field(repr=False)
    key_identifier: bytes | None
    may_sign_crls: bool


@functools.lru_cache(maxsize=64)
def read_issuer(data: bytes) -> Issuer:
    """Raises CertificateMalformed."""
    certificate = parse(data)
    usage = certificate.extension(x509.KeyUsage)
    identifier = certificate.extension(x509.SubjectKeyIdentifier)
    constraints = certificate.extension(x509.BasicConstraints)
    return Issuer(
        certificate=certificate,
        key=certificate.key,
        name=prepared(certificate.subject),
        raw_name=certificate.subject.public_bytes(),
        key_identifier=None if identifier is None else identifier.value.digest,
        may_sign_crls=(usage is None or usage.value.crl_sign) and (constraints is None or constraints.value.ca),
    )


def prepared(name: x509.Name) -> PreparedName:
    """`name` in the form RFC 5280 §7.1 compares: case, width and runs of white space make no difference."""
    return tuple(relative_name(part) for part in name.rdns)


def relative_name(part: x509.RelativeDistinguishedName) -> frozenset[tuple[str, str | bytes]]:
    """One RDN in the form RFC 5280 §7.1 compares."""
    return frozenset((attribute.oid.dotted_string, _prepared_value(attribute.value)) for attribute in part)


def _prepared_value(value: str | bytes) -> str | bytes:
    if isinstance(value, bytes):
        return value
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())
    return " ".join(folded.split())


def check_signature(
    key: PublicKeyTypes, message: bytes, signature: bytes, *, algorithm: bytes, algorithms: Algorithms, what: str
) -> None:
    """Raise RevocationUnknown unless `signature` stands under `algorithm` (raw AlgorithmIdentifier), which is ours."""
    scheme, digest, salt_length = signature_scheme(algorithm)
    if refusal := algorithms.refusal(key, scheme, digest):
        raise RevocationUnknown(f"{what}: {refusal}")
    if not signature_holds(key, signature, message, scheme=scheme, digest=digest, salt_length=salt_length):
        raise RevocationUnknown(f"{what}: signature is not by the issuer's key")


def check_digest(
    key: PublicKeyTypes, hashed: bytes, signature: bytes, *, algorithm: bytes, algorithms: Algorithms, what: str
) -> None:
    """As `check_signature`, where the message was hashed by the algorithm's own digest while it was read."""
    scheme, digest, salt_length = signature_scheme(algorithm)
    if refusal := algorithms.refusal(key, scheme, digest):
        raise RevocationUnknown(f"{what}: {refusal}")
    if not signature_holds(
        key, signature, hashed, scheme=scheme, digest=digest, salt_length=salt_length, prehashed=True
    ):
        raise RevocationUnknown(f"{what}: signature is not by the issuer's key")


def _pkcs1(arc: int) -> bytes:
    return bytes.fromhex("300d06092a864886f70d0101") + bytes([arc, 0x05, 0x00])  # RFC 4055 §5: NULL, not absent


_SCHEMES: Final = {
    _pkcs1(5): ("rsassa_pkcs1v15", "sha1"),
    _pkcs1(14): ("rsassa_pkcs1v15", "sha224"),
    _pkcs1(11): ("rsassa_pkcs1v15", "sha256"),
    _pkcs1(12): ("rsassa_pkcs1v15", "sha384"),
    _pkcs1(13): ("rsassa_pkcs1v15", "sha512"),
    bytes.fromhex("300906072a8648ce3d0401"): ("ecdsa", "sha1"),  # RFC 5758 §3.2: no parameters
    bytes.fromhex("300a06082a8648ce3d040301"): ("ecdsa", "sha224"),
    bytes.fromhex("300a06082a8648ce3d040302"): ("ecdsa", "sha256"),
    bytes.fromhex("300a06082a8648ce3d040303"): ("ecdsa", "sha384"),
    bytes.fromhex("300a06082a8648ce3d040304"): ("ecdsa", "sha512"),
}
"""AlgorithmIdentifiers in their one spelling: an OCSP signature does not cover its own, so none may vary."""


@functools.lru_cache(maxsize=64)
def signature_scheme(algorithm: bytes) -> tuple[str, str, int | None]:
    """(scheme, digest, salt length) of a raw AlgorithmIdentifier. Raises RevocationUnknown."""
    if algorithm in _SCHEMES:
        return (*_SCHEMES[algorithm], None)
    try:
        if len(algorithm) > 256:
            raise ValueError("too long")
        parsed = SignedDigestAlgorithm.load(algorithm, strict=True)
        if parsed["algorithm"].native != "rsassa_pss":
            raise RevocationUnknown("signature algorithm is not accepted")
        parameters = parsed["parameters"].native
        digest, mask = str(parameters["hash_algorithm"]["algorithm"]), parameters["mask_gen_algorithm"]
        if mask["algorithm"] != "mgf1" or mask["parameters"]["algorithm"] != digest:
            raise RevocationUnknown("PSS mask generation uses another digest")
        if not 0 <= parameters["salt_length"] <= 64 or parameters["trailer_field"] not in {1, "trailer_field_bc"}:
            raise RevocationUnknown("PSS parameters are out of bounds")
        return "rsassa_pss", digest, int(parameters["salt_length"])
    except (ValueError, TypeError, KeyError, AttributeError):
        raise RevocationUnknown("signature algorithm cannot be read") from None


_PROVED: Final[OrderedDict[tuple[bytes, bytes], None]] = OrderedDict()
"""Who issued the last few certificates, as `path` has proved: (certificate, its issuer's certificate), both DER."""
_MAX_PROVED: Final = 64


def remember_issued(certificate: bytes, issuer: bytes) -> None:
    """`path` has just proved, under algorithms no weaker than PRODUCTION's, that `issuer` issued `certificate`."""
    _PROVED[certificate, issuer] = None
    while len(_PROVED) > _MAX_PROVED:
        try:
            _PROVED.popitem(last=False)
        except KeyError:  # another thread has just made room
            break


def check_issued(certificate: UnverifiedCertificate, issuer: Issuer, algorithms: Algorithms) -> None:
    """Raise RevocationUnknown unless this very key of the CA signed `certificate`.

    Generations share a name and may share serials: what one generation's list says means nothing for another's.
    """
    if algorithms is PRODUCTION and (certificate.der, issuer.certificate.der) in _PROVED:
        return
    if prepared(certificate.issuer) != issuer.name:
        raise RevocationUnknown("certificate: issuer has another name")
    try:
        signed = der.signed(certificate.der)
    except ValueError:
        raise RevocationUnknown("certificate: not in DER") from None
    check_signature(
        issuer.key,
        signed.body.raw,
        signed.signature,
        algorithm=signed.algorithm,
        algorithms=algorithms,
        what="certificate",
    )
