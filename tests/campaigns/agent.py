"""Hostile requests to the agent while a person's PIN page is open: no command reaches the card, no try is lost.

`python -m tests.campaigns.agent` is the full form (10,000 requests, about a minute); the agent's tests run 500 with the
same seed. Every request goes over a real socket. At the end the person types the PIN and must get an answer.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import secrets
import socket
import sys
import threading
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import click
import structlog
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from cardreader.agent.app import create_agent
from cardreader.agent.server import AgentServer, bind_loopback
from cardreader.agent.trust import AgentState
from cardreader.authentication import APDUCards
from cardreader.emulator import SoftwareCard
from cardreader.tray import Tray
from tests.cardreader.agent.conftest import (
    ISSUER,
    NOW,
    Broker,
    Hierarchy,
    WatchedReaders,
    Window,
    b64url,
    document,
    proof,
    raw_document,
    sign,
    spki,
)
from tests.cardreader.agent.conftest import _Forms as Forms
from tests.cardreader.conftest import CardMaker, make_card_maker

FULL, QUICK = 10_000, 500
SEED = 20261120
WARM_UP = 300  # requests before memory is first looked at
MEMORY_BYTES = 8 * 1024 * 1024  # how much more the process may hold at the end than after the warm-up
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One request as it goes over the wire."""

    path: str = "/v1/sign"
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(kw_only=True)
class Booth:
    """An agent on a real port, its card, and the open PIN page of a person."""

    port: int
    broker: Broker
    tray: Tray
    readers: WatchedReaders
    random: random.Random
    connection: http.client.HTTPConnection
    answered: str

    @property
    def own(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def tries(self) -> int:
        """Left on the card, of both counters together."""
        status = self.tray.status()
        return (status.auth_tries or 0) + (status.sign_tries or 0)

    def send(self, sent: Sent) -> tuple[int, str]:
        """The status and text; 0 where the agent closed the connection instead of answering."""
        connection = self.connection
        try:
            connection.putrequest(sent.method, sent.path, skip_host="Host" in sent.headers)
            headers = {"Content-Type": _FORM, "Content-Length": str(len(sent.body)), **sent.headers}
            for name, value in headers.items():
                connection.putheader(name, value.encode("latin-1"))
            connection.endheaders()
            connection.send(sent.body)
            response = connection.getresponse()
            return response.status, response.read().decode("utf-8", "replace")
        except (ConnectionError, http.client.HTTPException):
            connection.close()
            return 0, ""

    def form(
        self, fields: Mapping[str, str], *, origin: str | None = ISSUER, path: str = "/v1/sign", **more: str
    ) -> Sent:
        headers = {**({} if origin is None else {"Origin": origin}), **more}
        return Sent(path=path, headers=headers, body=urllib.parse.urlencode(fields).encode())

    def request(self, **changes: Any) -> dict[str, str]:
        return {"request": self.broker.request(**changes)}


Kind = Callable[[Booth], Sent]


def _foreign_origin(booth: Booth) -> Sent:
    origins = [
        "null", "", "http://evil.example", f"{ISSUER}.evil.example", "https://localhost:8000", "http://localhost",
        "http://LOCALHOST:8000", f"{ISSUER}/", "http://127.0.0.1:8000", f"{ISSUER}, http://evil.example", "file://",
        booth.own, "http://evil.example:24780", "moz-extension://abc", f"http://x@{ISSUER[7:]}",
    ]  # fmt: skip
    return booth.form(booth.request(), origin=booth.random.choice(origins))


def _no_origin(booth: Booth) -> Sent:
    return booth.form(booth.request(), origin=None)


def _foreign_host(booth: Booth) -> Sent:
    hosts = ["evil.example", f"evil.example:{booth.port}", "127.0.0.1", "127.0.0.1:1", f"127.1:{booth.port}", "[::]"]
    return booth.form(booth.request(), Host=booth.random.choice(hosts))


def _frame(booth: Booth) -> Sent:
    dests = ["iframe", "frame", "embed", "object", "image", "script", "style", "worker", "empty", "fencedframe"]
    return booth.form(booth.request(), **{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": booth.random.choice(dests)})


def _fetch(booth: Booth) -> Sent:
    mode = booth.random.choice(["cors", "no-cors", "same-origin", "websocket"])
    kind = booth.random.choice([_FORM, "text/plain", "application/json", "multipart/form-data; boundary=x"])
    return booth.form(booth.request(), **{"Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": "empty", "Content-Type": kind})


def _other_method(booth: Booth) -> Sent:
    method = booth.random.choice(["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD", "TRACE", "PROPFIND"])
    path = booth.random.choice(
        ["/v1/sign", "/v1/pin", "/v1/take-over", "/v1/elsewhere", "/v1/doctor", "/../etc/passwd"]
    )
    headers = {
        "Origin": ISSUER,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Private-Network": "true",
    }
    return Sent(method=method, path=path, headers=headers)


def _oversized(booth: Booth) -> Sent:
    size = booth.random.choice([34_000, 40_000, 70_000])
    return booth.form({"request": "A" * size})


def _many_fields(booth: Booth) -> Sent:
    fields = [("request", "A")] * booth.random.randint(2, 900)
    return Sent(headers={"Origin": ISSUER}, body=urllib.parse.urlencode(fields).encode())


def _replayed(booth: Booth) -> Sent:
    return booth.form({"request": booth.answered})


def _expired(booth: Booth) -> Sent:
    """The signer's period is over, or does not hold the request, or the request grants itself more than 300 s."""
    now = int(NOW.timestamp())
    match booth.random.randrange(4):
        case 0:
            past = booth.broker.statement(nbf=now - 40 * 86400, exp=now - 10 * 86400)
            return booth.form(booth.request(statement=past, iat=now - 20 * 86400))
        case 1:
            return booth.form(booth.request(iat=now - 60 * 86400))
        case 2:
            return booth.form(booth.request(exp=now + 301))
        case _:
            return booth.form(booth.request(exp=now))


def _unsigned(booth: Booth) -> Sent:
    claims = booth.broker.claims()
    match booth.random.randrange(5):
        case 0:
            header = b64url(json.dumps({"alg": "none", "typ": "card-request+jwt"}).encode())
            return booth.form({"request": f"{header}.{b64url(json.dumps(claims).encode())}."})
        case 1:
            return booth.form(
                {"request": sign(claims, ec.generate_private_key(ec.SECP256R1()), typ="card-request+jwt")}
            )
        case 2:
            head, _, _ = booth.broker.request().rpartition(".")
            return booth.form({"request": f"{head}.{b64url(booth.random.randbytes(64))}"})
        case 3:
            stranger = Broker(issuer=ISSUER, ca_keys=booth.broker.ca_keys)
            return booth.form({"request": stranger.request()})
        case _:
            whole = bytearray(booth.broker.request().encode())
            whole[booth.random.randrange(len(whole))] ^= 1 << booth.random.randrange(7)
            return booth.form({"request": whole.decode("latin-1")})


def _malformed(booth: Booth) -> Sent:
    changes: list[dict[str, Any]] = [
        {"tag": "JPKI-FED-MANDATE/1"}, {"action": '{"pay":1}'}, {"aud": "other"}, {"iss": "http://evil.example"},
        {"return_uri": "http://evil.example/agent/cb/x"}, {"accepted_issuers": []}, {"answer_key": {}}, {"extra": 1},
        {"end_handle": "//evil.example"}, {"nonce": "AAAA"}, {"ui_locales": "<script>"}, {"client_vetted": "yes"},
    ]  # fmt: skip
    return booth.form(booth.request(**booth.random.choice(changes)))


def _malformed_proof(booth: Booth) -> Sent:
    """Documents that are not exactly right, and sound ones that meet an open page."""
    far = b64url(booth.random.randbytes(32))
    now = int(NOW.timestamp())
    rows: list[list[dict[str, Any]]] = [
        [document()] * 11, [], [document(iat=now + booth.random.choice([-1, 1, 3600]))], [document(sha256=far)],
        [document(url="http://evil.example")], [document(form="xades")], [document(name="x" * 201)],
        [document(attributes=b64url(booth.random.randbytes(107)))], [document(attributes="A" * 20_000)],
        [document(size=-1)], [document(type="<script>")], [raw_document(booth.random.randbytes(32), digest=far)],
        [raw_document(booth.random.randbytes(booth.random.choice([0, 20, 31, 33, 64])))], [document(type=None)],
        [document(attributes=None)], [document(name="\u202e")], [document()],
    ]  # fmt: skip
    kind = booth.random.choice(["proof", "sign", "mandate", ""])
    release: list[Any] = booth.random.choice([[], ["name"], ["my_number"], ["age_over_999"], ["name", "name"], [1]])
    asked = proof(*booth.random.choice(rows), kind=kind, release=release)
    tag = booth.random.choice([asked["tag"], "JPKI-FED-AUTH/1", "JPKI-FED-MANDATE/1", "JPKI-FED-ACCEPT/1"])
    return booth.form(booth.request(**{**asked, "tag": tag}))


def _noise(booth: Booth) -> Sent:
    return Sent(headers={"Origin": ISSUER}, body=booth.random.randbytes(booth.random.randint(0, 2000)))


def _guessed_pin(booth: Booth) -> Sent:
    """PINs, last tries, windows and take-overs for a page that whoever sends them never saw, even as our own origin."""
    path = booth.random.choice(["/v1/pin", "/v1/elsewhere", "/v1/take-over", "/v1/retry", "/v1/cancel"])
    fields = {"sitting": secrets.token_urlsafe(32), "token": secrets.token_urlsafe(32), "pin": "0000"}
    return booth.form(fields, origin=booth.random.choice([ISSUER, booth.own, "null", "http://evil.example"]), path=path)


def _second_request(booth: Booth) -> Sent:
    """A well-made request while another person's page is open: busy, and the card stays theirs."""
    return booth.form(booth.request())


KINDS: tuple[Kind, ...] = (
    _foreign_origin, _no_origin, _foreign_host, _frame, _fetch, _other_method, _oversized, _many_fields, _replayed,
    _expired, _unsigned, _malformed, _malformed_proof, _noise, _guessed_pin, _second_request,
)  # fmt: skip


@dataclass(kw_only=True)
class Verdict:
    """What the campaign has seen."""

    requests: int
    seed: int
    statuses: Mapping[str, Mapping[int, int]]
    apdus: int
    tries_lost: int  # of the PIN and of the signing password
    memory_growth: int
    answered_at_the_end: bool

    @property
    def holds(self) -> bool:
        served = sum(count for kind in self.statuses.values() for status, count in kind.items() if 200 <= status < 300)
        quiet = self.apdus == 0 and self.tries_lost == 0 and served == 0
        return quiet and self.answered_at_the_end and self.memory_growth <= MEMORY_BYTES


def run(count: int, *, seed: int, card_maker: CardMaker, hierarchy: Hierarchy, folder: Path) -> Verdict:
    """Send `count` hostile requests around one person's open PIN page."""
    with _booth(card_maker, hierarchy, folder, random.Random(seed)) as booth:
        _, page = booth.send(booth.form({"request": booth.answered}))
        _, page = _type(booth, page)
        if "answer-form" not in Forms(page).ids:
            raise RuntimeError("the first login did not go through")
        _, page = booth.send(booth.form(booth.request()))
        apdus, tries = booth.readers.apdus, booth.tries
        statuses: dict[str, Counter[int]] = {kind.__name__.strip("_"): Counter() for kind in KINDS}
        before = 0
        for number in range(count):
            if number == min(WARM_UP, count // 2):
                before = _resident_bytes()
            kind = booth.random.choice(KINDS)
            status, _ = booth.send(kind(booth))
            statuses[kind.__name__.strip("_")][status] += 1
        after = _resident_bytes()
        spent, left = booth.readers.apdus - apdus, booth.tries
        _, page = _type(booth, page)
        return Verdict(
            requests=count,
            seed=seed,
            statuses={name: dict(seen) for name, seen in statuses.items()},
            apdus=spent,
            tries_lost=tries - left,
            memory_growth=max(0, after - before),
            answered_at_the_end="answer-form" in Forms(page).ids,
        )


def _type(booth: Booth, page: str) -> tuple[int, str]:
    form = next(form for form in Forms(page).forms if form["id"] == "pin-form")
    return booth.send(booth.form({**form["fields"], "pin": "1234"}, origin=booth.own, path="/v1/pin"))


@contextmanager
def _booth(card_maker: CardMaker, hierarchy: Hierarchy, folder: Path, chosen: random.Random) -> Iterator[Booth]:
    tray = Tray()
    tray.insert_card(SoftwareCard(card_maker(certificate=hierarchy.certificate())))
    readers = WatchedReaders(tray)
    broker = Broker(issuer=ISSUER, ca_keys=[spki(hierarchy.key.public_key())])
    sockets: list[socket.socket] = bind_loopback(0)
    port = int(sockets[0].getsockname()[1])
    app = create_agent(
        cards=APDUCards(readers),
        trust=broker.trust(),
        state=AgentState(folder),
        clock=lambda: NOW,
        port=port,
        hold_seconds=3600,
        password_asker=Window(),  # without one, proofs would be refused for that alone
    )
    server = AgentServer(app, sockets)
    thread = threading.Thread(target=server.run)
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        yield Booth(
            connection=connection,
            port=port,
            broker=broker,
            tray=tray,
            readers=readers,
            random=chosen,
            answered=broker.request(ui_locales="ja"),
        )
    finally:
        connection.close()
        app.extensions["card-desk"].close()
        server.stop()
        thread.join(10)


def _resident_bytes() -> int:
    """This process's resident memory (proc(5), statm); 0 where the system does not tell it so."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * 4096


def _drop(*_: object) -> NoReturn:
    """Ten thousand lines of log are of no use here."""
    raise structlog.DropEvent


def main() -> int:
    """The full form, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.agent", description=__doc__)
    parser.add_argument("--requests", type=int, default=FULL)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()

    structlog.configure(processors=[_drop])
    maker = make_card_maker()
    hierarchy = Hierarchy(key=rsa.generate_private_key(65537, 2048), subject_key=maker.key.public_key())
    with TemporaryDirectory() as folder:
        verdict = run(options.requests, seed=options.seed, card_maker=maker, hierarchy=hierarchy, folder=Path(folder))
    for name, seen in verdict.statuses.items():
        click.echo(
            f"{name:16} {sum(seen.values()):6}  " + "  ".join(f"{status}: {n}" for status, n in sorted(seen.items()))
        )
    click.echo(
        f"{verdict.requests} requests (seed {verdict.seed}): {verdict.apdus} APDUs, {verdict.tries_lost} tries lost, "
        f"memory +{verdict.memory_growth / 1024:.0f} KiB, answered at the end: {verdict.answered_at_the_end}"
    )
    click.echo("holds" if verdict.holds else "DOES NOT HOLD")
    return 0 if verdict.holds else 1


if __name__ == "__main__":
    sys.exit(main())
