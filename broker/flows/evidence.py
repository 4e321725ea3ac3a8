"""Whether a trusted certificate is still good, as the sources say it now: asked at a login and at each refresh."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from broker.accounts.credential import CredentialKey
from broker.audit.receipt import Decision
from broker.errors import CertificateError, CertificateRenewing, CertificateRevoked
from broker.flows.ports import Ports
from broker.jpki.certificate import TrustedCertificate, unrevoked
from broker.jpki.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrevoked:
    """What proved a certificate good."""

    source: str
    """The kind of the evidence: `crl`, `ocsp` or `platform`."""
    address: str
    """Where it came from, as configured."""
    this_update: datetime | None


def prove_unrevoked(trusted: TrustedCertificate, key: CredentialKey, *, now: datetime, ports: Ports) -> Unrevoked:
    """R11: only a proof of GOOD passes. R12: what was revoked once stays so, whatever a newer list says.

    Raises RevocationUnknown, CertificateRevoked, CertificateRenewing, StoreUnavailable.
    """
    with ports.store.transaction() as tx:
        known = tx.revoked.reason(key)
    if known is not None:
        raise refused_for(known)
    evidence = ports.revocation.judge(trusted, at=now, max_age=ports.policy.crl_max_age)
    try:
        unrevoked(trusted, evidence.verdict)
    except (CertificateRevoked, CertificateRenewing):
        with ports.store.transaction() as tx:
            tx.revoked.remember(key, reason=evidence.verdict.reason, not_after=trusted.not_after, now=now)
        raise
    verdict = evidence.verdict
    return Unrevoked(source=verdict.source, address=evidence.address, this_update=verdict.this_update)


def decision(profile: Profile, trusted: TrustedCertificate, proved: Unrevoked, *, now: datetime) -> Decision:
    """What a receipt says of a certificate that every check has passed."""
    return Decision(
        use=profile.name, kind=trusted.kind, source=proved.source, this_update=proved.this_update, checked_at=now
    )


def refused_for(reason: str) -> CertificateError:
    """What is known already, said as at the first time: who renewed is told so however often they try."""
    return CertificateRenewing(reason) if reason == "superseded" else CertificateRevoked(f"known as revoked: {reason}")
