"""A platform operator is believed for a whole, young answer to our own question, and for nothing else."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from broker.accounts.lifecycle import CertificateName
from broker.errors import CorrespondenceUnknown, RevocationUnknown
from broker.flows.revocation_ports import CorrespondenceSource
from broker.jpki.certificate import TrustedCertificate
from broker.jpki.verdict import RevocationStatus
from broker.network.breaker import PAUSE
from broker.network.configuration import Platform
from broker.network.correspondence import document
from broker.network.outbound import OutboundGuard
from broker.network.platform import PlatformOperator
from tests.broker.jpki.hierarchy import CA, DAY, NOW

GOOD, REVOKED, UNKNOWN = RevocationStatus.GOOD, RevocationStatus.REVOKED, RevocationStatus.UNKNOWN


class Operator:
    """Answers what the test wants said, over the question."""

    def __init__(self) -> None:
        self.now = NOW
        self.status = 200
        self.said: dict[str, Any] = {}
        self.raw: bytes | None = None
        self.asked: list[tuple[str, str | None, dict[str, Any]]] = []
        operator = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                operator.asked.append((self.path, self.headers["Authorization"], question))
                body = json.dumps({**question, **operator.said}).encode() if operator.raw is None else operator.raw
                self.send_response(operator.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.adapter = PlatformOperator(
            Platform(url=f"http://127.0.0.1:{self.server.server_address[1]}/v1", token="our-token"),
            OutboundGuard(allow_loopback_http=True),
            lambda: self.now,
            os.urandom,
        )

    def verdict(self, **said: Any) -> RevocationStatus:
        self.said = {"status": "good", "reason": "", "this_update": NOW.isoformat()} | said
        return self.adapter.judge(CERTIFICATE, at=NOW, max_age=DAY).verdict.status


def certificate() -> TrustedCertificate:
    ca = CA("Root")
    leaf = ca.leaf()
    return TrustedCertificate(
        der=leaf.public_bytes(Encoding.DER),
        issuer=ca.der,
        issuer_key_hash=ca.key_hash,
        serial=leaf.serial_number,
        spki=b"",
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        profile="TEST",
        kind="plastic",
    )


CERTIFICATE = certificate()


@pytest.fixture
def operator() -> Iterator[Operator]:
    made = Operator()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_whole_young_answer_is_believed(operator: Operator) -> None:
    assert operator.verdict() is GOOD
    assert operator.verdict(status="revoked", reason="keyCompromise") is REVOKED
    (path, token, first), (_, _, second) = operator.asked
    assert (path, token) == ("/v1/verifications", "Bearer our-token")
    assert first["nonce"] != second["nonce"]


@pytest.mark.parametrize(
    "said",
    [
        {"status": "unknown"},
        {"status": "GOOD"},
        {"status": True},
        {"status": None},
        {"reason": "but"},
        {"status": "revoked"},
        {"nonce": "of-another-question"},
        {"certificate": ""},
        {"this_update": (NOW - 2 * DAY).isoformat()},
        {"this_update": (NOW + timedelta(seconds=30)).isoformat()},
        {"this_update": NOW.replace(tzinfo=None).isoformat()},
        {"this_update": 1},
    ],
)
def test_any_other_answer_proves_nothing(operator: Operator, said: dict[str, Any]) -> None:
    assert operator.verdict(**said) is UNKNOWN


@pytest.mark.parametrize("raw", [b"", b"[]", b"good", b'{"status":"good","status":"good"}', b"{" * 70_000])
def test_an_answer_that_is_no_object_proves_nothing(operator: Operator, raw: bytes) -> None:
    operator.raw = raw
    assert operator.verdict() is UNKNOWN


@pytest.mark.parametrize("status", [302, 404, 409, 410, 500])
def test_any_other_status_proves_nothing_and_leaves_the_operator_alone_for_a_while(
    operator: Operator, status: int
) -> None:
    operator.status = status
    assert operator.verdict() is UNKNOWN
    operator.status = 200
    assert operator.verdict() is UNKNOWN
    assert len(operator.asked) == 1
    operator.now += PAUSE + timedelta(seconds=1)
    assert operator.verdict() is GOOD


OLD, NEW = (CertificateName(issuer_key_hash=bytes([part]) * 32, serial=0x0ABC00 + part) for part in (1, 2))


def test_what_a_certificate_replaces_is_named_and_nothing_is_an_explicit_word(operator: Operator) -> None:
    source: CorrespondenceSource = operator.adapter
    operator.said = {"replaces": document(OLD)}
    assert source.predecessor(NEW) == OLD
    operator.said = {"replaces": None}
    assert source.predecessor(NEW) is None
    path, token, question = operator.asked[-1]
    assert (path, token, question["certificate"]) == ("/v1/replacements", "Bearer our-token", document(NEW))
    for said in ({}, {"replaces": ""}, {"replaces": 3}, {"replaces": {}}, {"replaces": None, "certificate": {}}):
        operator.said = said
        with pytest.raises(CorrespondenceUnknown):
            source.predecessor(NEW)


@pytest.mark.parametrize("status", [404, 409, 410, 500])
def test_a_status_is_no_word_about_a_predecessor(operator: Operator, status: int) -> None:
    operator.said, operator.status = {"replaces": None}, status
    with pytest.raises(CorrespondenceUnknown):
        operator.adapter.predecessor(NEW)


def test_two_certificates_correspond_by_a_clear_word_only(operator: Operator) -> None:
    for word in (True, False):
        operator.said = {"correspond": word}
        assert operator.adapter.correspond(OLD, NEW) is word
    for said in ({}, {"correspond": None}, {"correspond": 1}, {"correspond": True, "nonce": "x"}):
        operator.said = said
        with pytest.raises(CorrespondenceUnknown):
            operator.adapter.correspond(OLD, NEW)


def notice(number: int, **changed: Any) -> dict[str, Any]:
    return {"number": number, "registration": "r", "revoked_at": NOW.isoformat(), "reason": "superseded"} | changed


def test_notices_come_in_order_and_whole(operator: Operator) -> None:
    operator.said = {"notices": [notice(5), notice(6)]}
    assert [each.number for each in operator.adapter.notices(after=4)] == [5, 6]
    for rows in (
        [notice(6)],
        [notice(5), notice(7)],
        [notice(5), notice(5)],
        [notice(6), notice(5)],
        [notice(5, reason="")],
        [notice(5, registration="a b")],
        [notice(5, revoked_at="yesterday")],
        [notice(n) for n in range(5, 600)],
        None,
        ["x"],
    ):
        operator.said = {"notices": rows}
        with pytest.raises(RevocationUnknown):
            operator.adapter.notices(after=4)


def test_the_token_is_never_shown(operator: Operator) -> None:
    assert "our-token" not in repr(Platform(url="https://p.example", token="our-token"))
