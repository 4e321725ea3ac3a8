"""The compiled client: it counts only answers that are what the plan wants."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from bench.card import NotMeasured
from bench.load import Load, Refused, Step, build

ROWS = [{"number": str(number), "state": f"s{number}"} for number in range(20)]
SEATS = [{"seat": "a"}, {"seat": "b"}]


class _Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[str]

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if self.path.startswith("/chunked"):
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (b'{"sub":', b'"' + b"x" * 20_000 + b'",', b'"deep":{"sub":"inner"},"n": 12 }'):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_response(303)
        self.send_header("Location", f"http://rp/cb?code=c-{query['state'][0]}&state={query['state'][0]}&iss=me#f")
        self.send_header("Content-Length", "0")
        if self.path.startswith("/closing"):
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.seen.append(f"{self.headers['X-Seat']} {body}")
        answer = b'{"a": [1, {"token": "no"}], "token": "t-%s", "active": true, "empty": ""}' % body[-2:].encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test reads what it is told."""


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    try:
        return build(tmp_path_factory.mktemp("load"))
    except NotMeasured as reason:
        pytest.skip(f"missing: {reason}")


@pytest.fixture
def origin() -> Iterator[tuple[str, int]]:
    _Server.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield "localhost", server.server_port
        server.shutdown()


AUTHORIZE = Step(
    name="authorize",
    path="/authorize?state={state}",
    statuses=(302, 303),
    takes=(("code", "location", "code"),),
    wants=(("location", "state", "{state}"), ("location", "iss", "")),
)
TOKEN = Step(
    name="token",
    path="/token",
    headers=("X-Seat: {seat}",),
    body="number={number}&code={code}",
    takes=(("token", "json", "token"),),
    wants=(("json", "active", "true"),),
)


def test_each_row_is_used_once_and_what_one_step_took_is_sent_by_the_next(load: Load, origin: tuple[str, int]) -> None:
    timed = load.run(origin, [AUTHORIZE, TOKEN], rows=ROWS, seats=SEATS)
    assert sorted(line.partition(" ")[2] for line in _Server.seen) == sorted(
        f"number={n}&code=c-s{n}" for n in range(20)
    )
    assert {line[0] for line in _Server.seen} <= {"a", "b"}
    assert len(timed.milliseconds) == len(ROWS)
    assert all(taken > 0 for taken in timed.milliseconds)
    assert timed.reconnects == 0
    assert timed.p50() <= timed.p99()


def test_a_chunked_answer_is_put_together_and_only_its_own_members_count(load: Load, origin: tuple[str, int]) -> None:
    whole = Step(name="whole", path="/chunked", takes=(("n", "json", "n"),), wants=(("json", "sub", "x" * 4000),))
    with pytest.raises(Refused, match="another sub"):
        load.run(origin, [whole], rows=ROWS, seats=SEATS)
    step = Step(name="n", path="/chunked?{number}", wants=(("json", "n", "12"), ("json", "deep", "")))
    assert load.run(origin, [step], rows=ROWS, seats=SEATS).reconnects == 0


def test_a_connection_that_the_server_closes_is_opened_again_and_counted(load: Load, origin: tuple[str, int]) -> None:
    step = Step(name="closing", path="/closing?state={state}", statuses=(303,))
    assert load.run(origin, [step], rows=ROWS, seats=SEATS).reconnects == len(ROWS)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (Step(name="x", path="/authorize?state={state}"), "status 303"),
        (Step(name="x", path="/authorize?state=1", statuses=(303,), wants=(("location", "no", ""),)), "no no in"),
        (
            Step(name="x", path="/authorize?state=1", statuses=(303,), wants=(("location", "state", "{state}"),)),
            "another state",
        ),
        (Step(name="x", path="/token", body="number={number}", wants=(("json", "empty", ""),)), "no empty in"),
        (Step(name="x", path="/token", body="number={number}", wants=(("json", "active", "false"),)), "another active"),
        (Step(name="x", path="/token", body="number={code}"), "nothing is known of {code}"),
    ],
)
def test_an_answer_that_is_not_what_the_plan_wants_ends_the_run(
    load: Load, origin: tuple[str, int], step: Step, reason: str
) -> None:
    with pytest.raises(Refused) as refused:
        load.run(origin, [step], rows=ROWS[2:], seats=SEATS)
    assert reason in str(refused.value)


def test_what_may_be_missing_is_taken_where_it_is_there(load: Load, origin: tuple[str, int]) -> None:
    step = Step(
        name="x",
        path="/token",
        headers=("X-Seat: {token}",),
        body="n={number}",
        keeps=(("token", "json", "token"), ("token", "json", "none")),
    )
    load.run(origin, [step], rows=ROWS, seats=[{"token": "first"}])
    assert _Server.seen[0].startswith("first ")
    assert all(line.startswith("t-") for line in _Server.seen[1:])


def test_nobody_there_is_told(load: Load) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(Refused, match="cannot connect"):
            load.run(("localhost", unused.getsockname()[1]), [AUTHORIZE], rows=ROWS, seats=SEATS)
