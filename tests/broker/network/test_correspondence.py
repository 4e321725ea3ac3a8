"""The gateway to J-LIS's mapping over a real connection: a clear answer, or CorrespondenceUnknown."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from broker.accounts.lifecycle import CertificateName
from broker.errors import CorrespondenceUnknown, OutboundFailed
from broker.network.correspondence import CorrespondenceGateway
from broker.network.outbound import DEFAULT_LIMIT, OutboundGuard

OLD, NEW = (CertificateName(issuer_key_hash=bytes([part]) * 32, serial=0x0ABC00 + part) for part in (1, 2))
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
GUARD = OutboundGuard(allow_loopback_http=True, total_seconds=1.0)


def document(certificate: CertificateName) -> dict[str, str]:
    return {"issuer_key_hash": certificate.issuer_key_hash.hex(), "serial": f"{certificate.serial:x}"}


class Gateway(ThreadingHTTPServer):
    """Says what the test wants said, and remembers what it was asked."""

    status = 200
    said: bytes = b""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    def says(self, **answer: Any) -> None:
        self.said = json.dumps(answer).encode()


class Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.asked.append((self.path, self.headers["Content-Type"], json.loads(self.rfile.read(length))))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.said)))
        self.end_headers()
        self.wfile.write(self.server.said)

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def serving() -> Iterator[Gateway]:
    with Gateway() as gateway:
        thread = threading.Thread(target=gateway.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield gateway
        finally:
            gateway.shutdown()
            thread.join()


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with serving() as opened:
        yield opened


def ask(gateway: Gateway) -> CorrespondenceGateway:
    return CorrespondenceGateway(
        f"http://127.0.0.1:{gateway.server_address[1]}/mapping/", GUARD, lambda: datetime.now(UTC)
    )


def test_a_predecessor_is_named_and_no_serial_stands_in_the_address(gateway: Gateway) -> None:
    gateway.says(certificate=document(NEW), predecessor=document(OLD))
    assert ask(gateway).predecessor(NEW) == OLD
    assert gateway.asked == [("/mapping/predecessor", "application/json", {"certificate": document(NEW)})]


def test_none_is_an_explicit_null(gateway: Gateway) -> None:
    gateway.says(certificate=document(NEW), predecessor=None)
    assert ask(gateway).predecessor(NEW) is None
    gateway.says(certificate=document(NEW))
    with pytest.raises(CorrespondenceUnknown, match="names no certificate"):
        ask(gateway).predecessor(NEW)


@pytest.mark.parametrize("answer", [True, False])
def test_two_certificates_correspond_or_not(gateway: Gateway, answer: bool) -> None:
    gateway.says(certificates=[document(OLD), document(NEW)], correspond=answer)
    assert ask(gateway).correspond(OLD, NEW) is answer
    assert gateway.asked[0][0] == "/mapping/correspond"


@pytest.mark.parametrize("status", [204, 301, 404, 410, 500, 503])
def test_a_status_is_never_taken_for_a_word(gateway: Gateway, status: int) -> None:
    gateway.status = status
    gateway.says(certificate=document(NEW), predecessor=None)
    with pytest.raises(CorrespondenceUnknown):
        ask(gateway).predecessor(NEW)


@pytest.mark.parametrize(
    "predecessor",
    [
        "",
        [],
        {"issuer_key_hash": "00" * 32},
        {"issuer_key_hash": "00" * 31, "serial": "1"},
        {"issuer_key_hash": "00" * 32, "serial": "0"},
        {"issuer_key_hash": "00" * 32, "serial": "01"},
        {"issuer_key_hash": "00" * 32, "serial": "-1"},
        {"issuer_key_hash": "00" * 32, "serial": "1" * 41},
        {"issuer_key_hash": "00" * 32, "serial": 1},
    ],
)
def test_a_predecessor_of_another_shape_is_no_answer(gateway: Gateway, predecessor: object) -> None:
    gateway.says(certificate=document(NEW), predecessor=predecessor)
    with pytest.raises(CorrespondenceUnknown):
        ask(gateway).predecessor(NEW)


@pytest.mark.parametrize(
    "said", [b"", b"null", b"[]", b"{", b'{"a":1,"a":2}', b'{"x":"' + b"x" * 5000 + b'"}'], ids=range(6)
)
def test_what_is_no_small_json_object_is_no_answer(gateway: Gateway, said: bytes) -> None:
    gateway.said = said
    with pytest.raises(CorrespondenceUnknown):
        ask(gateway).predecessor(NEW)


def test_an_answer_to_another_question_is_no_answer(gateway: Gateway) -> None:
    gateway.says(certificate=document(OLD), predecessor=None)
    with pytest.raises(CorrespondenceUnknown, match="another question"):
        ask(gateway).predecessor(NEW)
    gateway.says(certificates=[document(NEW), document(OLD)], correspond=True)
    with pytest.raises(CorrespondenceUnknown, match="another question"):
        ask(gateway).correspond(OLD, NEW)


@pytest.mark.parametrize("answer", [None, "true", 1])
def test_neither_yes_nor_no_is_no_answer(gateway: Gateway, answer: object) -> None:
    gateway.says(certificates=[document(OLD), document(NEW)], correspond=answer)
    with pytest.raises(CorrespondenceUnknown, match="neither yes nor no"):
        ask(gateway).correspond(OLD, NEW)


def test_nobody_there_is_no_answer() -> None:
    with serving() as gone:
        source = ask(gone)
    with pytest.raises(CorrespondenceUnknown):
        source.predecessor(NEW)


def test_plain_http_beyond_the_sandbox_is_never_called(gateway: Gateway) -> None:
    source = CorrespondenceGateway(
        f"http://127.0.0.1:{gateway.server_address[1]}/mapping", OutboundGuard(), lambda: NOON
    )
    with pytest.raises(CorrespondenceUnknown):
        source.predecessor(NEW)
    assert gateway.asked == []


def test_a_gateway_that_let_somebody_wait_is_left_alone_for_ten_seconds() -> None:
    now = [NOON]

    class Slow(OutboundGuard):
        def post(
            self,
            url: str,
            body: bytes,
            *,
            media_type: str,
            bearer: str = "",
            limit: int = DEFAULT_LIMIT,
            accepted: tuple[int, ...] = (200,),
        ) -> bytes:
            now[0] += timedelta(seconds=3)
            raise OutboundFailed("no complete answer within 3 s")

    source = CorrespondenceGateway("http://127.0.0.1:1/mapping", Slow(), lambda: now[0])
    with pytest.raises(CorrespondenceUnknown, match="no complete answer"):
        source.predecessor(NEW)
    now[0] += timedelta(seconds=9.9)
    with pytest.raises(CorrespondenceUnknown, match="a moment ago"):
        source.predecessor(NEW)
    now[0] += timedelta(seconds=0.1)
    with pytest.raises(CorrespondenceUnknown, match="no complete answer"):
        source.predecessor(NEW)


def test_a_gateway_that_fails_at_once_is_asked_again_at_once(gateway: Gateway) -> None:
    source = ask(gateway)
    gateway.status = 503
    with pytest.raises(CorrespondenceUnknown):
        source.predecessor(NEW)
    gateway.status = 200
    gateway.says(certificate=document(NEW), predecessor=document(OLD))
    assert source.predecessor(NEW) == OLD
