"""What the guard calls, what it refuses, and how long it waits."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import OutboundFailed, OutboundRefused
from broker.network import outbound
from broker.network.outbound import OutboundGuard, is_public

SANDBOX = OutboundGuard(allow_loopback_http=True, total_seconds=0.8)


class Handler(BaseHTTPRequestHandler):
    """Answers by path."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))  # type: ignore[attr-defined]  # set in serving()
        match self.path.partition("?")[0]:
            case "/ok":
                self._answer(200, b"body")
            case "/moved":
                self._answer(302, b"", Location="/ok")
            case "/missing":
                self._answer(404, b"gone")
            case "/gzip":
                self._answer(200, b"x", **{"Content-Encoding": "gzip"})
            case "/big":
                self._answer(200, bytes(70_000))
            case "/short":
                self._answer(200, b"half", **{"Content-Length": "100"})
            case "/chunked-without-end":
                self._start(**{"Transfer-Encoding": "chunked"})
                self._write_forever(b"1000\r\n" + bytes(0x1000) + b"\r\n", pause=0)
            case "/drip":
                self._start()
                self._write_forever(b"x", pause=0.05)
            case "/drip-headers":
                self._write_forever(b"HTTP/1.1 200 OK\r\nX-A: b", pause=0.05)
            case "/silent":
                time.sleep(3)

    def _start(self, **headers: str) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def _write_forever(self, data: bytes, *, pause: float) -> None:
        try:
            for _ in range(2000):
                self.wfile.write(data)
                self.wfile.flush()
                time.sleep(pause)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what these tests are about."""


@contextmanager
def serving(wrap: Callable[[socket.socket], socket.socket] | None = None) -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.seen = []  # type: ignore[attr-defined]  # what the handler saw
    if wrap is not None:
        server.socket = wrap(server.socket)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with serving() as server:
        yield f"http://127.0.0.1:{server.server_address[1]}"


# --- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",  # noqa: S104 -- an address to refuse, nothing binds it
        "10.1.2.3",
        "100.64.0.1",
        "169.254.169.254",
        "172.31.255.255",
        "192.0.0.8",
        "192.168.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:8.8.8.8",
        "::8.8.8.8",
        "64:ff9b::808:808",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:808:808::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "2600::1%eth0",
        "fec0::1",
        "ff02::1",
        "localhost",
        "",
        "127.1",
        "0x7f000001",
        "2130706433",
    ],
)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2400::1"])
def test_what_is_public_is_allowed(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses())
def test_nothing_that_python_calls_local_is_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    local = (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or not address.is_global
    )
    assert not (local and is_public(str(address)))


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_is_public_inside_ipv6(inner: ipaddress.IPv4Address) -> None:
    number = int(inner)
    assert not is_public(str(ipaddress.IPv6Address(0xFFFF << 32 | number)))
    assert not is_public(str(ipaddress.IPv6Address(0x0064_FF9B << 96 | number)))
    assert not is_public(str(ipaddress.IPv6Address(0x2002 << 112 | number << 80 | 1)))
    assert not is_public(str(ipaddress.IPv6Address(number)))


# --- URLs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://crl.example/list",
        "http://127.0.0.1/list",
        "ftp://crl.example/list",
        "file:///etc/passwd",
        "//crl.example/list",
        "https:///list",
        "https://user@crl.example/",
        "https://crl.example:0/",
        "https://crl.example:99999/",
        "https://crl.example:/",
        "https://crl.example/#fragment",
        "https://crl.example/#",
        "https://crl.example\\@127.0.0.1/",
        "https://crl .example/",
        "https://crl.example/\r\nX: y",
        "https://例え.jp/",
        "https://" + "a" * 600,
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:8.8.8.8]/",
        "https://[fe80::1%25eth0]/",
        "",
    ],
)
def test_an_address_that_may_not_be_called_is_refused(url: str) -> None:
    guard = OutboundGuard(resolve=lambda _host, _port: ["8.8.8.8"])
    with pytest.raises(OutboundRefused):
        guard.get(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/",
        "http://127.1/",
        "http://0x7f.0.0.1/",
        "http://[::1]/",
        "http://10.0.0.1/",
        "http://a.example/",
    ],
)
def test_the_sandboxs_door_opens_for_literal_loopback_only(url: str) -> None:
    with pytest.raises(OutboundRefused):
        SANDBOX.get(url)


@pytest.mark.parametrize("found", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["2606:4700::1", "::1"]])
def test_a_name_with_one_address_that_is_not_public_is_refused(found: list[str]) -> None:
    with pytest.raises(OutboundRefused, match="public"):
        OutboundGuard(resolve=lambda _host, _port: found).get("https://crl.example/")


def test_a_name_that_does_not_resolve_has_failed() -> None:
    def nobody(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(OutboundFailed, match="resolve"):
        OutboundGuard(resolve=nobody).get("https://crl.example/")
    with pytest.raises(OutboundFailed, match="no address"):
        OutboundGuard(resolve=lambda _host, _port: []).get("https://crl.example/")


def test_a_resolver_that_hangs_is_left_behind() -> None:
    def slow(_host: str, _port: int) -> list[str]:
        time.sleep(2)
        return ["8.8.8.8"]

    with pytest.raises(OutboundFailed, match="in time"):
        OutboundGuard(resolve=slow, total_seconds=0.2).get("https://crl.example/")


# --- answers ---------------------------------------------------------------------------------------------------------


def test_a_plain_answer_is_its_body(origin: str) -> None:
    assert SANDBOX.get(f"{origin}/ok?query=1") == b"body"


def test_without_the_sandboxs_switch_loopback_is_refused(origin: str) -> None:
    with pytest.raises(OutboundRefused):
        OutboundGuard().get(f"{origin}/ok")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/moved", "status 302"),
        ("/missing", "status 404"),
        ("/gzip", "encoded"),
        ("/big", "65536"),
        ("/chunked-without-end", "65536"),
        ("/short", "Error"),
    ],
)
def test_any_other_answer_has_failed(origin: str, path: str, said: str) -> None:
    with pytest.raises(OutboundFailed, match=said):
        SANDBOX.get(f"{origin}{path}")


def test_a_larger_limit_is_the_callers_word(origin: str) -> None:
    assert len(SANDBOX.get(f"{origin}/big", limit=70_000)) == 70_000
    with pytest.raises(OutboundFailed):
        SANDBOX.get(f"{origin}/big", limit=69_999)


@pytest.mark.parametrize("path", ["/drip", "/drip-headers", "/silent"])
def test_a_peer_that_drips_or_hangs_is_cut_in_time(origin: str, path: str) -> None:
    with pytest.raises(OutboundFailed, match="within"):
        SANDBOX.get(f"{origin}{path}")


def test_nobody_listening_has_failed() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(OutboundFailed):
        SANDBOX.get(f"http://127.0.0.1:{port}/")


def test_proxy_variables_are_not_read(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    assert SANDBOX.get(f"{origin}/ok") == b"body"


# --- TLS -------------------------------------------------------------------------------------------------------------


def certificate_for(name: str, folder: Path) -> Path:
    """A self-signed certificate and its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, list[str]]]:
    """A TLS server that is `crl.example` and trusted; this machine's loopback stands for a public address here."""
    file = certificate_for("crl.example", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    judged: list[str] = []

    def loopback_is_public(address: str) -> bool:
        judged.append(address)
        return address == "127.0.0.1"

    monkeypatch.setattr(outbound, "is_public", loopback_is_public)
    with serving(lambda listening: context.wrap_socket(listening, server_side=True)) as server:
        yield server, judged


def test_https_goes_to_the_judged_address_under_the_names_certificate(tls: tuple[Server, list[str]]) -> None:
    server, judged = tls
    port = server.server_address[1]
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.9"]

    guard = OutboundGuard(resolve=rebinding)
    assert guard.get(f"https://crl.example:{port}/ok") == b"body"
    assert (asked, judged) == (["crl.example"], ["127.0.0.1"])
    assert server.seen[0][1]["Host"] == f"crl.example:{port}"  # type: ignore[attr-defined]  # set in serving()


def test_a_certificate_for_another_name_has_failed(tls: tuple[Server, list[str]]) -> None:
    server, _ = tls
    guard = OutboundGuard(resolve=lambda _host, _port: ["127.0.0.1"])
    with pytest.raises(OutboundFailed):
        guard.get(f"https://other.example:{server.server_address[1]}/ok")


def test_an_unknown_authority_has_failed(
    tls: tuple[Server, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = tls
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_for("somebody.example", tmp_path)))
    guard = OutboundGuard(resolve=lambda _host, _port: ["127.0.0.1"])
    with pytest.raises(OutboundFailed):
        guard.get(f"https://crl.example:{server.server_address[1]}/ok")


def test_tls_that_never_answers_is_cut_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "is_public", lambda _address: True)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        guard = OutboundGuard(resolve=lambda _host, _port: ["127.0.0.1"], total_seconds=0.4)
        with pytest.raises(OutboundFailed, match="within"):
            guard.get(f"https://crl.example:{listening.getsockname()[1]}/")


def test_https_to_this_machine_needs_the_sandboxs_named_authorities(tmp_path: Path) -> None:
    file = certificate_for("rp.example", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    stranger = certificate_for("stranger.example", tmp_path)

    def here(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    with serving(lambda listening: context.wrap_socket(listening, server_side=True)) as server:
        url = f"https://rp.example:{server.server_address[1]}/ok"
        assert OutboundGuard(resolve=here, loopback_ca=str(file)).get(url) == b"body"
        with pytest.raises(OutboundFailed):
            OutboundGuard(resolve=here, loopback_ca=str(stranger)).get(url)
        with pytest.raises(OutboundRefused):
            OutboundGuard(resolve=here).get(url)


@pytest.mark.parametrize("found", [["127.0.0.1", "10.0.0.1"], ["10.0.0.1"], ["127.0.0.1", "8.8.8.8"]])
def test_the_sandboxs_authorities_open_no_other_network(found: list[str], tmp_path: Path) -> None:
    guard = OutboundGuard(resolve=lambda _host, _port: found, loopback_ca=str(certificate_for("rp.example", tmp_path)))
    with pytest.raises(OutboundRefused):
        guard.get("https://rp.example/ok")
