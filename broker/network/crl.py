"""Revocation lists from their configured places (revocation_ports.RevocationSource).

Fetches, and asks what is held; which list may be in force is judged where it is put there (revocation_ports.IndexStore,
jpki.index), and what it proves at each use. The last good list stays until a better one came, and a list that was
turned away raises an alarm.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import structlog

from broker.audit.entry import Entry, Event
from broker.errors import CertificateMalformed, OutboundFailed, OutboundRefused, SettingsError, StoreUnavailable
from broker.flows.ports import Store
from broker.flows.revocation_ports import Evidence, HeldList, IndexStore
from broker.jpki.certificate import TrustedCertificate, issuer_key_hash
from broker.jpki.distribution import distribution_point
from broker.jpki.index import CLOCK_DIFFERENCE, ListRefused, check_index
from broker.jpki.verdict import RevocationStatus, RevocationVerdict
from broker.network.source import Fetcher

MAX_LIST: Final = 512 * 1024 * 1024
"""Octets. Five million entries have about 190 MB."""
REFRESH_AFTER: Final = timedelta(hours=1)
"""Lists are published daily; a held one this old is fetched again."""
BREAKER: Final = timedelta(seconds=10)
"""After a fetch that brought nothing fresh, a source is left alone for so long."""

_log = structlog.get_logger("broker.network.crl")


class Source(NamedTuple):
    """Where the list for one distribution point of one CA key is had."""

    distribution_point: str
    """The directoryName as an RFC 4514 string (jpki.distribution)."""
    issuer_key_hash: bytes
    """SHA-256 of the CA's SubjectPublicKeyInfo."""
    fetcher: Fetcher


@dataclass(slots=True)
class _State:
    """What this process knows of one source."""

    source: Source
    issuer: bytes
    fetching: threading.Lock = field(default_factory=threading.Lock)
    quiet_until: datetime | None = None
    alarm: str = ""
    """Why the last list was turned away; an alarm is raised once for each cause."""


class CRLSource:
    """Fulfils revocation_ports.RevocationSource; threads share it.

    `anchors` are the DER certificates of the accepted CAs; every source must name the key of one of them.
    Raises SettingsError where one does not, or two sources claim one distribution point.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        indexes: IndexStore,
        store: Store,
        clock: Callable[[], datetime],
        *,
        anchors: Sequence[bytes],
        refresh_after: timedelta = REFRESH_AFTER,
    ) -> None:
        issuers = _issuers(anchors)
        self._indexes, self._store, self._clock = indexes, store, clock
        self._refresh_after = refresh_after
        self._states: dict[tuple[str, bytes], _State] = {}
        for source in sources:
            place = (source.distribution_point, source.issuer_key_hash)
            if source.issuer_key_hash not in issuers:
                raise SettingsError(f"the revocation source {source.fetcher.address} belongs to no accepted CA")
            if place in self._states:
                raise SettingsError(f"two revocation sources for one distribution point: {source.fetcher.address}")
            self._states[place] = _State(source=source, issuer=issuers[source.issuer_key_hash])

    def judge(self, certificate: TrustedCertificate, *, at: datetime, max_age: timedelta) -> Evidence:
        """What the newest list says, fetched now if the one held is missing or old; an old one rather than none.

        While one thread fetches, others are answered with what there is, and wait only when there is nothing.
        """
        point = distribution_point(certificate.der)
        if point is None:
            return _unknown("the certificate names no list")
        state = self._states.get((point, certificate.issuer_key_hash))
        if state is None:
            return _unknown("no source is configured for the certificate's list")
        held = self._held(state)
        if held is None:
            return _unknown("no list could be had")
        verdict = check_index(
            held.index,
            delta=held.delta,
            certificate=certificate.der,
            issuer=certificate.issuer,
            at=at,
            max_age=max_age,
        )
        return Evidence(verdict=verdict, address=state.source.fetcher.address)

    def refresh_all(self) -> dict[str, bool]:
        """Fetch every configured list anew; by address, whether it came."""
        came = {}
        for state in self._states.values():
            with state.fetching:
                came[state.source.fetcher.address] = self._fetch(state)
        return came

    def _held(self, state: _State) -> HeldList | None:
        held = self._indexes.get(*state.source[:2])
        if self._fresh(held):
            return held
        timeout = -1.0 if held is not None else state.source.fetcher.seconds + 1
        if state.fetching.acquire(blocking=held is None, timeout=timeout):
            try:
                held = self._indexes.get(*state.source[:2])  # another process or thread may have fetched it
                if not self._fresh(held) and not self._quiet(state):
                    self._fetch(state)
            finally:
                state.fetching.release()
        return self._indexes.get(*state.source[:2])

    def _quiet(self, state: _State) -> bool:
        now = self._clock()
        return state.quiet_until is not None and now < state.quiet_until <= now + BREAKER

    def _fresh(self, held: HeldList | None) -> bool:
        if held is None:
            return False
        now = self._clock()
        next_update = (held.delta or held.index).heading.next_update
        if next_update is not None and now >= next_update:
            return False
        return -CLOCK_DIFFERENCE <= now - held.fetched_at < self._refresh_after

    def _fetch(self, state: _State) -> bool:
        """Whether a list came that may stand. The last good one stays when not."""
        now, fetcher = self._clock(), state.source.fetcher
        state.quiet_until = now + BREAKER
        try:
            with self._indexes.spool(fetcher.chunks(limit=MAX_LIST)) as list_:
                heading = self._indexes.put(*state.source[:2], list_, issuer=state.issuer, now=now)
        except ListRefused as refused:
            self._raise_alarm(state, str(refused), now)
            return False
        except (OutboundRefused, OutboundFailed, StoreUnavailable) as failed:
            _log.warning("crl_not_replaced", source=fetcher.address, cause=str(failed))
            return False
        state.alarm = ""
        if heading.next_update is None or now < heading.next_update:
            state.quiet_until = None  # whoever answers well may be asked as often as lists are wanted
        return True

    def _raise_alarm(self, state: _State, cause: str, now: datetime) -> None:
        """A list that came and may not stand is an attack or a fault at the source: somebody must look."""
        address = state.source.fetcher.address
        _log.error("crl_refused", source=address, cause=cause)
        if cause == state.alarm:
            return
        try:
            with self._store.transaction() as tx:
                tx.audit.append(Entry(at=now, event=Event.CRL_REFUSED, detail={"source": address, "cause": cause}))
        except StoreUnavailable:
            _log.error("alarm_not_written", source=address)
            return
        state.alarm = cause


def _unknown(reason: str) -> Evidence:
    verdict = RevocationVerdict(status=RevocationStatus.UNKNOWN, reason=reason, source="crl")
    return Evidence(verdict=verdict, address="")


def _issuers(anchors: Sequence[bytes]) -> dict[bytes, bytes]:
    try:
        return {issuer_key_hash(anchor): anchor for anchor in anchors}
    except CertificateMalformed as broken:
        raise SettingsError("an anchor is not a certificate") from broken
