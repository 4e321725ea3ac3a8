"""A CMS envelope as it must be: one signer, nothing in it that no signature vouches for (RFC 5652, RFC 5126, RFC 3161).

Much of an envelope stands outside what is signed: versions, algorithm names, other certificates. Each such byte is held
to the one value it can have, so that none can be changed unnoticed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from asn1crypto import algos, cms, core, x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509 import load_der_x509_certificate
from pyhanko.sign.general import find_unique_cms_attribute
from pyhanko.sign.validation.generic_cms import extract_certs_for_validation, validate_sig_integrity

from broker.delegation.faults import Fault
from broker.jpki import der

MAX_CERTIFICATES: Final = 12
_MAX_DEPTH: Final = 40
_MAX_ELEMENTS: Final = 5_000
_DIGESTS: Final = ("sha256", "sha384", "sha512")
_CONSTRUCTED: Final = 0x20


def _encodings() -> frozenset[bytes]:
    """Every accepted signature algorithm in every form that is in use; the parameters are part of it."""
    null = core.Null()
    named: list[dict[str, Any]] = [
        *({"algorithm": f"{digest}_rsa", "parameters": null} for digest in _DIGESTS),
        *({"algorithm": f"{digest}_ecdsa"} for digest in _DIGESTS),
        {"algorithm": "rsassa_pkcs1v15", "parameters": null},
        {"algorithm": "ed25519"},
    ]
    for digest in _DIGESTS:
        for parameters in (null, None):
            one: dict[str, Any] = {"algorithm": digest}
            if parameters is not None:
                one["parameters"] = parameters
            named.append(
                {
                    "algorithm": "rsassa_pss",
                    "parameters": {
                        "hash_algorithm": one,
                        "mask_gen_algorithm": {"algorithm": "mgf1", "parameters": one},
                        "salt_length": hashlib.new(digest).digest_size,
                    },
                }
            )
    return frozenset(algos.SignedDigestAlgorithm(each).dump() for each in named)


_SIGNATURES: Final = _encodings()
_HASHES: Final = frozenset(
    algos.DigestAlgorithm({"algorithm": digest, **parameters}).dump()
    for digest in _DIGESTS
    for parameters in ({}, {"parameters": core.Null()})
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What was found in one; `intact` where the signature and the digest hold."""

    signer: x509.Certificate
    others: tuple[x509.Certificate, ...]
    content: bytes
    """The encapsulated content; empty of a detached signature."""
    signature: bytes
    stamps: tuple[bytes, ...]
    """Time-stamp tokens in the unsigned attributes."""
    names_its_certificate: bool
    """Whether ESS signing-certificate-v2 is among the signed attributes (RFC 5035, PAdES)."""
    intact: bool


def open_envelope(data: bytes, *, signed: bytes | None, faults: set[Fault]) -> Envelope | None:
    """Read one envelope and verify its signature: over `signed`, or over what it encapsulates where that is None.

    None, and a fault, for what cannot be read. Whatever is not as it must be is a fault as well.
    """
    try:
        return _open(data, signed, faults)
    except Exception:
        faults.add(Fault.ENVELOPE_WRONG)
        return None


def _open(data: bytes, signed: bytes | None, faults: set[Fault]) -> Envelope | None:
    if not _is_der(data):
        faults.add(Fault.ENVELOPE_WRONG)
    info = cms.ContentInfo.load(data, strict=True)
    if info["content_type"].native != "signed_data":
        faults.add(Fault.ENVELOPE_WRONG)
        return None
    envelope: cms.SignedData = info["content"]
    certificates = list(envelope["certificates"])
    if len(certificates) > MAX_CERTIFICATES or any(each.name != "certificate" for each in certificates):
        faults.add(Fault.ENVELOPE_WRONG)
        return None
    parts = extract_certs_for_validation(envelope)
    (signer,) = envelope["signer_infos"]
    content = b"" if signed is not None else envelope["encap_content_info"]["content"].contents
    kind = "data" if signed is not None else "tst_info"
    if not _form_holds(envelope, signer, parts.signer_cert, kind):
        faults.add(Fault.ENVELOPE_WRONG)
    algorithm = signer["digest_algorithm"]["algorithm"].native
    if (
        signer["digest_algorithm"].dump() not in _HASHES
        or signer["signature_algorithm"].dump() not in _SIGNATURES
        or not _fits(signer["signature_algorithm"], algorithm)
    ):
        faults.add(Fault.ALGORITHM_WEAK)
        return None
    digest = hashlib.new(algorithm, content if signed is None else signed).digest()
    same, holds = validate_sig_integrity(signer, parts.signer_cert, kind, digest)
    if not same:
        faults.add(Fault.CONTENT_ALTERED)
    if not holds:
        faults.add(Fault.SIGNATURE_WRONG)
    return Envelope(
        signer=parts.signer_cert,
        others=tuple(parts.other_certs),
        content=content,
        signature=signer["signature"].native,
        stamps=_stamps(signer, faults),
        names_its_certificate=_has(signer["signed_attrs"], "signing_certificate_v2"),
        intact=same and holds,
    )


def _form_holds(envelope: Any, signer: Any, certificate: x509.Certificate, kind: str) -> bool:
    identifier = cms.IssuerAndSerialNumber(
        {"issuer": certificate.issuer, "serial_number": certificate.serial_number}
    ).dump()
    return bool(
        envelope["version"].native == ("v1" if kind == "data" else "v3")
        and [each.dump() for each in envelope["digest_algorithms"]] == [signer["digest_algorithm"].dump()]
        and envelope["encap_content_info"]["content_type"].native == kind
        and (kind != "data" or isinstance(envelope["encap_content_info"]["content"], core.Void))
        and not envelope["crls"]
        and signer["version"].native == "v1"
        and signer["sid"].name == "issuer_and_serial_number"
        and signer["sid"].chosen.dump() == identifier
        and not isinstance(signer["signed_attrs"], core.Void)
    )


def _fits(signature: Any, digest: str) -> bool:
    """RFC 8933: one digest for the content and for the signature."""
    if signature["algorithm"].native in {"rsassa_pkcs1v15", "ed25519"}:
        return True
    return bool(signature.hash_algo == digest)


def _stamps(signer: Any, faults: set[Fault]) -> tuple[bytes, ...]:
    attributes = signer["unsigned_attrs"]
    if isinstance(attributes, core.Void):
        return ()
    found = []
    for attribute in attributes:
        if attribute["type"].native != "signature_time_stamp_token" or len(attribute["values"]) != 1:
            faults.add(Fault.ENVELOPE_WRONG)
            continue
        found.append(attribute["values"][0].dump())
    if len(found) != 1:
        faults.add(Fault.ENVELOPE_WRONG)
    return tuple(found[:1])


def _has(attributes: Any, name: str) -> bool:
    try:
        find_unique_cms_attribute(attributes, name)
    except Exception:
        return False
    return True


def _is_der(data: bytes) -> bool:
    """Whether every length has its one form (X.690 §10.1), by a walk that is bounded in depth and number."""
    waiting = [(0, len(data), 0)]
    seen = 0
    while waiting:
        offset, end, depth = waiting.pop()
        while offset < end:
            seen += 1
            if seen > _MAX_ELEMENTS or depth > _MAX_DEPTH:
                return False
            try:
                element = der.read(data, offset, end)
            except ValueError:
                return False
            if element.tag & _CONSTRUCTED:
                waiting.append((element.content, element.end, depth + 1))
            offset = element.end
    return True


def vouched(strangers: Iterable[x509.Certificate], known: Iterable[x509.Certificate]) -> bool:
    """Whether each of `strangers` is signed by one of `known` (or of them): a changed byte in any would show."""
    strangers = {each.dump(): each for each in strangers}
    pool = {each.dump(): each for each in (*strangers.values(), *known)}
    if len(pool) > 4 * MAX_CERTIFICATES:
        return False
    return all(any(_signed_by(each, issuer) for issuer in pool.values()) for each in strangers.values())


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    if certificate.issuer != issuer.subject:
        return False
    try:
        loaded = load_der_x509_certificate(certificate.dump())
        loaded.verify_directly_issued_by(load_der_x509_certificate(issuer.dump()))
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
