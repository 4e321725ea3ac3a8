"""A responder is asked for little, waited for briefly, and believed only for what it proves."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp

from broker.flows.revocation_ports import Evidence
from broker.jpki.certificate import TrustedCertificate
from broker.jpki.verdict import RevocationStatus, RevocationVerdict
from broker.network.breaker import PAUSE
from broker.network.configuration import Nonce, Responder
from broker.network.ocsp import AHEAD, NONCE_BYTES, SECONDS, FirstProof, OCSPSource, request
from broker.network.outbound import OutboundGuard
from tests.broker.jpki.hierarchy import CA, DAY, NOW

GOOD, REVOKED, UNKNOWN = RevocationStatus.GOOD, RevocationStatus.REVOKED, RevocationStatus.UNKNOWN
MINUTE = timedelta(minutes=1)


class World:
    """A CA that answers for itself, with a mode the test sets."""

    def __init__(self) -> None:
        self.ca = CA("Root")
        self.now = datetime.now(UTC).replace(microsecond=0)  # a builder writes producedAt by the machine's clock
        self.revoked = False
        self.mode = "answer"
        self.asked: list[ocsp.OCSPRequest] = []
        self.hold = threading.Event()
        self.hold.set()
        world = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["Content-Type"] == "application/ocsp-request"
                question = ocsp.load_der_ocsp_request(body)
                world.asked.append(question)
                world.hold.wait(5)
                answer = world.answer(question)
                try:
                    self.send_response(503 if world.mode == "down" else 200)
                    self.end_headers()
                    if world.mode == "drip":
                        for _ in range(60):
                            self.wfile.write(b"x")
                            time.sleep(0.05)
                    self.wfile.write(answer)
                except OSError:
                    return

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def answer(self, question: ocsp.OCSPRequest) -> bytes:
        if self.mode == "huge":
            return b"\x30" * 100_000
        if self.mode == "try-later":
            return ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(
                Encoding.DER
            )
        at = datetime.now(UTC).replace(microsecond=0)
        status = ocsp.OCSPCertStatus.REVOKED if self.revoked else ocsp.OCSPCertStatus.GOOD
        builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
            issuer_name_hash=question.issuer_name_hash,
            issuer_key_hash=question.issuer_key_hash,
            serial_number=question.serial_number + (self.mode == "another"),
            algorithm=question.hash_algorithm,
            cert_status=ocsp.OCSPCertStatus.UNKNOWN if self.mode == "unknown" else status,
            this_update=at,
            next_update=at + 60 * MINUTE,
            revocation_time=NOW - DAY if self.revoked else None,
            revocation_reason=None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, self.ca.certificate)
        for extension in question.extensions:
            if self.mode == "old-nonce":
                builder = builder.add_extension(x509.OCSPNonce(bytes(NONCE_BYTES)), critical=False)
            elif self.mode != "no-nonce":
                builder = builder.add_extension(extension.value, critical=False)
        return builder.sign(self.ca.key, hashes.SHA256()).public_bytes(Encoding.DER)

    def certificate(self) -> TrustedCertificate:
        leaf = self.ca.leaf()
        return TrustedCertificate(
            der=leaf.public_bytes(Encoding.DER),
            issuer=self.ca.der,
            issuer_key_hash=self.ca.key_hash,
            serial=leaf.serial_number,
            spki=leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            not_before=leaf.not_valid_before_utc,
            not_after=leaf.not_valid_after_utc,
            profile="TEST",
            kind="plastic",
        )

    def source(self, nonce: Nonce = Nonce.FRESH) -> OCSPSource:
        responder = Responder(
            issuer_key_hash=self.ca.key_hash,
            issuer=self.ca.der,
            url=f"http://127.0.0.1:{self.server.server_address[1]}/",
            nonce=nonce,
        )
        return OCSPSource([responder], OutboundGuard(allow_loopback_http=True), lambda: self.now, os.urandom)

    def ask(self, source: OCSPSource, certificate: TrustedCertificate) -> RevocationVerdict:
        return source.judge(certificate, at=self.now, max_age=30 * DAY).verdict


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.hold.set()
    made.server.shutdown()
    made.server.server_close()


def test_a_question_names_one_certificate_and_carries_a_fresh_nonce(world: World) -> None:
    source, certificate = world.source(), world.certificate()
    for _ in range(2):
        assert world.ask(source, certificate).status is GOOD
    nonces = [next(iter(each.extensions)).value for each in world.asked]
    assert [each.serial_number for each in world.asked] == [certificate.serial] * 2
    assert all(isinstance(each, x509.OCSPNonce) and len(each.nonce) == NONCE_BYTES for each in nonces)
    assert nonces[0] != nonces[1]


def test_revoked_is_told(world: World) -> None:
    world.revoked = True
    assert world.ask(world.source(), world.certificate()).status is REVOKED


@pytest.mark.parametrize("mode", ["no-nonce", "old-nonce", "unknown", "another", "try-later", "down", "huge"])
def test_what_proves_nothing_is_unknown(world: World, mode: str) -> None:
    world.mode = mode
    assert world.ask(world.source(), world.certificate()).status is UNKNOWN


def test_a_kept_answer_is_used_until_it_is_old(world: World) -> None:
    source, certificate = world.source(Nonce.CACHED), world.certificate()
    for minutes in (0, 5, 4):
        assert world.ask(source, certificate).status is GOOD
        world.now += minutes * MINUTE
    assert len(world.asked) == 1
    assert not list(world.asked[0].extensions)
    world.now += 2 * MINUTE
    world.ask(source, certificate)
    assert len(world.asked) == 2


def test_an_answer_for_one_certificate_is_none_for_another(world: World) -> None:
    source = world.source(Nonce.CACHED)
    assert world.ask(source, world.certificate()).status is GOOD
    world.mode = "unknown"
    assert world.ask(source, world.certificate()).status is UNKNOWN


def test_what_told_nothing_is_never_kept(world: World) -> None:
    source, certificate = world.source(Nonce.CACHED), world.certificate()
    world.mode = "unknown"
    assert world.ask(source, certificate).status is UNKNOWN
    world.mode = "answer"
    assert world.ask(source, certificate).status is GOOD


def test_a_responder_that_is_down_is_left_alone_for_a_while(world: World) -> None:
    source, certificate = world.source(), world.certificate()
    world.mode = "down"
    for _ in range(3):
        assert world.ask(source, certificate).status is UNKNOWN
    assert len(world.asked) == 1
    world.mode = "answer"
    world.now += PAUSE + timedelta(seconds=1)
    assert world.ask(source, certificate).status is GOOD


@pytest.mark.parametrize("mode", ["drip", "hang"])
def test_a_slow_responder_costs_two_seconds_and_no_more(world: World, mode: str) -> None:
    world.mode = mode
    if mode == "hang":
        world.hold.clear()
    before = time.monotonic()
    assert world.ask(world.source(), world.certificate()).status is UNKNOWN
    assert time.monotonic() - before < SECONDS + 20


def test_many_who_ask_for_one_certificate_share_one_question(world: World) -> None:
    source, certificate = world.source(), world.certificate()
    world.hold.clear()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(world.ask, source, certificate) for _ in range(8)]
        time.sleep(0.2)
        world.hold.set()
        assert {each.result().status for each in asked} == {GOOD}
    assert len(world.asked) == 1


def test_a_responder_a_little_ahead_is_believed_and_one_far_ahead_is_not(world: World) -> None:
    world.now -= AHEAD - timedelta(seconds=2)
    assert world.ask(world.source(), world.certificate()).status is GOOD
    world.now -= AHEAD
    assert world.ask(world.source(), world.certificate()).status is UNKNOWN


def test_another_ca_has_no_responder(world: World) -> None:
    stranger = replace(world.certificate(), issuer_key_hash=bytes(32))
    assert world.ask(world.source(), stranger).status is UNKNOWN
    assert not world.asked


def test_the_address_in_the_certificate_is_never_in_the_question(world: World) -> None:
    certificate = world.certificate()
    asked = ocsp.load_der_ocsp_request(request(certificate.der, certificate.issuer, nonce=None))
    assert asked.serial_number == certificate.serial
    assert not list(asked.extensions)


class Fixed:
    """A source that always says the same."""

    def __init__(self, status: RevocationStatus, address: str) -> None:
        self.evidence = Evidence(verdict=RevocationVerdict(status=status, reason="", source="crl"), address=address)

    def judge(self, certificate: TrustedCertificate, *, at: datetime, max_age: timedelta) -> Evidence:
        return self.evidence

    def refresh_all(self) -> dict[str, bool]:
        return {self.evidence.address: True}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (GOOD, REVOKED, "a"),
        (REVOKED, GOOD, "a"),
        (UNKNOWN, REVOKED, "b"),
        (UNKNOWN, GOOD, "b"),
        (UNKNOWN, UNKNOWN, "b"),
    ],
)
def test_the_list_is_asked_where_the_responder_proves_nothing(
    world: World, first: RevocationStatus, second: RevocationStatus, expected: str
) -> None:
    both = FirstProof(Fixed(first, "a"), Fixed(second, "b"))
    assert both.judge(world.certificate(), at=NOW, max_age=DAY).address == expected
    assert both.refresh_all() == {"a": True, "b": True}
    assert FirstProof().judge(world.certificate(), at=NOW, max_age=DAY).verdict.status is UNKNOWN
