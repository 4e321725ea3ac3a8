"""The principal's own signature where it travels with the record (委任者記録ファイル方式), held against the grant.

That it holds, and by whose certificate, can be shown by anybody. That the certificate was unrevoked when the power was
issued cannot be shown for a card's: its revocation data may not be handed on (公的個人認証法 art. 52). The operator
judged it then, and its seal and the register's entry say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.exceptions import InvalidSignature

from broker.delegation.record import Proof, Record
from broker.errors import CertificateError
from broker.jpki import corporation, detached
from broker.jpki.certificate import UnverifiedCertificate, parse
from broker.jpki.corporation import RegisteredCorporation
from broker.jpki.path import validate_path
from broker.jpki.profile import DIGITAL_SIGNATURE


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalSignature:
    """A signature that holds over the grant. `anchored`: its certificate was issued by an authority that is trusted
    here, and in force when it signed; None where no such authority was named, and nothing is said of that.
    """

    certificate: bytes = field(repr=False)
    signed_at: datetime
    """When the operator received it, as the record says."""
    corporation: RegisteredCorporation | None = None
    """Of a 商業登記 certificate."""
    anchored: bool | None = None


def judged(record: Record, *, anchors: Sequence[bytes]) -> PrincipalSignature:
    """Raises SignatureInvalid, DocumentChanged, CertificateMalformed: it does not hold, or is another corporation's."""
    found = detached.verify(record.signature, record.grant_bytes)
    (at,) = (each.at for each in record.evidence if each.shows is Proof.PRINCIPAL_SIGNATURE)
    registered = corporation.registered(found.certificate)
    return PrincipalSignature(
        certificate=found.certificate,
        signed_at=at,
        corporation=registered,
        anchored=None if not anchors else _anchored(found.certificate, anchors, at, is_card=registered is None),
    )


def _anchored(certificate: bytes, anchors: Sequence[bytes], at: datetime, *, is_card: bool) -> bool:
    """Both kinds are issued by a root itself; a longer path is judged where powers are issued, and not here."""
    try:
        leaf = parse(certificate)
        issuers = [each for each in anchors if parse(each).x509.subject == leaf.x509.issuer]
        if not is_card:
            return leaf.not_before <= at <= leaf.not_after and any(_issued(leaf, parse(each)) for each in issuers)
        validate_path(certificate, anchors=tuple(issuers), at=at, profile=DIGITAL_SIGNATURE)
    except CertificateError:
        return False
    return True


def _issued(leaf: UnverifiedCertificate, issuer: UnverifiedCertificate) -> bool:
    """By name and by signature (RFC 5280 §6.1.3)."""
    try:
        leaf.x509.verify_directly_issued_by(issuer.x509)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
