"""What one certificate revocation list says about one certificate (RFC 5280 §5, §6.3).

Complete lists of the certificate's own issuer and key only. A partial list can revoke but not clear; an indirect
or delta list, another key's, or one that cannot be read in full tells nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from broker.errors import RevocationUnknown
from broker.jpki import der, entries
from broker.jpki.algorithms import Algorithms
from broker.jpki.certificate import UnverifiedCertificate, parse
from broker.jpki.issuer import Issuer, PreparedName, check_issued, check_signature, prepared, read_issuer, relative_name
from broker.jpki.verdict import RevocationStatus, RevocationVerdict, reason_name

MAX_CRL: Final = 8 * 1024 * 1024

_EXTENSIONS: Final = 0xA0
_PROCESSED: Final = (x509.AuthorityKeyIdentifier, x509.CRLNumber, x509.IssuingDistributionPoint)


@dataclass(frozen=True, slots=True, kw_only=True)
class List:
    """The parts of a TBSCertList (RFC 5280 §5.1.2). `parsed` is the same list without its entries, `issuer` its octets.

    `number` is its cRLNumber and `scope` its issuingDistributionPoint, None where it has none.
    """

    version: int
    issuer: bytes = field(repr=False)
    this_update: datetime
    next_update: datetime | None
    revoked: der.Element | None = field(repr=False)
    parsed: x509.CertificateRevocationList = field(repr=False)
    number: int | None
    scope: x509.IssuingDistributionPoint | None = field(repr=False)


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
    listed = read_list(signed, authority)

    def find(serial: int) -> tuple[int, datetime] | None:
        if listed.revoked is None:
            return None
        entry = entries.read(listed.revoked, version=listed.version).find(serial)
        return None if entry is None else _read_entry(entry)

    return decide(listed, leaf, authority, at=at, max_age=max_age, find=find)


def decide(
    listed: List,
    leaf: UnverifiedCertificate,
    authority: Issuer,
    *,
    at: datetime,
    max_age: timedelta,
    find: Callable[[int], tuple[int, datetime] | None],
) -> RevocationVerdict:
    """The verdict of a list whose signature holds. `find` has its entries: a serial number's CRLReason and date.

    Raises RevocationUnknown, ValueError.
    """
    _check_dates(listed, at, max_age)
    all_reasons = _check_scope(listed, leaf, authority)
    entry = find(leaf.serial)
    if entry is None and not all_reasons:
        raise RevocationUnknown("CRL: covers only some reasons")
    if entry is not None and entry[0] == REMOVE_FROM_CRL:
        raise RevocationUnknown("CRL: a delta list's entry in a complete list")
    return RevocationVerdict(
        status=RevocationStatus.GOOD if entry is None else RevocationStatus.REVOKED,
        reason="" if entry is None else reason_name(entry[0]),
        source="crl",
        this_update=listed.this_update,
        next_update=listed.next_update,
        crl_number=listed.number,
        revoked_at=None if entry is None else entry[1],
    )


def read_list(signed: der.Signed, authority: Issuer) -> List:
    """The parts of a list, all but its entries judged. Raises RevocationUnknown, and what parsers raise."""
    listed = _read(signed)
    if listed.issuer != authority.raw_name and prepared(listed.parsed.issuer) != authority.name:
        raise RevocationUnknown("CRL: issuer has another name")
    _check_extensions(listed, authority)
    return listed


def _read(signed: der.Signed) -> List:
    parts = list(signed.parts)
    version = 1
    if parts and parts[0].tag == der.INTEGER:
        if parts.pop(0).value != b"\x01":
            raise RevocationUnknown("CRL: version is not 2")  # §5.1.2.1: if present, it is v2
        version = 2
    if len(parts) < 3 or parts[0].raw != signed.algorithm:
        raise RevocationUnknown("CRL: signature algorithm differs inside and outside")  # §5.1.1.2
    issuer, this_update, rest = parts[1].raw, der.time(parts[2]), parts[3:]
    # §5.1.2.5: an issuer must write nextUpdate; a list without it is bounded by max_age alone.
    promised = bool(rest) and rest[0].tag in {der.UTC_TIME, der.GENERALIZED_TIME}
    next_update = der.time(rest.pop(0)) if promised else None
    revoked = rest.pop(0) if rest and rest[0].tag == der.SEQUENCE else None
    if revoked is not None and revoked.content == revoked.end:
        raise RevocationUnknown("CRL: an empty list is written by leaving it out")  # §5.1.2.6
    if rest:
        extensions = rest.pop(0)
        if version != 2 or extensions.tag != _EXTENSIONS or extensions.end - extensions.content <= 2:
            raise RevocationUnknown("CRL: extensions in version 1, or an empty list of them")  # §5.1.2.7
    if rest:
        raise RevocationUnknown("CRL: unknown fields")
    parsed = x509.load_der_x509_crl(signed.body.data if revoked is None else _without(revoked, signed))
    by_type = {type(each.value): each.value for each in parsed.extensions}
    number, scope = by_type.get(x509.CRLNumber), by_type.get(x509.IssuingDistributionPoint)
    return List(
        version=version,
        issuer=issuer,
        this_update=this_update,
        next_update=next_update,
        revoked=revoked,
        parsed=parsed,
        number=number.crl_number if isinstance(number, x509.CRLNumber) else None,
        scope=scope if isinstance(scope, x509.IssuingDistributionPoint) else None,
    )


def _without(revoked: der.Element, signed: der.Signed) -> bytes:
    """The list without its entries, which need not be objects to be judged."""
    head = b"".join(part.raw for part in signed.parts if part.begin != revoked.begin)
    return der.write(
        der.SEQUENCE,
        der.write(der.SEQUENCE, head),
        signed.algorithm,
        der.write(der.BIT_STRING, b"\x00", signed.signature),
    )


def _check_dates(listed: List, at: datetime, max_age: timedelta) -> None:
    if listed.this_update > at:
        raise RevocationUnknown("CRL: not yet issued")
    if listed.next_update is not None and at > listed.next_update:
        raise RevocationUnknown("CRL: past nextUpdate")
    if at - listed.this_update > max_age:
        raise RevocationUnknown("CRL: older than accepted")


def _check_extensions(listed: List, issuer: Issuer) -> None:
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


def _check_scope(listed: List, leaf: UnverifiedCertificate, issuer: Issuer) -> bool:
    """Whether the list covers every reason for this certificate. Raises RevocationUnknown where it is not for it.

    RFC 5280 §6.3.3 (b): the list's issuing distribution point against the certificate's own distribution points.
    """
    points = leaf.extension(x509.CRLDistributionPoints)
    # A point with a cRLIssuer leads to an indirect list, which this is not.
    ours = None if points is None else [point for point in points.value if not point.crl_issuer]
    if ours is not None and not ours:
        raise RevocationUnknown("CRL: the certificate points to another CRL issuer")
    scope = listed.scope
    if scope is None:
        return ours is None or any(point.reasons is None for point in ours)
    if scope.indirect_crl or scope.only_contains_attribute_certs:
        raise RevocationUnknown("CRL: an indirect list, or one of attribute certificates")
    constraints = leaf.extension(x509.BasicConstraints)
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


# --- the certificate's own entry -------------------------------------------------------------------------------------

_REASON_CODE: Final = bytes.fromhex("551d15")  # 2.5.29.21
REMOVE_FROM_CRL: Final = 8


def _read_entry(entry: der.Element) -> tuple[int, datetime]:
    """CRLReason and date of an entry whose form `entries` has judged."""
    _, moment, *extensions = entry.children()
    for each in (each for sequence in extensions for each in sequence.children()):
        name, *_, value = each.children()
        if name.value == _REASON_CODE and len(value.value) == 3 and value.value[:2] == b"\x0a\x01":
            return value.value[2], der.time(moment)
    return 0, der.time(moment)  # listed is revoked, however badly the reason is written
