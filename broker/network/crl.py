"""Certificate revocation lists from their configured addresses (ports.RevocationSource).

Fetches and keeps; whether a list proves anything is judged by jpki.revocation at each use. The last good list stays
until a better one came: signed by the same CA, parsing as a CRL, and not older than what it replaces.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from broker.errors import OutboundFailed, OutboundRefused, SettingsError, StoreUnavailable
from broker.flows.ports import Store, StoredCRL
from broker.network.outbound import TOTAL_SECONDS, OutboundGuard

MAX_CRL: Final = 8 * 1024 * 1024  # check_crl answers UNKNOWN above it
BREAKER: Final = timedelta(seconds=10)
"""After a fetch that brought nothing fresh, a source is left alone for so long."""
CLOCK_DIFFERENCE: Final = timedelta(minutes=5)
"""A list from further in the future would lock out every honest one after it."""

_log = structlog.get_logger("broker.network.crl")


class Source(NamedTuple):
    """Where the list for one distribution point of one CA key is had."""

    distribution_point: str
    """The directoryName as an RFC 4514 string (jpki.distribution)."""
    issuer_key_hash: bytes
    """SHA-256 of the CA's SubjectPublicKeyInfo."""
    url: str


class CRLRefused(ValueError):
    """What came is not a list that may replace the one we have. Stays within this module."""


@dataclass(slots=True)
class _State:
    """What this process knows of one source."""

    source: Source
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
    fetching: threading.Lock = field(default_factory=threading.Lock)
    kept: StoredCRL | None = None
    next_update: datetime | None = None
    quiet_until: datetime | None = None


class CRLSource:
    """Fulfils ports.RevocationSource; threads share it.

    `anchors` are the DER certificates of the accepted CAs; every source must name the key of one of them.
    Raises SettingsError where one does not, or two sources claim one distribution point.
    """

    def __init__(
        self,
        sources: Iterable[tuple[str, bytes, str]],
        guard: OutboundGuard,
        store: Store,
        clock: Callable[[], datetime],
        *,
        anchors: Sequence[bytes],
        refresh_after: timedelta = timedelta(hours=1),
    ) -> None:
        keys = _keys(anchors)
        self._guard, self._store, self._clock = guard, store, clock
        self._refresh_after = refresh_after
        self._states: dict[tuple[str, bytes], _State] = {}
        for source in (Source(*row) for row in sources):
            place = (source.distribution_point, source.issuer_key_hash)
            if source.issuer_key_hash not in keys:
                raise SettingsError(f"the revocation source {source.url} belongs to no accepted CA")
            if place in self._states:
                raise SettingsError(f"two revocation sources for one distribution point: {source.url}")
            self._states[place] = _State(source=source, key=keys[source.issuer_key_hash])

    def crl_for(self, distribution_point: str, issuer_key_hash: bytes) -> StoredCRL | None:
        """The newest list, fetched now if the stored one is missing or old; an old one rather than none.

        While one thread fetches, others are answered with what there is, and wait only when there is nothing.
        Raises StoreUnavailable.
        """
        state = self._states.get((distribution_point, issuer_key_hash))
        if state is None:
            return None
        if self._fresh(state):
            return state.kept
        if state.kept is None:
            self._load(state)
            if self._fresh(state):
                return state.kept
        timeout = -1.0 if state.kept is not None else TOTAL_SECONDS + 1
        if state.fetching.acquire(blocking=state.kept is None, timeout=timeout):
            try:
                if not self._fresh(state) and not self._quiet(state):
                    self._load(state)  # another process may have fetched it
                    if not self._fresh(state):
                        self._fetch(state)
            finally:
                state.fetching.release()
        return state.kept

    def refresh_all(self) -> dict[str, bool]:
        """Fetch every configured list anew; by address, whether it came."""
        came = {}
        for state in self._states.values():
            with state.fetching:
                self._load(state)
                came[state.source.url] = self._fetch(state)
        return came

    def _quiet(self, state: _State) -> bool:
        now = self._clock()
        return state.quiet_until is not None and now < state.quiet_until <= now + BREAKER

    def _fresh(self, state: _State) -> bool:
        if state.kept is None:
            return False
        now = self._clock()
        age = now - state.kept.fetched_at
        if state.next_update is not None and now >= state.next_update:
            return False
        return -CLOCK_DIFFERENCE <= age < self._refresh_after

    def _load(self, state: _State) -> None:
        with self._store.transaction() as tx:
            stored = tx.crls.get(state.source.url)
        if stored is None or (state.kept is not None and stored.fetched_at <= state.kept.fetched_at):
            return
        try:
            parsed = _parse(stored.der, state.key)
        except CRLRefused:  # the source's CA was changed in the settings, or the row was
            _log.warning("crl_stored_unusable", source=state.source.url)
            return
        state.kept, state.next_update = stored, parsed.next_update_utc

    def _fetch(self, state: _State) -> bool:
        """Whether a list came that may stand. The last good one stays when not."""
        now = self._clock()
        state.quiet_until = now + BREAKER
        try:
            der = self._guard.get(state.source.url, limit=MAX_CRL)
            parsed = _parse(der, state.key)
            if parsed.last_update_utc > now + CLOCK_DIFFERENCE:
                raise CRLRefused("thisUpdate lies in the future")
            if state.kept is not None:
                _check_not_older(parsed, _parse(state.kept.der, state.key))
        except (OutboundRefused, OutboundFailed, CRLRefused) as failed:
            _log.warning("crl_not_replaced", source=state.source.url, cause=str(failed))
            return False
        crl = StoredCRL(source=state.source.url, der=der, fetched_at=now)
        state.kept, state.next_update = crl, parsed.next_update_utc
        try:
            with self._store.transaction() as tx:
                tx.crls.put(crl)
        except StoreUnavailable:  # a full disk must not turn a good list away; other processes fetch for themselves
            _log.warning("crl_not_stored", source=state.source.url)
        return True


def _keys(anchors: Sequence[bytes]) -> dict[bytes, rsa.RSAPublicKey | ec.EllipticCurvePublicKey]:
    keys: dict[bytes, rsa.RSAPublicKey | ec.EllipticCurvePublicKey] = {}
    for der in anchors:
        try:
            key = x509.load_der_x509_certificate(der).public_key()
        except (ValueError, UnsupportedAlgorithm) as broken:
            raise SettingsError("an anchor is not a certificate") from broken
        if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            raise SettingsError("an anchor's key is neither RSA nor elliptic-curve")
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        keys[hashlib.sha256(spki).digest()] = key
    return keys


def _parse(der: bytes, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> x509.CertificateRevocationList:
    """A list signed by `key`. Raises CRLRefused for whatever else the bytes are."""
    try:
        parsed = x509.load_der_x509_crl(der)
        signed = parsed.is_signature_valid(key)
        _ = parsed.last_update_utc, parsed.next_update_utc, _number(parsed)
    except (ValueError, TypeError, UnsupportedAlgorithm) as broken:
        raise CRLRefused("not a certificate revocation list") from broken
    if not signed:
        raise CRLRefused("not signed by the configured CA")
    return parsed


def _number(crl: x509.CertificateRevocationList) -> int | None:
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (x509.ExtensionNotFound, x509.DuplicateExtension):
        return None


def _check_not_older(new: x509.CertificateRevocationList, kept: x509.CertificateRevocationList) -> None:
    """RFC 5280 §5.2.3: numbers of one scope only rise. Raises CRLRefused."""
    if new.last_update_utc < kept.last_update_utc:
        raise CRLRefused("thisUpdate went back")
    numbers = _number(new), _number(kept)
    if numbers[1] is not None and (numbers[0] is None or numbers[0] < numbers[1]):
        raise CRLRefused("the CRL number went back")
