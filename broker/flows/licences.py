"""Whose licence an HPKI card shows, and what of it is kept and told.

judge    the certificate, once the card's signature was checked: path, licence, revocation
agree    the card's signature is the consent: no page asks after it
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from broker.accounts.credential import CredentialKey
from broker.audit.entry import Entry, Event
from broker.audit.receipt import Decision
from broker.errors import (
    CertificateExpired,
    CertificateMalformed,
    CertificateRenewing,
    CertificateRevoked,
    CertificateUntrusted,
    LicenceExpired,
    LicenceNotAllowed,
    LicenceRevoked,
    LicenceUntrusted,
    RevocationUnknown,
)
from broker.flows.evidence import Unrevoked, refused_for
from broker.flows.login_ports import Authenticated
from broker.flows.ports import Ports, Transaction
from broker.jpki.certificate import TrustedCertificate, UnverifiedCertificate, issuer_key_hash, parse
from broker.jpki.foreign import HPKI_AUTHENTICATION, LEAF_RULES, validate_foreign_path
from broker.jpki.licence import licence_holder
from broker.jpki.revocation import RevocationStatus, RevocationVerdict, check_crl
from broker.oidc.authorization import AuthorizationRequest
from broker.oidc.client import Client
from broker.oidc.consent import Consent, terms_of, uses_shown
from broker.oidc.licence import KIND, SCOPES, Licence

AUTHORITY_LIST_AGE: Final = timedelta(days=366)
"""How old a root's list may be: roots list a handful of authorities, once a month or more seldom. Its own nextUpdate
bounds it as well; the list of people's certificates is held to the policy's age."""
SOURCE: Final = "crl"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedLicence:
    """A good certificate, and what it says of its holder."""

    trusted: TrustedCertificate
    key: CredentialKey
    proved: Unrevoked
    licence: Licence = field(repr=False)

    def decision(self, *, now: datetime) -> Decision:
        """What a receipt says of it."""
        return Decision(
            use=HPKI_AUTHENTICATION.name,
            kind=KIND,
            source=SOURCE,
            this_update=self.proved.this_update,
            checked_at=now,
        )


def check_served(request: AuthorizationRequest, *, ports: Ports) -> None:
    """Raises LicenceNotAllowed where no HPKI authority is accepted here."""
    if SCOPES & request.scope and ports.healthcare is None:
        raise LicenceNotAllowed("no HPKI authority is accepted here")


def judge(certificate: bytes, *, now: datetime, ports: Ports) -> JudgedLicence:
    """Local rules first, then the lists, then the whole path in its child (design 4.5, 4.6).

    Raises LicenceUntrusted, LicenceExpired, LicenceRevoked, RevocationUnknown, StoreUnavailable: their words send a
    doctor to the card's own authority, and not to a municipal office.
    """
    try:
        return _judged(certificate, now=now, ports=ports)
    except (CertificateRevoked, CertificateRenewing) as refused:
        raise LicenceRevoked(str(refused)) from refused
    except CertificateExpired as refused:
        raise LicenceExpired(str(refused)) from refused
    except (CertificateUntrusted, CertificateMalformed) as refused:
        raise LicenceUntrusted(str(refused)) from refused


def _judged(certificate: bytes, *, now: datetime, ports: Ports) -> JudgedLicence:
    healthcare = ports.healthcare
    if healthcare is None:
        raise CertificateUntrusted("no HPKI authority is accepted here")
    leaf = parse(certificate)
    issuer = next((each for each in healthcare.issuers if _issued(leaf, parse(each))), None)
    if issuer is None:
        raise CertificateUntrusted("no accepted authority has issued the certificate")
    if not leaf.not_before <= now <= leaf.not_after:
        raise CertificateExpired("outside its validity period")
    for rule in LEAF_RULES:
        rule.check(leaf, HPKI_AUTHENTICATION)
    holder = licence_holder(certificate)
    key_hash = issuer_key_hash(issuer)
    key = CredentialKey(
        issuer_key_hash=key_hash, serial_fingerprint=ports.keys.serial_fingerprint(key_hash, leaf.serial)
    )
    with ports.store.transaction() as tx:
        known = tx.revoked.reason(key)
    if known is not None:
        raise refused_for(known)
    lists = healthcare.lists.current()
    verdict = _verdict(certificate, issuer, lists, now=now, max_age=ports.policy.crl_max_age)
    if verdict.status is RevocationStatus.REVOKED:
        with ports.store.transaction() as tx:
            tx.revoked.remember(key, reason=verdict.reason, not_after=leaf.not_after, now=now)
        raise CertificateRevoked(verdict.reason)
    if verdict.status is not RevocationStatus.GOOD:
        raise RevocationUnknown(verdict.reason)
    proved = validate_foreign_path(
        certificate,
        anchors=healthcare.anchors,
        intermediates=healthcare.issuers,
        crls=lists,
        at=now,
        max_age=AUTHORITY_LIST_AGE,
        profile=HPKI_AUTHENTICATION,
    )
    return JudgedLicence(
        trusted=replace(proved.certificate, kind=KIND),
        key=key,
        proved=Unrevoked(source=SOURCE, address="hpki", this_update=verdict.this_update),
        licence=Licence(name=holder.name, organization=holder.organization, roles=holder.roles, proved_at=now),
    )


def _issued(leaf: UnverifiedCertificate, issuer: UnverifiedCertificate) -> bool:
    try:
        leaf.x509.verify_directly_issued_by(issuer.x509)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _verdict(
    certificate: bytes, issuer: bytes, lists: tuple[bytes, ...], *, now: datetime, max_age: timedelta
) -> RevocationVerdict:
    """One REVOKED outweighs every GOOD; UNKNOWN where no list tells (R11)."""
    verdicts = [check_crl(each, certificate=certificate, issuer=issuer, at=now, max_age=max_age) for each in lists]
    for wanted in (RevocationStatus.REVOKED, RevocationStatus.GOOD):
        for found in verdicts:
            if found.status is wanted:
                return found
    return RevocationVerdict(status=RevocationStatus.UNKNOWN, reason="no list tells of it", source=SOURCE)


def agree(
    tx: Transaction, request: AuthorizationRequest, who: Authenticated, client: Client, *, reference: str, now: datetime
) -> None:
    """What is told stood before the card and in what it signed; it is written down as given, until it is withdrawn."""
    before = tx.consents.get(who.account, client.client_id)
    scope = request.scope | (before.scope if before is not None else frozenset())
    declined = (before.declined if before is not None else frozenset()) - scope
    shown = scope | declined
    tx.consents.give(
        who.account,
        Consent(
            client_id=client.client_id, scope=scope, granted_at=now, declined=declined, terms=terms_of(client, shown)
        ),
        uses=uses_shown(client, shown),
    )
    tx.audit.append(
        Entry(
            at=now,
            event=Event.CONSENT_GIVEN,
            client_id=client.client_id,
            account=who.account,
            reference=reference,
            detail={"scope": " ".join(sorted(request.scope))},
        )
    )
