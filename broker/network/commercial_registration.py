"""The registrar's revocation lists (商業登記), fetched from where the operator says and kept a while."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from broker.errors import OutboundFailed, OutboundRefused, RevocationUnknown
from broker.jpki.certificate import UnrevokedCertificate
from broker.jpki.foreign import COMMERCIAL_REGISTRATION, MAX_LIST, validate_foreign_path
from broker.network.outbound import OutboundGuard

KEPT: Final = timedelta(minutes=10)
"""For how long a list is used again; its age is judged at each use."""


class Registrar:
    """Fulfils CorporateCertificates. Threads share it; each list is fetched by one of them."""

    def __init__(
        self,
        *,
        anchors: tuple[bytes, ...],
        lists: tuple[str, ...],
        max_age: timedelta,
        guard: OutboundGuard,
        clock: Callable[[], datetime],
    ) -> None:
        self._anchors, self._lists, self._max_age = anchors, lists, max_age
        self._guard, self._clock, self._lock = guard, clock, threading.Lock()
        self._kept: dict[str, tuple[bytes, datetime]] = {}

    @property
    def anchors(self) -> tuple[bytes, ...]:
        return self._anchors

    def judge(self, certificate: bytes, *, others: Sequence[bytes], at: datetime) -> UnrevokedCertificate:
        """Raises CertificateError, RevocationUnknown."""
        roots = set(self._anchors)
        return validate_foreign_path(
            certificate,
            anchors=self._anchors,
            intermediates=tuple(each for each in others if each not in roots),
            crls=self._fetched(),
            at=at,
            max_age=self._max_age,
            profile=COMMERCIAL_REGISTRATION,
        )

    def _fetched(self) -> tuple[bytes, ...]:
        with self._lock:
            return tuple(self._list(url) for url in self._lists)

    def _list(self, url: str) -> bytes:
        now = self._clock()
        kept = self._kept.get(url)
        if kept is None or now >= kept[1]:
            try:
                kept = self._kept[url] = (self._guard.get(url, limit=MAX_LIST), now + KEPT)
            except (OutboundFailed, OutboundRefused) as failed:
                raise RevocationUnknown("a list of the registrar's cannot be had") from failed
        return kept[0]
