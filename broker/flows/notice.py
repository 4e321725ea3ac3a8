"""A platform operator's news that a certificate was revoked, and what must be kept to know whose it is (R13)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from broker.accounts.credential import CredentialKey
from broker.jpki.certificate import TrustedCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A registered certificate was revoked. `reason` is an RFC 5280 §5.3.1 name."""

    number: int
    registration: str = field(repr=False)
    revoked_at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The name under which an operator tells us of a certificate; its own word, which says nothing by itself."""

    name: str = field(repr=False)
    key: CredentialKey = field(repr=False)
    not_after: datetime


class RevocationNotices(Protocol):
    """An operator that tells of revocations; it is asked, since nobody outside can call us."""

    @property
    def address(self) -> str:
        """What the operator's names and numbers belong to."""

    def register(self, certificate: TrustedCertificate) -> str:
        """Ask for notices about `certificate`; answers the operator's name for it. Raises RevocationUnknown."""

    def notices(self, *, after: int) -> tuple[Notice, ...]:
        """Those that follow number `after`, in order and without a gap; few at a time. Raises RevocationUnknown."""


class NoticeStore(Protocol):
    """What is registered with the operator at an address, and how far its notices have been taken."""

    def registered(self, address: str, key: CredentialKey) -> bool: ...

    def register(self, address: str, registration: Registration) -> None:
        """The first one stays where either the name or the certificate is there already."""

    def find(self, address: str, name: str) -> Registration | None: ...

    def taken(self, address: str) -> int:
        """The number of the last notice taken; 0 before the first."""

    def take(self, address: str, *, after: int, last: int) -> bool:
        """From `after` to `last`, in one statement; of two hosts that took the same notices one gets True."""
