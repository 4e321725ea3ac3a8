"""Revocation lists of other authorities' certificates (HPKI), small enough to be held whole (licence_ports)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from broker.errors import OutboundFailed, OutboundRefused
from broker.jpki.foreign import MAX_LIST
from broker.network.crl import BREAKER, Source

REFRESH_AFTER: Final = timedelta(hours=1)

_log = structlog.get_logger("broker.network.foreign_lists")


@dataclass(slots=True)
class _Held:
    """What this process has of one source. `asked_at` is the last fetch that brought nothing, `fetched_at` the last
    that brought a list.
    """

    source: Source
    der: bytes | None = None
    fetched_at: datetime | None = None
    asked_at: datetime | None = None


class ForeignLists:
    """Fulfils licence_ports.RevocationLists. One thread fetches at a time; the others wait for what it brings."""

    def __init__(
        self, sources: Sequence[Source], clock: Callable[[], datetime], *, refresh_after: timedelta = REFRESH_AFTER
    ) -> None:
        self._held = [_Held(source=source) for source in sources]
        self._clock, self._refresh_after = clock, refresh_after
        self._lock = threading.Lock()

    def current(self) -> tuple[bytes, ...]:
        """See RevocationLists."""
        with self._lock:
            for held in self._held:
                self._renew(held)
            return tuple(held.der for held in self._held if held.der is not None)

    def _renew(self, held: _Held) -> None:
        now = self._clock()
        if held.fetched_at is not None and timedelta() <= now - held.fetched_at < self._refresh_after:
            return
        if held.asked_at is not None and timedelta() <= now - held.asked_at < BREAKER:
            return
        held.asked_at = now
        fetcher = held.source.fetcher
        try:
            held.der, held.fetched_at = b"".join(fetcher.chunks(limit=MAX_LIST)), now
        except (OutboundRefused, OutboundFailed) as failed:
            _log.warning("list_not_replaced", source=fetcher.address, cause=str(failed))
        else:
            held.asked_at = None  # whoever answers well may be asked as often as lists are wanted
