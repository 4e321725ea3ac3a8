"""OCSP responders of the accepted CAs (RevocationSource), asked over HTTP (RFC 6960 Appendix A, RFC 9654).

The responder's address is configuration; the one that stands in a certificate is never called (design 4.5). What an
answer proves is judged by jpki.revocation at each use, a kept one too.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoResult
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.ocsp import OCSPRequestBuilder

from broker.errors import OutboundFailed, OutboundRefused
from broker.flows.revocation_ports import Evidence, RevocationSource
from broker.jpki.certificate import TrustedCertificate
from broker.jpki.ocsp import MAX_RESPONSE
from broker.jpki.revocation import check_ocsp
from broker.jpki.verdict import RevocationStatus, RevocationVerdict
from broker.network.breaker import Breaker
from broker.network.configuration import Nonce, Responder
from broker.network.outbound import OutboundGuard

SECONDS: Final = 2.0
"""For a question and its answer together; a login waits no longer (reliability F10)."""
MAX_KEPT: Final = 10_000
NONCE_BYTES: Final = 32  # RFC 9654 §2.1
AHEAD: Final = timedelta(seconds=5)
"""How far a responder's clock may run before ours. Answers are judged as of so much later, which is never laxer."""

_log = structlog.get_logger("broker.network.ocsp")

_Key = tuple[bytes, int]
"""What a CertID says (RFC 6960 §4.1.1): whose key issued, and the serial."""


@dataclass(slots=True)
class _State:
    """What this process knows of one responder."""

    responder: Responder
    breaker: Breaker
    lock: threading.Lock = field(default_factory=threading.Lock)
    kept: OrderedDict[_Key, bytes] = field(default_factory=OrderedDict)
    """Whole answers that proved something, the least used first; none that told nothing."""
    asking: dict[_Key, Future[RevocationVerdict]] = field(default_factory=dict)


class OCSPSource:
    """Fulfils RevocationSource; threads share it. `entropy` makes the nonces."""

    def __init__(
        self,
        responders: Iterable[Responder],
        guard: OutboundGuard,
        clock: Callable[[], datetime],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._guard = replace(guard, total_seconds=min(SECONDS, guard.total_seconds))
        self._clock, self._entropy = clock, entropy
        self._states = {each.issuer_key_hash: _State(responder=each, breaker=Breaker(clock)) for each in responders}

    def judge(self, certificate: TrustedCertificate, *, at: datetime, max_age: timedelta) -> Evidence:
        """What the responder says now, or said within the policy's age. UNKNOWN where nothing proves anything.

        Callers that ask for one certificate at the same time share one question.
        """
        state = self._states.get(certificate.issuer_key_hash)
        if state is None:
            return Evidence(verdict=_unknown("no responder is configured for the CA"), address="")
        max_age = min(max_age, state.responder.max_age)
        return Evidence(verdict=self._answer(state, certificate, at, max_age), address=state.responder.url)

    def refresh_all(self) -> dict[str, bool]:
        """Nothing is fetched ahead of a question."""
        return {}

    def _answer(
        self, state: _State, certificate: TrustedCertificate, at: datetime, max_age: timedelta
    ) -> RevocationVerdict:
        key = (certificate.issuer_key_hash, certificate.serial)
        with state.lock:
            kept = state.kept.get(key)
            if kept is not None:
                verdict = _judged(kept, certificate, at=at, max_age=max_age, nonce=None)
                if verdict.status is not RevocationStatus.UNKNOWN:
                    state.kept.move_to_end(key)
                    return verdict
                del state.kept[key]
            if state.breaker.open:
                return _unknown("the responder gave no answer a moment ago")
            asked = state.asking.get(key)
            first = asked is None
            if asked is None:
                asked = state.asking[key] = Future()
        if not first:
            try:
                return asked.result(timeout=SECONDS)
            except NoResult:
                return _unknown("the responder gave no answer in time")
        verdict = _unknown("the question could not be asked")
        try:
            verdict = self._ask(state, certificate, key, max_age)
        finally:
            with state.lock:
                del state.asking[key]
            asked.set_result(verdict)
        return verdict

    def _ask(self, state: _State, certificate: TrustedCertificate, key: _Key, max_age: timedelta) -> RevocationVerdict:
        responder = state.responder
        nonce = self._entropy(NONCE_BYTES) if responder.nonce is Nonce.FRESH else None
        try:
            answer = self._guard.post(
                responder.url,
                request(certificate.der, certificate.issuer, nonce=nonce),
                media_type="application/ocsp-request",
                limit=MAX_RESPONSE,
            )
        except (OutboundFailed, OutboundRefused) as failed:
            state.breaker.trip()
            _log.warning("ocsp_not_answered", source=responder.url, cause=str(failed))
            return _unknown("the responder gave no answer")
        # by the time after the wait: an answer made meanwhile is not from the future
        verdict = _judged(answer, certificate, at=self._clock(), max_age=max_age, nonce=nonce)
        if verdict.status is RevocationStatus.UNKNOWN:
            _log.warning("ocsp_proves_nothing", source=responder.url, cause=verdict.reason)
        elif responder.nonce is Nonce.CACHED:
            with state.lock:
                state.kept[key] = answer
                while len(state.kept) > MAX_KEPT:
                    state.kept.popitem(last=False)
        return verdict


class FirstProof:
    """Several sources, asked in order until one proves anything, good or revoked (RevocationSource)."""

    def __init__(self, *sources: RevocationSource) -> None:
        self._sources = sources

    def judge(self, certificate: TrustedCertificate, *, at: datetime, max_age: timedelta) -> Evidence:
        """The first proof; the last source's UNKNOWN where there is none."""
        evidence = Evidence(verdict=_unknown("no source is configured"), address="")
        for source in self._sources:
            evidence = source.judge(certificate, at=at, max_age=max_age)
            if evidence.verdict.status is not RevocationStatus.UNKNOWN:
                break
        return evidence

    def refresh_all(self) -> dict[str, bool]:
        """Every source's."""
        return {address: came for source in self._sources for address, came in source.refresh_all().items()}


def request(certificate: bytes, issuer: bytes, *, nonce: bytes | None) -> bytes:
    """The DER OCSPRequest for one certificate (RFC 6960 §4.1). SHA-1 only names the issuer there (RFC 5019 §2.1.1)."""
    builder = OCSPRequestBuilder().add_certificate(
        x509.load_der_x509_certificate(certificate),
        x509.load_der_x509_certificate(issuer),
        hashes.SHA1(),  # noqa: S303 -- as above
    )
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def _judged(
    answer: bytes, certificate: TrustedCertificate, *, at: datetime, max_age: timedelta, nonce: bytes | None
) -> RevocationVerdict:
    return check_ocsp(
        answer, certificate=certificate.der, issuer=certificate.issuer, at=at + AHEAD, max_age=max_age, nonce=nonce
    )


def _unknown(reason: str) -> RevocationVerdict:
    return RevocationVerdict(status=RevocationStatus.UNKNOWN, reason=f"OCSP: {reason}", source="ocsp")
