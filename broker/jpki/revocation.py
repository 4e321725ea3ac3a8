"""Is the certificate still good? GOOD, REVOKED, or UNKNOWN with the reason; unknown refuses (R11).

Both questions take bytes and a time and never fail: whatever a stranger sends, the worst answer is UNKNOWN.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from broker.errors import BrokerError
from broker.jpki import crl as crl_
from broker.jpki import ocsp
from broker.jpki.algorithms import PRODUCTION, Algorithms
from broker.jpki.verdict import RevocationStatus, RevocationVerdict

__all__ = ["RevocationStatus", "RevocationVerdict", "check_crl", "check_ocsp"]


def check_crl(
    crl: bytes,
    *,
    certificate: bytes,
    issuer: bytes,
    at: datetime,
    max_age: timedelta,
    algorithms: Algorithms = PRODUCTION,
) -> RevocationVerdict:
    """What the DER CRL `crl` says about `certificate` (DER) at `at` (aware). Raises only ValueError, for a naive `at`.

    `issuer` is a certificate (DER) of the CA that issued it, which the caller trusts; the list must be signed by
    the same key as the certificate. `max_age` bounds thisUpdate beside nextUpdate. RFC 5280 §5, §6.3.
    """
    at = _aware(at)
    try:
        return crl_.judge(crl, certificate=certificate, issuer=issuer, at=at, max_age=max_age, algorithms=algorithms)
    except BrokerError as error:
        return _unknown("crl", str(error))
    except Exception as error:  # parsers of hostile bytes fail in many ways, and each means the same
        return _unknown("crl", f"CRL: cannot be read ({type(error).__name__})")


def check_ocsp(
    response: bytes,
    *,
    certificate: bytes,
    issuer: bytes,
    at: datetime,
    max_age: timedelta,
    nonce: bytes | None = None,
    algorithms: Algorithms = PRODUCTION,
) -> RevocationVerdict:
    """What the DER OCSP `response` says about `certificate` (DER) at `at`; arguments and errors as in `check_crl`.

    `nonce` is the one that was sent, None where none was: one that does not come back is UNKNOWN (RFC 9654).
    RFC 6960 §3.2, §4.2.
    """
    at = _aware(at)
    try:
        return ocsp.judge(
            response,
            certificate=certificate,
            issuer=issuer,
            at=at,
            max_age=max_age,
            nonce=nonce,
            algorithms=algorithms,
        )
    except BrokerError as error:
        return _unknown("ocsp", str(error))
    except Exception as error:  # as above
        return _unknown("ocsp", f"OCSP: cannot be read ({type(error).__name__})")


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("the time must say its zone")
    return at.astimezone(UTC)


def _unknown(source: str, reason: str) -> RevocationVerdict:
    return RevocationVerdict(status=RevocationStatus.UNKNOWN, reason=reason, source=source)
