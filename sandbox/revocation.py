"""What the authorities say about revocation: CRLs per municipality (RFC 5280 section 5) and OCSP answers (RFC 6960)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp

from sandbox.ca import Authority, Municipality, distribution_point
from sandbox.ledger import Issued, Ledger

Nonce = Literal["echo", "other", "none"]
CRL_LIFE: Final = timedelta(
    hours=30
)  # renewed daily; the rest is slack, as yesterday's list may serve during the switch
OCSP_LIFE: Final = timedelta(hours=1)
MAX_OCSP_REQUEST: Final = 4096  # bytes; a request for one certificate takes about 120
MAX_NONCE: Final = 128  # bytes, RFC 9654 section 2.1


def build_crl(
    authority: Authority,
    municipality: Municipality,
    *,
    revoked: Iterable[Issued],
    number: int,
    at: datetime,
    indirect: bool = False,
) -> x509.CertificateRevocationList:
    """The complete CRL of one municipality's partition, thisUpdate `at` cut to whole seconds.

    Its critical IssuingDistributionPoint names the directory the leaves' distribution point names. `number` must rise
    from one list to the next (RFC 5280 section 5.2.3): the caller keeps that. `indirect` only sets the flag, for
    verifiers that must refuse such a list.
    """
    return _list(
        authority,
        municipality,
        number=number,
        at=at,
        rows=[row for e in revoked if (row := _row(e))],
        indirect=indirect,
    )


def build_delta_crl(
    authority: Authority,
    municipality: Municipality,
    *,
    base: x509.CertificateRevocationList,
    revoked: Iterable[Issued],
    number: int,
    at: datetime,
) -> x509.CertificateRevocationList:
    """What changed since `base` (RFC 5280 section 5.2.4): newly revoked, and lifted holds as removeFromCRL."""
    rows = {entry.serial: row for entry in revoked if (row := _row(entry))}
    listed = {row.serial_number: row for row in base}
    changed = [row for serial, row in rows.items() if serial not in listed or _differ(row, listed[serial])]
    changed += [_lifted(row, at) for serial, row in listed.items() if serial not in rows]
    base_number = base.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    return _list(authority, municipality, number=number, at=at, rows=changed, base=base_number)


def _row(entry: Issued) -> x509.RevokedCertificate | None:
    if entry.revoked_at is None:
        return None
    row = x509.RevokedCertificateBuilder().serial_number(entry.serial).revocation_date(entry.revoked_at)
    reason = crl_reason(entry)
    return (row if reason is None else row.add_extension(x509.CRLReason(reason), critical=False)).build()


def _lifted(row: x509.RevokedCertificate, at: datetime) -> x509.RevokedCertificate:
    return (
        x509.RevokedCertificateBuilder()
        .serial_number(row.serial_number)
        .revocation_date(at.astimezone(UTC).replace(microsecond=0))
        .add_extension(x509.CRLReason(x509.ReasonFlags.remove_from_crl), critical=False)
        .build()
    )


def reason_of(row: x509.RevokedCertificate) -> x509.ReasonFlags | None:
    """The reason code of a listed entry; None where it names none."""
    try:
        return row.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return None


def _differ(row: x509.RevokedCertificate, listed: x509.RevokedCertificate) -> bool:
    return reason_of(row) != reason_of(listed)


def _list(
    authority: Authority,
    municipality: Municipality,
    *,
    number: int,
    at: datetime,
    rows: Iterable[x509.RevokedCertificate],
    base: int | None = None,
    indirect: bool = False,
) -> x509.CertificateRevocationList:
    this_update = at.astimezone(UTC).replace(microsecond=0)
    point = distribution_point(authority.kind, municipality, authority.organization)
    issuer_key = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(this_update)
        .next_update(this_update + CRL_LIFE)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(
            x509.IssuingDistributionPoint(
                full_name=[x509.DirectoryName(point)],
                relative_name=None,
                only_contains_user_certs=False,
                only_contains_ca_certs=False,
                only_some_reasons=None,
                indirect_crl=indirect,
                only_contains_attribute_certs=False,
            ),
            critical=True,
        )
    )
    if base is not None:
        builder = builder.add_extension(x509.DeltaCRLIndicator(base), critical=True)
    for row in rows:
        builder = builder.add_revoked_certificate(row)
    return builder.sign(authority.private_key, hashes.SHA256())


def crl_reason(entry: Issued) -> x509.ReasonFlags | None:
    """The reason code of a revoked entry; None for unspecified, which RFC 5280 section 5.3.1 wants left out."""
    if entry.reason is None or entry.reason == "unspecified":
        return None
    return x509.ReasonFlags(entry.reason)


def answer_ocsp(
    request: bytes, *, authorities: Iterable[Authority], ledger: Ledger, at: datetime, nonce_back: Nonce = "echo"
) -> bytes:
    """The DER OCSP response to a DER request, signed by the delegated responder of the authority it names.

    Hostile bytes and requests for several certificates get malformedRequest, certificates of another authority get
    unauthorized; a serial this authority never issued is `unknown`. A nonce is echoed, unless `nonce_back` makes the
    responder forget it or put another in its place. Never raises on hostile bytes.
    """
    if len(request) > MAX_OCSP_REQUEST:
        return _refusal(ocsp.OCSPResponseStatus.MALFORMED_REQUEST)
    try:
        question = ocsp.load_der_ocsp_request(request)
        serial, algorithm = question.serial_number, question.hash_algorithm
        nonce = _nonce(question)
    except Exception:  # the parser's own errors differ by version; whatever it refuses is malformed
        return _refusal(ocsp.OCSPResponseStatus.MALFORMED_REQUEST)
    authority = next((a for a in authorities if _issued_by(question, a)), None)
    if authority is None:
        return _refusal(ocsp.OCSPResponseStatus.UNAUTHORIZED)
    entry = ledger.find(authority.name, serial)
    this_update = at.astimezone(UTC).replace(microsecond=0)
    status = ocsp.OCSPCertStatus.GOOD
    if entry is None:
        status = ocsp.OCSPCertStatus.UNKNOWN
    elif entry.revoked_at is not None:
        status = ocsp.OCSPCertStatus.REVOKED
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response_by_hash(
            issuer_name_hash=question.issuer_name_hash,
            issuer_key_hash=question.issuer_key_hash,
            serial_number=serial,
            algorithm=algorithm,
            cert_status=status,
            this_update=this_update,
            next_update=this_update + OCSP_LIFE,
            revocation_time=entry.revoked_at if entry else None,
            revocation_reason=crl_reason(entry) if entry else None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, authority.responder_certificate)
        .certificates([authority.responder_certificate])
    )
    if nonce_back == "other":
        nonce = x509.OCSPNonce(secrets.token_bytes(32))
    if nonce is not None and nonce_back != "none":
        builder = builder.add_extension(nonce, critical=False)
    return builder.sign(authority.responder_key, hashes.SHA256()).public_bytes(Encoding.DER)


def _nonce(question: ocsp.OCSPRequest) -> x509.OCSPNonce | None:
    for extension in question.extensions:
        if isinstance(extension.value, x509.OCSPNonce):
            if not 1 <= len(extension.value.nonce) <= MAX_NONCE:
                raise ValueError("nonce length")
            return extension.value
    return None


def _issued_by(question: ocsp.OCSPRequest, authority: Authority) -> bool:
    """Whether the CertID names this authority (RFC 6960 section 4.1.1: hashes of its name and of its key's bits)."""
    public_key = authority.certificate.public_key()
    if not isinstance(public_key, rsa.RSAPublicKey):
        return False
    name = authority.certificate.subject.public_bytes(Encoding.DER)
    key = public_key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    algorithm = question.hash_algorithm.name
    return (
        hashlib.new(algorithm, name).digest() == question.issuer_name_hash
        and hashlib.new(algorithm, key).digest() == question.issuer_key_hash
    )


def try_later() -> bytes:
    """The response of a responder that cannot answer now (RFC 6960 section 2.3)."""
    return _refusal(ocsp.OCSPResponseStatus.TRY_LATER)


def _refusal(status: ocsp.OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)
