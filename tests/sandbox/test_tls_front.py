"""The TLS front as a client meets it: versions and suites of BCP 195, and whose certificate reaches the broker."""

from __future__ import annotations

import http.client
import http.server
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from sandbox import tlsfront
from sandbox.programs import Program, stop_all
from sandbox.tls import TLSFiles, issue_to_client, provide
from sandbox.tlsfront import HEADER, SUITES, Front

NOW = datetime.now(UTC)
CLIENT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bank-1")])


class Mirror(http.server.BaseHTTPRequestHandler):
    """Stands where the broker stands, and answers with what it was sent."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # the base class's own name
        told = {"path": self.path, "headers": self.headers.items(), "connection": self.client_address[1]}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A running front."""

    files: TLSFiles
    port: int
    mtls_port: int

    def context(self, *, client: str = "") -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.files.authority))
        if client:
            context.load_cert_chain(*self.files.client(client))
        return context

    def ask(self, port: int, path: str, headers: dict[str, str], *, client: str = "") -> tuple[int, dict[str, str]]:
        """Status, and the headers that arrived behind the front (names in lower case)."""
        connection = http.client.HTTPSConnection("localhost", port, context=self.context(client=client), timeout=10)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            return answer.status, {}
        return 200, {name.lower(): value for name, value in json.loads(body)["headers"]}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    if tlsfront.program() is None:
        pytest.skip("missing: nginx")
    folder = tmp_path_factory.mktemp("front")
    files = provide(folder / "tls", NOW)
    issue_to_client(files, "bank-1", CLIENT, NOW)
    with mirror() as upstream, socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        door = Door(files=files, port=one.getsockname()[1], mtls_port=other.getsockname()[1])
        one.close()
        other.close()
        front = Front(
            folder=folder / "nginx",
            files=files,
            issuer=f"https://localhost:{door.port}",
            mtls_origin=f"https://localhost:{door.mtls_port}",
            upstream=f"127.0.0.1:{upstream}",
            mtls_paths=("/token", "/userinfo"),
        )
        nginx = Program(
            name="nginx",
            interpreter=tlsfront.program() or "",
            command=front.prepare(),
            log=folder / "nginx.log",
            ready_url=f"{front.issuer}/",
            authorities=files.authority,
        )
        nginx.start()
        try:
            nginx.wait_until_ready(until=time.monotonic() + 20)
            yield door
        finally:
            stop_all([nginx])


@contextmanager
def mirror() -> Iterator[int]:
    """Its port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def negotiated(door: Door, port: int, **limits: ssl.TLSVersion) -> tuple[str | None, str]:
    """Protocol and suite of one handshake. Raises ssl.SSLError."""
    context = door.context()
    if "most" in limits:
        context.maximum_version = limits["most"]
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as spoken,
    ):
        suite = spoken.cipher()
        assert suite is not None
        return spoken.version(), suite[0]


def test_tls13_is_spoken_where_both_can(door: Door) -> None:
    assert negotiated(door, door.port)[0] == "TLSv1.3"
    assert negotiated(door, door.mtls_port)[0] == "TLSv1.3"


def test_tls12_is_spoken_with_a_suite_of_bcp195(door: Door) -> None:
    version, suite = negotiated(door, door.port, most=ssl.TLSVersion.TLSv1_2)
    assert version == "TLSv1.2"
    assert suite in SUITES


@pytest.mark.parametrize("old", ["-tls1", "-tls1_1"])
def test_n49_tls10_and_tls11_are_refused(door: Door, old: str) -> None:
    assert offered(door, door.port, old, "-cipher", "ALL:@SECLEVEL=0") == ""
    assert offered(door, door.mtls_port, old, "-cipher", "ALL:@SECLEVEL=0") == ""


@pytest.mark.parametrize(
    "weak",
    ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305", "NULL", "aNULL"],
)
def test_n49_tls12_with_any_other_suite_is_refused(door: Door, weak: str) -> None:
    assert offered(door, door.port, "-tls1_2", "-cipher", f"{weak}:@SECLEVEL=0") == ""


def test_the_same_question_with_a_good_suite_is_answered(door: Door) -> None:
    assert offered(door, door.port, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256") == SUITES[0]


def offered(door: Door, port: int, *options: str) -> str:
    """The suite that OpenSSL's own client got, "" where the handshake failed."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("missing: openssl")
    command = [openssl, "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(door.files.authority), *options]
    done = subprocess.run(command, input=b"", capture_output=True, check=False, timeout=20)
    for line in done.stdout.decode(errors="replace").splitlines():
        name, is_suite, suite = line.partition("Cipher is ")
        if is_suite and name.startswith("New") and "(NONE)" not in suite:
            return suite.strip()
    return ""


def test_a_clients_certificate_arrives_as_the_client_showed_it(door: Door) -> None:
    status, headers = door.ask(door.mtls_port, "/token", {}, client="bank-1")
    assert status == 200
    arrived = x509.load_pem_x509_certificate(unquote(headers[HEADER.lower()]).encode())
    assert arrived == x509.load_pem_x509_certificate(door.files.client("bank-1")[0].read_bytes())


def test_without_a_certificate_the_header_is_not_there_whatever_the_client_writes_into_it(door: Door) -> None:
    forged = {HEADER: "-----BEGIN%20CERTIFICATE-----", HEADER.replace("-", "_"): "forged", HEADER.lower(): "forged"}
    for port, path in ((door.port, "/token"), (door.port, "/userinfo"), (door.mtls_port, "/token")):
        for name, value in forged.items():
            status, headers = door.ask(port, path, {name: value, "X-Other": "kept"})
            assert status == 200
            assert headers["x-other"] == "kept"
            assert not [found for found in headers if found.replace("_", "-") == HEADER.lower()]


def test_a_forged_header_beside_a_certificate_is_overwritten(door: Door) -> None:
    _, headers = door.ask(door.mtls_port, "/token", {HEADER: "forged"}, client="bank-1")
    assert "forged" not in headers[HEADER.lower()]


def test_the_issuers_own_port_asks_for_no_certificate_and_hands_none_on(door: Door) -> None:
    _, headers = door.ask(door.port, "/token", {}, client="bank-1")
    assert HEADER.lower() not in headers


@pytest.mark.parametrize("path", ["/", "/authorize", "/login/x", "/assets/broker.css", "/token/", "/jwks"])
def test_where_certificates_are_asked_for_there_are_no_pages(door: Door, path: str) -> None:
    assert door.ask(door.mtls_port, path, {})[0] == 404
    assert door.ask(door.port, path, {})[0] == 200


def test_connections_to_the_broker_are_kept(door: Door) -> None:
    context = door.context()
    used = set()
    for _ in range(12):  # two workers keep a connection each
        connection = http.client.HTTPSConnection("localhost", door.port, context=context, timeout=10)
        connection.request("GET", "/")
        used.add(json.loads(connection.getresponse().read())["connection"])
        connection.close()
    assert len(used) <= 2


# --- certificates ----------------------------------------------------------------------------------------------------


def test_what_lasts_is_kept_and_what_ends_soon_is_made_anew(tmp_path: Path) -> None:
    first = provide(tmp_path, NOW)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.pem")}
    provide(tmp_path, NOW + timedelta(days=1))
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.pem")} == before
    provide(tmp_path, NOW + timedelta(days=80))
    assert first.certificate.read_bytes() != before["localhost.pem"]
    assert first.client_authority.read_bytes() == before["client-ca.pem"]


def test_the_authority_of_the_front_can_vouch_for_this_machine_alone(tmp_path: Path) -> None:
    authority = x509.load_pem_x509_certificate(provide(tmp_path, NOW).authority.read_bytes())
    permitted = authority.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees
    assert permitted is not None
    assert {str(name.value) for name in permitted} == {"localhost", "127.0.0.0/8", "::1/128"}


def test_what_the_broker_may_call_stands_under_our_authority_and_those_that_were_named(tmp_path: Path) -> None:
    files, other = provide(tmp_path / "a", NOW), provide(tmp_path / "b", NOW)
    files.also_trust([other.authority])
    found = x509.load_pem_x509_certificates(files.outbound.read_bytes())
    assert found == [x509.load_pem_x509_certificate(one.authority.read_bytes()) for one in (files, other)]
    with pytest.raises(ValueError, match=r".+"):
        files.also_trust([files.key])


def test_a_clients_certificate_is_kept_while_its_name_stays(tmp_path: Path) -> None:
    files = provide(tmp_path, NOW)
    certificate, key = issue_to_client(files, "bank-1", CLIENT, NOW)
    before = certificate.read_bytes()
    issue_to_client(files, "bank-1", CLIENT, NOW)
    assert certificate.read_bytes() == before
    assert key.stat().st_mode & 0o777 == 0o600
    issue_to_client(files, "bank-1", x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "other")]), NOW)
    assert certificate.read_bytes() != before
