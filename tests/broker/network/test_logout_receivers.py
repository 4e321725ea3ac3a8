"""How a logout token reaches a client's server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

import pytest

from broker.errors import OutboundFailed, OutboundRefused
from broker.network.logout import GuardedLogouts
from broker.network.outbound import OutboundGuard

SANDBOX = OutboundGuard(allow_loopback_http=True)


class Handler(BaseHTTPRequestHandler):
    """Answers with the status that its path names."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.headers["Content-Type"], body))  # type: ignore[attr-defined]  # set in serving()
        self.send_response(int(self.path.strip("/")))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen = []  # type: ignore[attr-defined]  # for Handler
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.seen  # type: ignore[attr-defined]  # as above
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("status", [200, 204])
def test_a_logout_token_is_the_only_field_of_a_form(status: int) -> None:
    with serving() as (address, seen):
        GuardedLogouts(SANDBOX).post(f"{address}/{status}", "a.b-c.d_e")
    [(kind, body)] = seen
    assert kind == "application/x-www-form-urlencoded"
    assert parse_qsl(body.decode()) == [("logout_token", "a.b-c.d_e")]


@pytest.mark.parametrize("status", [201, 302, 400, 500])
def test_any_other_status_has_not_taken_it(status: int) -> None:
    with serving() as (address, _), pytest.raises(OutboundFailed):
        GuardedLogouts(SANDBOX).post(f"{address}/{status}", "a.b.c")


def test_no_address_of_this_machine_is_called_in_production() -> None:
    with serving() as (address, seen):
        for url in (f"{address}/200", "https://127.0.0.1/200"):
            with pytest.raises(OutboundRefused):
                GuardedLogouts(OutboundGuard()).post(url, "a.b.c")
    assert seen == []
