"""`broker doctor` against the real application, behind fronts that do what fronts do wrong."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from broker.__main__ import main
from broker.app import mount
from broker.commands.doctor import CHECKS
from broker.flows.ports import KeyUse
from broker.keys.live import open_keys
from broker.keys.rotation import create, rotate
from broker.settings import read
from sandbox.broker import BrokerHouse, open_ports, set_up
from sandbox.generate import generate

HEADER = "X-Client-Certificate"
WSGI = Callable[..., Any]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> BrokerHouse:
    root = tmp_path_factory.mktemp("sandbox")
    generate(root, datetime.now(UTC))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    issuer = f"http://localhost:{port}"
    house = BrokerHouse(root=root, issuer=issuer, agent_origins=("http://127.0.0.1:24780",), port=port)
    set_up(house, [])
    return house


@pytest.fixture(scope="module")
def environment(house: BrokerHouse) -> dict[str, str]:
    return house.environment() | {"BROKER_CLIENT_CERTIFICATE_HEADER": HEADER, "BROKER_EMBEDDED_JOBS": "false"}


@pytest.fixture(scope="module")
def application(environment: dict[str, str]) -> WSGI:
    settings = read(environment)
    return mount(settings, open_ports(settings)).wsgi_app


@contextmanager
def serving(house: BrokerHouse, front: WSGI) -> Iterator[None]:
    server = make_server("localhost", house.port, front, threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def honest(application: WSGI) -> WSGI:
    """Overwrites the header of certificates, and changes nothing else."""

    def front(environ: dict[str, Any], start_response: Any) -> Any:
        environ.pop("HTTP_X_CLIENT_CERTIFICATE", None)
        return application(environ, start_response)

    return front


def changing(application: WSGI, change: Callable[[Request, Response], Response]) -> WSGI:
    """Does something to each answer on its way."""

    @Request.application
    def front(request: Request) -> Response:
        return change(request, Response.from_app(honest(application), request.environ))

    return front


def own_pages(_: Request, answer: Response) -> Response:
    return answer if answer.status_code < 400 else Response("<h1>Something went wrong</h1>", answer.status_code)


def cached(_: Request, answer: Response) -> Response:
    answer.headers["Cache-Control"] = "public"
    return answer


def bare(_: Request, answer: Response) -> Response:
    del answer.headers["X-Content-Type-Options"]
    return answer


def other_path(_: Request, answer: Response) -> Response:
    if "Set-Cookie" in answer.headers:
        answer.headers["Set-Cookie"] = answer.headers["Set-Cookie"].replace("Path=/", "Path=/login")
    return answer


def another(request: Request, answer: Response) -> Response:
    return Response("{}", mimetype="application/json") if "well-known" in request.path else answer


def other_keys(request: Request, answer: Response) -> Response:
    return Response('{"keys":[]}', mimetype="application/json") if request.path == "/jwks" else answer


def run(environment: dict[str, str], *options: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *options], env=environment)


def found(environment: dict[str, str]) -> set[str]:
    """The names of what is not good."""
    done = run(environment, "--json")
    (told,) = [line for line in done.stdout.splitlines() if line.startswith("[")]  # the server logs there too
    findings = json.loads(told)
    assert len(findings) == 7
    bad = {each["name"] for each in findings if not each["good"]}
    assert done.exit_code == (1 if bad else 0)
    assert all(bool(each["advice"]) != each["good"] for each in findings)
    return bad - {"register"}  # which goes by the calendar


def test_behind_an_honest_front_all_is_well(house: BrokerHouse, environment: dict[str, str], application: WSGI) -> None:
    with serving(house, honest(application)):
        done = run(environment)
    told = dict(line.split("\t")[:2] for line in done.stdout.splitlines() if not line.startswith("{"))
    assert done.exit_code == (0 if told.pop("register") == "good" else 1), done.output  # it goes by the calendar
    assert list(told.values()) == ["good"] * 6


@pytest.mark.parametrize(
    ("change", "bad"),
    [
        (own_pages, {"refusals", "certificates"}),
        (cached, {"refusals"}),
        (bare, {"headers"}),
        (other_path, {"cookies"}),
        (another, {"metadata"}),
        (other_keys, {"keys", "headers"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_fault_of_a_front_is_named(
    house: BrokerHouse,
    environment: dict[str, str],
    application: WSGI,
    change: Callable[[Request, Response], Response],
    bad: set[str],
) -> None:
    with serving(house, changing(application, change)):
        assert found(environment) == bad


def test_a_front_that_lets_anybody_write_a_certificate_is_found(
    house: BrokerHouse, environment: dict[str, str], application: WSGI
) -> None:
    with serving(house, application):
        assert found(environment) == {"certificates"}


def test_where_nobody_answers_every_check_says_so(environment: dict[str, str]) -> None:
    done = run(environment)
    assert done.exit_code == 1
    assert done.output.count("no answer") == 6


def test_in_december_the_next_years_log_wants_a_key_of_its_own(tmp_path: Path) -> None:
    now = datetime(2026, 12, 1, tzinfo=UTC)
    create(tmp_path / "keys", "word", issuer="https://op.example", now=now, agent_root_out=tmp_path / "root.json")

    def said(at: datetime, register: object = "a register") -> str:
        keys = open_keys(tmp_path / "keys", "word", clock=lambda: at)
        ports = SimpleNamespace(clock=lambda: at, register=register, keys=keys)
        return CHECKS["register"](SimpleNamespace(ports=ports))  # type: ignore[arg-type]  # all it looks at

    assert said(now - timedelta(seconds=1)) == ""
    assert said(now, register=None) == ""
    assert "2027" in said(now)
    rotate(tmp_path / "keys", "word", now=now, uses=[KeyUse.REGISTER_LOG])
    assert said(now) == ""
    assert "2028" in said(now + timedelta(days=365))
