"""A certificate in the history of an account (design 4.9): certificates come and go, the account stays."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from broker.ids import AccountID, CredentialID


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialKey:
    """By what a certificate is found again: issuer key and serial, never the subject's name (R7)."""

    issuer_key_hash: bytes = field(repr=False)
    """SHA-256 of the CA's SubjectPublicKeyInfo."""
    serial_fingerprint: bytes = field(repr=False)
    """Versioned HMAC of the serial (jpki.subject)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One certificate of one account."""

    credential_id: CredentialID
    account: AccountID = field(repr=False)
    key: CredentialKey = field(repr=False)
    serial_sealed: bytes = field(repr=False)
    """The serial, encrypted: needed for revocation checks between logins, readable by nothing else."""
    kind: str
    not_after: datetime
    first_seen: datetime
