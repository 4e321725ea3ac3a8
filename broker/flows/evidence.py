"""Whether a trusted certificate is still good, as the sources say it now: asked at a login and at each refresh."""

from __future__ import annotations

from datetime import datetime

from broker.accounts.credential import CredentialKey
from broker.errors import CertificateError, CertificateRenewing, CertificateRevoked
from broker.flows.ports import Ports
from broker.jpki.certificate import TrustedCertificate, unrevoked


def prove_unrevoked(
    trusted: TrustedCertificate, key: CredentialKey, *, now: datetime, ports: Ports
) -> tuple[str, datetime | None]:
    """R11: only a proof of GOOD passes. R12: what was revoked once stays so, whatever a newer list says.

    Answers the configured address of the evidence and its thisUpdate. Raises RevocationUnknown, CertificateRevoked,
    CertificateRenewing, StoreUnavailable.
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
    return evidence.address, evidence.verdict.this_update


def refused_for(reason: str) -> CertificateError:
    """What is known already, said as at the first time: who renewed is told so however often they try."""
    return CertificateRenewing(reason) if reason == "superseded" else CertificateRevoked(f"known as revoked: {reason}")
