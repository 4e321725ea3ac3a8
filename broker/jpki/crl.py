"""What one certificate revocation list says about one certificate (RFC 5280 §5, §6.3).

Complete lists of the certificate's own issuer and key only. A partial list can revoke but not clear; an indirect
or delta list, another key's, or one that cannot be read in full tells nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from broker.errors import RevocationUnknown
from broker.jpki import der
from broker.jpki.algorithms import Algorithms
from broker.jpki.certificate import UnverifiedCertificate, parse
from broker.jpki.issuer import Issuer, PreparedName, check_issued, check_signature, prepared, read_issuer, relative_name
from broker.jpki.profile import extension
from broker.jpki.verdict import RevocationStatus, RevocationVerdict

MAX_CRL: Final = 8 * 1024 * 1024

_EXTENSIONS: Final = 0xA0
_CRITICAL: Final = b"\x01\x01\xff\x04"  # BOOLEAN TRUE, then the OCTET STRING every extension ends with
_CERTIFICATE_ISSUER: Final = bytes.fromhex("551d1d")  # 2.5.29.29
_KNOWN_ENTRY_EXTENSIONS: Final = frozenset(
    {bytes.fromhex("551d15"), bytes.fromhex("551d17"), bytes.fromhex("551d18")}  # reasonCode, hold, invalidityDate
)
_PROCESSED: Final = (x509.AuthorityKeyIdentifier, x509.CRLNumber, x509.IssuingDistributionPoint)


@dataclass(frozen=True, slots=True, kw_only=True)
class _List:
    """The parts of a TBSCertList (RFC 5280 §5.1.2), as they stood."""

    signed: der.Signed = field(repr=False)
    version: int
    this_update: datetime
    next_update: datetime
    revoked: der.Element | None = field(repr=False)
    parsed: x509.CertificateRevocationList = field(repr=False)


def judge(
    crl: bytes, *, certificate: bytes, issuer: bytes, at: datetime, max_age: timedelta, algorithms: Algorithms
) -> RevocationVerdict:
    """The verdict of `crl`. Raises BrokerError and what parsers raise; `revocation` turns all into UNKNOWN."""
    if len(crl) > MAX_CRL:
        raise RevocationUnknown("CRL is longer than 8 MiB: use the index")
    leaf, authority = parse(certificate), read_issuer(bytes(issuer))
    if not authority.may_sign_crls:
        raise RevocationUnknown("issuer may not sign CRLs")
    check_issued(leaf, authority, algorithms)
    crl = bytes(crl)
    signed = der.signed(crl)
    check_signature(
        authority.key,
        signed.body.raw,
        signed.signature,
        algorithm=signed.algorithm,
        algorithms=algorithms,
        what="CRL",
    )
    listed = _read(crl, signed)
    if prepared(listed.parsed.issuer) != authority.name:
        raise RevocationUnknown("CRL: issuer has another name")
    _check_dates(listed, at, max_age)
    _check_extensions(listed, authority)
    all_reasons = _check_scope(listed, leaf, authority)
    _check_entries(listed)
    number = _extension(listed, x509.CRLNumber)
    entry = listed.parsed.get_revoked_certificate_by_serial_number(leaf.serial)
    status, reason = RevocationStatus.GOOD, ""
    if entry is not None:
        status, reason = RevocationStatus.REVOKED, _reason(entry)
    elif not all_reasons:
        raise RevocationUnknown("CRL: covers only some reasons")
    return RevocationVerdict(
        status=status,
        reason=reason,
        source="crl",
        this_update=listed.this_update,
        next_update=listed.next_update,
        crl_number=None if number is None else number.crl_number,
        revoked_at=None if entry is None else entry.revocation_date_utc,
    )


def _read(crl: bytes, signed: der.Signed) -> _List:
    parts = list(signed.body.children())
    version = 1
    if parts and parts[0].tag == der.INTEGER:
        if parts.pop(0).value != b"\x01":
            raise RevocationUnknown("CRL: version is not 2")  # §5.1.2.1: if present, it is v2
        version = 2
    if len(parts) < 3 or parts[0].raw != signed.algorithm:
        raise RevocationUnknown("CRL: signature algorithm differs inside and outside")  # §5.1.1.2
    this_update, rest = der.time(parts[2]), parts[3:]
    if not rest or rest[0].tag not in {der.UTC_TIME, der.GENERALIZED_TIME}:
        raise RevocationUnknown("CRL: no nextUpdate")  # §5.1.2.5
    next_update = der.time(rest.pop(0))
    revoked = rest.pop(0) if rest and rest[0].tag == der.SEQUENCE else None
    if revoked is not None and revoked.content == revoked.end:
        raise RevocationUnknown("CRL: an empty list is written by leaving it out")  # §5.1.2.6
    if rest:
        extensions = rest.pop(0)
        if version != 2 or extensions.tag != _EXTENSIONS or extensions.end - extensions.content <= 2:
            raise RevocationUnknown("CRL: extensions in version 1, or an empty list of them")  # §5.1.2.7
    if rest:
        raise RevocationUnknown("CRL: unknown fields")
    return _List(
        signed=signed,
        version=version,
        this_update=this_update,
        next_update=next_update,
        revoked=revoked,
        parsed=x509.load_der_x509_crl(crl),
    )


def _check_dates(listed: _List, at: datetime, max_age: timedelta) -> None:
    if listed.this_update > at:
        raise RevocationUnknown("CRL: not yet issued")
    if at > listed.next_update:
        raise RevocationUnknown("CRL: past nextUpdate")
    if at - listed.this_update > max_age:
        raise RevocationUnknown("CRL: older than accepted")


def _extension(listed: _List, kind: type[x509.CRLNumber]) -> x509.CRLNumber | None:
    try:
        return listed.parsed.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _check_extensions(listed: _List, issuer: Issuer) -> None:
    for each in listed.parsed.extensions:
        if isinstance(each.value, x509.DeltaCRLIndicator):
            raise RevocationUnknown("CRL: a delta list")
        if each.critical and not isinstance(each.value, _PROCESSED):
            raise RevocationUnknown("CRL: unknown critical extension")  # §5.2
        if isinstance(each.value, x509.AuthorityKeyIdentifier):
            named, own = each.value.key_identifier, issuer.key_identifier
            if named is not None and own is not None and named != own:
                raise RevocationUnknown("CRL: authorityKeyIdentifier names another key")
        if isinstance(each.value, x509.CRLNumber) and not 0 <= each.value.crl_number < 2**160:
            raise RevocationUnknown("CRL: number is out of bounds")  # §5.2.3


# --- scope -----------------------------------------------------------------------------------------------------------


def _check_scope(listed: _List, leaf: UnverifiedCertificate, issuer: Issuer) -> bool:
    """Whether the list covers every reason for this certificate. Raises RevocationUnknown where it is not for it.

    RFC 5280 §6.3.3 (b): the list's issuing distribution point against the certificate's own distribution points.
    """
    points = extension(leaf.x509, x509.CRLDistributionPoints)
    # A point with a cRLIssuer leads to an indirect list, which this is not.
    ours = None if points is None else [point for point in points.value if not point.crl_issuer]
    if ours is not None and not ours:
        raise RevocationUnknown("CRL: the certificate points to another CRL issuer")
    try:
        scope = listed.parsed.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except x509.ExtensionNotFound:
        return ours is None or any(point.reasons is None for point in ours)
    if scope.indirect_crl or scope.only_contains_attribute_certs:
        raise RevocationUnknown("CRL: an indirect list, or one of attribute certificates")
    constraints = extension(leaf.x509, x509.BasicConstraints)
    is_ca = constraints is not None and constraints.value.ca
    if scope.only_contains_user_certs if is_ca else scope.only_contains_ca_certs:
        raise RevocationUnknown("CRL: a list of another kind of certificate")
    names = _point_names(scope, issuer)
    if names:
        if ours is None:  # §6.3.3: a certificate without points is taken to point at its issuer's name
            if ("directory", issuer.name) not in names:
                raise RevocationUnknown("CRL: another distribution point")
        else:
            ours = [point for point in ours if names & _point_names(point, issuer)]
            if not ours:
                raise RevocationUnknown("CRL: another distribution point")
    return scope.only_some_reasons is None and (ours is None or any(point.reasons is None for point in ours))


def _point_names(
    point: x509.DistributionPoint | x509.IssuingDistributionPoint, issuer: Issuer
) -> frozenset[tuple[str, PreparedName | str]]:
    """The names of a distribution point, comparable: directory names prepared, others as they stand."""
    if point.relative_name is not None:
        return frozenset({("directory", (*issuer.name, relative_name(point.relative_name)))})
    return frozenset(
        ("directory", prepared(name.value))
        if isinstance(name, x509.DirectoryName)
        else (type(name).__name__, repr(name.value))
        for name in point.full_name or ()
    )


# --- entries ---------------------------------------------------------------------------------------------------------


def _check_entries(listed: _List) -> None:
    """Refuse the whole list for one entry extension that cannot be processed (RFC 5280 §5.3).

    A long list is walked only where the bytes of such an extension stand somewhere among its entries: DER writes
    them one way, so a list without them has none, and a chance likeness costs time but changes no answer.
    """
    revoked = listed.revoked
    if revoked is None or (listed.version == 2 and not _may_hold_unknown(revoked)):
        return
    for entry in revoked.children():
        for extensions in list(entry.children())[2:]:
            if listed.version == 1:
                raise RevocationUnknown("CRL: entry extensions in version 1")
            for each in extensions.children():
                _check_entry_extension(each)


def _may_hold_unknown(revoked: der.Element) -> bool:
    data = revoked.data
    if data.find(b"\x06\x03" + _CERTIFICATE_ISSUER, revoked.content, revoked.end) >= 0:
        return True
    at = data.find(_CRITICAL, revoked.content, revoked.end)
    while at >= 0:
        if data[at - 5 : at - 3] != b"\x06\x03" or data[at - 3 : at] not in _KNOWN_ENTRY_EXTENSIONS:
            return True
        at = data.find(_CRITICAL, at + 1, revoked.end)
    return False


def _check_entry_extension(each: der.Element) -> None:
    parts = list(each.children())
    critical = len(parts) == 3 and parts[1].tag == der.BOOLEAN and parts[1].value == b"\xff"
    if parts[0].value == _CERTIFICATE_ISSUER:
        raise RevocationUnknown("CRL: an entry of another issuer")
    if critical and parts[0].value not in _KNOWN_ENTRY_EXTENSIONS:
        raise RevocationUnknown("CRL: unknown critical entry extension")


def _reason(entry: x509.RevokedCertificate) -> str:
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except (x509.ExtensionNotFound, ValueError, x509.DuplicateExtension):
        return x509.ReasonFlags.unspecified.value  # listed is revoked, however badly the reason is written
    if reason is x509.ReasonFlags.remove_from_crl:
        raise RevocationUnknown("CRL: a delta list's entry in a complete list")
    return str(reason.value)
