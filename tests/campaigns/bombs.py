"""Every bomb of tests/broker/web/bombs.py against a running worker: what it answers, what it costs, what stays behind.

`python -m tests.campaigns.bombs` starts the broker under its server for this. A bomb fails where the answer is a 500 or
none, where the worker spends more than 50 ms of CPU on it, or where it makes the worker's memory peak more than 10 MB
above what it was. CPU and not the clock, because the machine may have other things to do; the clock's figures are
printed beside it. tests/broker/web/test_web_bombs.py is the quick form, in one process.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import jwt
import psutil
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey

from bench.servers import Servers, Tree, running
from broker.flows.client_administration import invite
from broker.oidc.client import SecurityProfile
from broker.settings import read
from sandbox.broker import open_ports
from tests.broker.web.bombs import JWT_BEARER, Bomb, b64, bombs, bombs_behind_authentication, signer

CALLBACK = "http://127.0.0.5:9/callback"
CLIENT_ID = "bombs"
MOST_CPU_MS = 50.0
MOST_MB = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One bomb and what came of it. Memory in MB: what the worker held before it, and how much more at its peak."""

    name: str
    status: int
    milliseconds: float
    cpu_ms: float
    before_mb: float
    peak_mb: float

    @property
    def held(self) -> bool:
        return 0 < self.status < 500 and self.cpu_ms <= MOST_CPU_MS and self.peak_mb <= MOST_MB


class Worker:
    """The one process of the broker that serves."""

    def __init__(self, tree: Tree) -> None:
        _launcher, self._process = tree.members()
        self._tree = Tree(self._process)

    def cpu_ms(self) -> float:
        return self._tree.cpu_ns() / 1e6

    def forget_peak(self) -> None:
        """Linux: from here on VmHWM is the peak of what follows."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5", encoding="ascii")

    def peak_mb(self) -> float:
        for line in Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise psutil.NoSuchProcess(self._process.pid)


def _send(connection: http.client.HTTPConnection, bomb: Bomb) -> int:
    """The status, 0 where the server hung up twice.

    It may once: who answers before the body is read closes the connection, and the next request finds that out.
    """
    return _once(connection, bomb) or _once(connection, bomb)


def _once(connection: http.client.HTTPConnection, bomb: Bomb) -> int:
    path = f"{bomb.path}?{bomb.query}" if bomb.query else bomb.path
    path = "".join(character if "!" <= character <= "~" else f"%{ord(character):02x}" for character in path)
    try:
        connection.putrequest(bomb.method, path, skip_accept_encoding=True)
        for name, value in bomb.headers:
            connection.putheader(name, value.encode("latin-1"))
        connection.putheader("Content-Length", str(len(bomb.body)))
        connection.endheaders(bomb.body)
        answer = connection.getresponse()
        answer.read()
    except (http.client.HTTPException, OSError):
        connection.close()
        return 0
    return answer.status


def _all(servers: Servers, key: ec.EllipticCurvePrivateKey) -> Iterator[Bomb]:
    ports = open_ports(read(servers.house.environment()))
    invitation, _ = invite(
        profile=SecurityProfile.OIDC, vetted=False, uses=1000, lifetime=timedelta(hours=1), ports=ports
    )
    routes = tuple(
        urlsplit(str(address)).path
        for name, address in _metadata(servers).items()
        if name.endswith("_endpoint") or name == "jwks_uri"
    )

    def proof() -> dict[str, str]:
        now = int(datetime.now(UTC).timestamp())
        claims = {"iss": CLIENT_ID, "sub": CLIENT_ID, "aud": servers.broker, "iat": now, "exp": now + 60}
        jti = b64(ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value.to_bytes(32, "big"))
        token = jwt.encode({**claims, "jti": jti}, key, algorithm="ES256")
        return {"client_assertion_type": JWT_BEARER, "client_assertion": token}

    asked = {"client_id": CLIENT_ID, "redirect_uri": CALLBACK, "response_type": "code", "scope": "openid"}
    asked |= {"code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256"}
    yield from bombs(sorted(set(routes)), client_id=CLIENT_ID, redirect_uri=CALLBACK, sign=signer(key))
    yield from bombs_behind_authentication(asked=asked, proof=proof, invitation=invitation, sign=signer(key))


def _metadata(servers: Servers) -> dict[str, object]:
    parts = urlsplit(servers.broker)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    connection.request("GET", "/.well-known/openid-configuration")
    document: dict[str, object] = json.loads(connection.getresponse().read())
    connection.close()
    return document


def campaign(root: Path) -> Iterator[Row]:
    """A row for each bomb, in their order. Raises sandbox.programs.ProgramFailed."""
    key = ec.generate_private_key(ec.SECP256R1())
    registration = {
        "client_id": CLIENT_ID,
        "client_name": CLIENT_ID,
        "redirect_uris": [CALLBACK],
        "jwks": {"keys": [ECKey.import_key(key.public_key()).as_dict(private=False)]},
        "profile": "oidc",
        "vetted": True,
    }
    with running(root, workers=1, registrations=[registration]) as servers:
        parts = urlsplit(servers.broker)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        for _ in range(300):  # what a worker comes to hold by ordinary work is not the bombs' doing
            _send(connection, Bomb(name="", method="GET", path="/authorize", query=f"client_id={CLIENT_ID}"))
            _send(connection, Bomb(name="", method="POST", path="/token", body=b"grant_type=authorization_code"))
        worker = Worker(servers.tree)
        for bomb in _all(servers, key):
            row = _measured(connection, worker, bomb)
            for _ in range(2):  # the worker has other work too, such as its lists: the least of three is the bomb's
                if row.cpu_ms > MOST_CPU_MS:
                    row = min(row, _measured(connection, worker, bomb), key=lambda tried: tried.cpu_ms)
            yield row


def _measured(connection: http.client.HTTPConnection, worker: Worker, bomb: Bomb) -> Row:
    worker.forget_peak()
    before = worker.peak_mb()
    cpu, begun = worker.cpu_ms(), time.perf_counter()
    status = _send(connection, bomb)
    taken = (time.perf_counter() - begun) * 1000
    return Row(
        name=f"{bomb.method} {bomb.path} {bomb.name}",
        status=status,
        milliseconds=taken,
        cpu_ms=worker.cpu_ms() - cpu,
        before_mb=before,
        peak_mb=worker.peak_mb() - before,
    )


def main() -> int:
    """Print what did not hold and the largest figures; status 1 where something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bombs-") as folder:
        rows = list(campaign(Path(folder)))
    broken = [row for row in rows if not row.held]
    for row in broken[:50]:
        print(f"{row.status} {row.cpu_ms:6.1f} ms CPU {row.peak_mb:6.1f} MB  {row.name}")  # noqa: T201 -- its output
    cpu, wall = max(rows, key=lambda row: row.cpu_ms), max(rows, key=lambda row: row.milliseconds)
    peak = max(rows, key=lambda row: row.peak_mb)
    print(  # noqa: T201 -- what a campaign prints is its result
        f"{len(rows)} bombs, {len(broken)} not held; most CPU {cpu.cpu_ms:.1f} ms ({cpu.name}), longest"
        f" {wall.milliseconds:.1f} ms ({wall.name}), most memory {peak.peak_mb:.1f} MB ({peak.name}); the worker held"
        f" {rows[0].before_mb:.1f} MB at the beginning, {rows[len(rows) // 2].before_mb:.1f} MB half-way,"
        f" {rows[-1].before_mb:.1f} MB at the end"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
