"""What revocation evidence says about one certificate."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final


class RevocationStatus(Enum):
    """The three answers (RFC 6960 §2.2); UNKNOWN refuses (R11)."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationVerdict:
    """One answer and what it rests on.

    `reason` is why nothing can be told (UNKNOWN, an English phrase), the CRLReason's RFC 5280 §5.3.1 name (REVOKED),
    or empty (GOOD). `source` is "crl" or "ocsp". Times are aware UTC and None where the evidence was not believed;
    `next_update` is None where an OCSP responder promises none.
    """

    status: RevocationStatus
    reason: str
    source: str
    this_update: datetime | None = None
    next_update: datetime | None = None
    crl_number: int | None = None
    revoked_at: datetime | None = field(default=None, repr=False)


_REASONS: Final = {
    0: "unspecified",
    1: "keyCompromise",
    2: "cACompromise",
    3: "affiliationChanged",
    4: "superseded",
    5: "cessationOfOperation",
    6: "certificateHold",
    9: "privilegeWithdrawn",
    10: "aACompromise",
}


def reason_name(code: int) -> str:
    """The CRLReason's name (RFC 5280 §5.3.1, RFC 6960 §4.2.1); a code without one says no more than "unspecified"."""
    return _REASONS.get(code, "unspecified")
