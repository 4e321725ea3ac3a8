"""Where certificates are judged from: revocation lists and their indexes, verdicts, and J-LIS's mapping."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from broker.accounts.lifecycle import CertificateName
from broker.jpki.certificate import TrustedCertificate
from broker.jpki.index import Heading, Index
from broker.jpki.scan import Source as ListSource
from broker.jpki.verdict import RevocationVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldList:
    """The complete list in force for one distribution point of one CA key, and the delta list that goes with it."""

    index: Index
    delta: Index | None
    fetched_at: datetime
    """When the newer of the two came."""


class IndexStore(Protocol):
    """Where revocation lists are kept as indexes, for every process of this machine."""

    def get(self, distribution_point: str, issuer_key_hash: bytes) -> HeldList | None:
        """What is in force now, a swap by another process included; None where nothing usable is there."""

    def put(
        self,
        distribution_point: str,
        issuer_key_hash: bytes,
        source: ListSource,
        *,
        issuer: bytes,
        now: datetime,
        any_size: bool = False,
    ) -> Heading:
        """Put the list that `source` holds in force, complete or delta, in one step. `issuer` is the CA's certificate.

        Raises ListRefused (the one in force stays), StoreUnavailable.
        """

    def spool(self, chunks: Iterable[bytes]) -> AbstractContextManager[ListSource]:
        """What comes in pieces, as `put` takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A verdict, and the configured address its evidence came from (empty where there was none)."""

    verdict: RevocationVerdict
    address: str


class RevocationSource(Protocol):
    def judge(self, certificate: TrustedCertificate, *, at: datetime, max_age: timedelta) -> Evidence:
        """What the configured sources say of `certificate` at `at`, fetched now where what is held is missing or old.

        UNKNOWN where no source is configured or nothing could be had; never an address from a certificate.
        """

    def refresh_all(self) -> dict[str, bool]:
        """Fetch every configured list anew; by source, whether it came."""


class CorrespondenceSource(Protocol):
    """J-LIS's word on which certificates are one person's. Every answer but a clear one raises
    CorrespondenceUnknown: silence is never "none".
    """

    def predecessor(self, certificate: CertificateName) -> CertificateName | None:
        """The certificate in whose place this one was issued; None for a first one."""

    def correspond(self, one: CertificateName, other: CertificateName) -> bool:
        """Are both, card and phone, one person's now?"""
