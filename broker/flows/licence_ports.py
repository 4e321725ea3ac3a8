"""What logins by HPKI card need from the outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class RevocationLists(Protocol):
    def current(self) -> tuple[bytes, ...]:
        """The newest list (DER) of each configured source, fetched where what is held is missing or old; what cannot be
        had is left out, and the one held before stays. What a list is worth is the caller's to judge.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcare:
    """The healthcare PKI as the operator configured it."""

    anchors: tuple[bytes, ...] = field(repr=False)
    """DER certificates of the accepted roots."""
    issuers: tuple[bytes, ...] = field(repr=False)
    """DER certificates of the authorities below them that issue certificates for authentication."""
    issuer_hashes: tuple[bytes, ...] = field(repr=False)
    """SHA-256 of each one's SubjectPublicKeyInfo, as the request to the agent lists them."""
    lists: RevocationLists
