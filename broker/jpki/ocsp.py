"""What one OCSP response says about one certificate (RFC 6960 §3.2, §4.2; RFC 9654 for the nonce)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID

from broker.errors import CertificateError, RevocationUnknown
from broker.jpki import der
from broker.jpki.algorithms import Algorithms
from broker.jpki.certificate import UnverifiedCertificate, parse
from broker.jpki.issuer import Issuer, check_issued, check_signature, read_issuer
from broker.jpki.verdict import RevocationStatus, RevocationVerdict, reason_name

MAX_RESPONSE: Final = 64 * 1024
_MAX_CERTIFICATES: Final = 4
_MAX_ANSWERS: Final = 64

_BASIC: Final = bytes.fromhex("2b0601050507300101")  # id-pkix-ocsp-basic
_NONCE: Final = bytes.fromhex("2b0601050507300102")  # id-pkix-ocsp-nonce
_ID_DIGESTS: Final = {
    bytes.fromhex("2b0e03021a"): "sha1",
    bytes.fromhex("608648016503040201"): "sha256",
    bytes.fromhex("608648016503040202"): "sha384",
    bytes.fromhex("608648016503040203"): "sha512",
}
"""A CertID only names the issuer to the responder: SHA-1 is usual there (RFC 5019) and no trust rests on it."""

_KNOWN_IN_DELEGATES: Final = (
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.BasicConstraints,
    x509.CertificatePolicies,
    x509.SubjectAlternativeName,
    x509.OCSPNoCheck,
)

_ENUMERATED: Final = 0x0A
_CONTEXT_0, _CONTEXT_1, _CONTEXT_2 = 0xA0, 0xA1, 0xA2
_VERSION_1: Final = b"\x02\x01\x00"
_STATUS_GOOD, _STATUS_REVOKED = 0x80, 0xA1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Response:
    """A BasicOCSPResponse (RFC 6960 §4.2.1), as it stood."""

    body: bytes = field(repr=False)
    algorithm: bytes
    signature: bytes = field(repr=False)
    certificates: tuple[bytes, ...] = field(repr=False)
    responder: der.Element
    produced_at: datetime
    answers: tuple[der.Element, ...]
    extensions: der.Element | None


def judge(
    response: bytes,
    *,
    certificate: bytes,
    issuer: bytes,
    at: datetime,
    max_age: timedelta,
    nonce: bytes | None,
    algorithms: Algorithms,
) -> RevocationVerdict:
    """The verdict of `response`. Raises BrokerError and ValueError; `revocation` turns all into UNKNOWN."""
    if len(response) > MAX_RESPONSE:
        raise RevocationUnknown("OCSP: response is longer than 64 KiB")
    leaf, authority = parse(certificate), read_issuer(bytes(issuer))
    check_issued(leaf, authority, algorithms)
    basic = _read(bytes(response))
    check_signature(
        _responder_key(basic, authority, at, algorithms),
        basic.body,
        basic.signature,
        algorithm=basic.algorithm,
        algorithms=algorithms,
        what="OCSP",
    )
    _check_nonce(basic, nonce)
    mine = [answer for answer in basic.answers if _is_about(answer, leaf, authority)]
    if len(mine) != 1:
        raise RevocationUnknown("OCSP: no answer for this certificate, or several")
    if not leaf.not_before <= basic.produced_at <= leaf.not_after:  # §4.4.4: responders forget what has expired
        raise RevocationUnknown("OCSP: produced outside the certificate's validity period")
    return _verdict(mine[0], basic.produced_at, at, max_age)


def _read(response: bytes) -> _Response:
    status, *rest = der.whole(response, der.SEQUENCE).children()
    if status.tag != _ENUMERATED or status.value != b"\x00":
        raise RevocationUnknown("OCSP: responder gave no answer")  # §4.2.1, e.g. tryLater, unauthorized
    (explicit,) = rest
    (typed,) = _expect(explicit, _CONTEXT_0).children()
    kind, octets = _expect(typed, der.SEQUENCE).children()
    if _expect(kind, der.OBJECT_IDENTIFIER).value != _BASIC:
        raise RevocationUnknown("OCSP: response is of another type")
    body, algorithm, signature, *certificates = der.whole(
        _expect(octets, der.OCTET_STRING).value, der.SEQUENCE
    ).children()
    _expect(algorithm, der.SEQUENCE)
    if _expect(signature, der.BIT_STRING).value[:1] != b"\x00":
        raise ValueError("signature is not whole bytes")
    parts = list(_expect(body, der.SEQUENCE).children())
    if parts[0].tag == _CONTEXT_0 and parts.pop(0).value != _VERSION_1:  # it should be left out; written, it is no lie
        raise RevocationUnknown("OCSP: version is not 1")
    responder, produced_at, answers, *tail = parts
    if len(tail) > 1 or len(certificates) > 1:
        raise ValueError("unknown fields")
    embedded: list[der.Element] = []
    if certificates:
        (sequence,) = _expect(certificates[0], _CONTEXT_0).children()
        embedded = list(_expect(sequence, der.SEQUENCE).children())
    singles = list(_expect(answers, der.SEQUENCE).children())
    if len(embedded) > _MAX_CERTIFICATES or len(singles) > _MAX_ANSWERS:
        raise RevocationUnknown("OCSP: more certificates or answers than are judged here")
    return _Response(
        body=body.raw,
        algorithm=algorithm.raw,
        signature=signature.value[1:],
        certificates=tuple(element.raw for element in embedded),
        responder=responder,
        produced_at=der.generalized_time(produced_at),
        answers=tuple(singles),
        extensions=_expect(tail[0], _CONTEXT_1) if tail else None,
    )


def _expect(element: der.Element, tag: int) -> der.Element:
    if element.tag != tag:
        raise ValueError("element is of another type")
    return element


def _extensions(explicit: der.Element | None) -> Iterator[tuple[bytes, bool, bytes]]:
    """(object identifier, critical, value) of each extension; a second one of a kind is refused."""
    if explicit is None:
        return
    (sequence,) = explicit.children()
    seen: set[bytes] = set()
    for each in _expect(sequence, der.SEQUENCE).children():
        oid, *critical, value = _expect(each, der.SEQUENCE).children()
        if _expect(oid, der.OBJECT_IDENTIFIER).value in seen or len(critical) > 1:
            raise ValueError("extension stands twice")
        seen.add(oid.value)
        is_critical = bool(critical) and _expect(critical[0], der.BOOLEAN).value != b"\x00"
        yield oid.value, is_critical, _expect(value, der.OCTET_STRING).value


def _responder_key(basic: _Response, issuer: Issuer, at: datetime, algorithms: Algorithms) -> PublicKeyTypes:
    """The key of the responder that the response names: the CA itself, or one it delegated to (§4.2.2.2)."""
    if _is_responder(basic.responder, issuer.certificate):
        return issuer.key
    for data in basic.certificates:
        try:
            delegate = parse(data)
            if not _is_responder(basic.responder, delegate):
                continue
            check_issued(delegate, issuer, algorithms)
        except CertificateError:
            continue
        _check_delegate(delegate, at)
        return delegate.key
    raise RevocationUnknown("OCSP: responder is neither the CA nor its delegate")


def _check_delegate(delegate: UnverifiedCertificate, at: datetime) -> None:
    purposes = delegate.extension(x509.ExtendedKeyUsage)
    if purposes is None or ExtendedKeyUsageOID.OCSP_SIGNING not in purposes.value:
        raise RevocationUnknown("OCSP: the CA did not delegate OCSP to this key")
    usage = delegate.extension(x509.KeyUsage)
    if usage is not None and not usage.value.digital_signature:
        raise RevocationUnknown("OCSP: delegate's key may not sign")
    if not delegate.not_before <= at <= delegate.not_after:
        raise RevocationUnknown("OCSP: delegate is outside its validity period")
    if any(each.critical and not isinstance(each.value, _KNOWN_IN_DELEGATES) for each in delegate.x509.extensions):
        raise RevocationUnknown("OCSP: unknown critical extension in the delegate")


def _is_responder(named: der.Element, certificate: UnverifiedCertificate) -> bool:
    (inner,) = named.children()
    if named.tag == _CONTEXT_1:  # byName
        return inner.raw == certificate.x509.subject.public_bytes()
    if named.tag == _CONTEXT_2:  # byKey: SHA-1 of the key's bits, which only names it
        return _expect(inner, der.OCTET_STRING).value == _key_digest(certificate, "sha1")
    raise ValueError("responder is not named")


def _key_digest(certificate: UnverifiedCertificate, digest: str) -> bytes:
    _, bits = der.whole(certificate.spki, der.SEQUENCE).children()
    return hashlib.new(digest, bits.value[1:], usedforsecurity=False).digest()


def _check_nonce(basic: _Response, sent: bytes | None) -> None:
    """RFC 9654 §2.1: the nonce is an OCTET STRING inside the extension's own. Unknown critical extensions refuse."""
    returned: bytes | None = None
    for oid, critical, value in _extensions(basic.extensions):
        if oid == _NONCE:
            returned = der.whole(value, der.OCTET_STRING).value
        elif critical:
            raise RevocationUnknown("OCSP: unknown critical extension")
    if sent is not None and (returned is None or not hmac.compare_digest(sent, returned)):
        raise RevocationUnknown("OCSP: the nonce did not come back")


def _is_about(answer: der.Element, leaf: UnverifiedCertificate, issuer: Issuer) -> bool:
    """Whether a SingleResponse's CertID (§4.1.1) is `leaf` under `issuer`."""
    algorithm, name, key, serial = next(_expect(answer, der.SEQUENCE).children()).children()
    digest = _ID_DIGESTS.get(_expect(next(algorithm.children()), der.OBJECT_IDENTIFIER).value)
    if digest is None or int.from_bytes(_expect(serial, der.INTEGER).value, "big", signed=True) != leaf.serial:
        return False
    names = (leaf.x509.issuer.public_bytes(), issuer.certificate.x509.subject.public_bytes())
    return key.value == _key_digest(issuer.certificate, digest) and any(
        name.value == hashlib.new(digest, each, usedforsecurity=False).digest() for each in names
    )


def _verdict(answer: der.Element, produced_at: datetime, at: datetime, max_age: timedelta) -> RevocationVerdict:
    _, status, this, *tail = answer.children()
    next_update: datetime | None = None
    if tail and tail[0].tag == _CONTEXT_0:
        (moment,) = tail.pop(0).children()
        next_update = der.generalized_time(moment)
    if len(tail) > 1:
        raise ValueError("unknown fields")
    if any(critical for _, critical, _ in _extensions(_expect(tail[0], _CONTEXT_1) if tail else None)):
        raise RevocationUnknown("OCSP: unknown critical extension")
    this_update = der.generalized_time(this)
    if not this_update <= produced_at <= at:
        raise RevocationUnknown("OCSP: produced before its own facts, or not yet")
    if next_update is not None and not max(at, produced_at) <= next_update:
        raise RevocationUnknown("OCSP: past nextUpdate")
    if at - this_update > max_age:
        raise RevocationUnknown("OCSP: older than accepted")
    verdict, reason, revoked_at = _status(status)
    return RevocationVerdict(
        status=verdict,
        reason=reason,
        source="ocsp",
        this_update=this_update,
        next_update=next_update,
        revoked_at=revoked_at,
    )


def _status(status: der.Element) -> tuple[RevocationStatus, str, datetime | None]:
    if status.tag == _STATUS_GOOD and not status.value:
        return RevocationStatus.GOOD, "", None
    if status.tag == _STATUS_REVOKED:
        moment, *reasons = status.children()
        reason = reason_name(0)
        if reasons:
            (code,) = _expect(reasons[0], _CONTEXT_0).children()
            reason = reason_name(int.from_bytes(_expect(code, _ENUMERATED).value, "big"))
        return RevocationStatus.REVOKED, reason, der.generalized_time(moment)
    raise RevocationUnknown("OCSP: responder does not know the certificate")
