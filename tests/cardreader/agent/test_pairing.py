"""`cardreader trust`: whose word is taken for a broker, what a person compares, what stands in the file after it."""

from __future__ import annotations

import http.server
import ipaddress
import json
import socket
import ssl
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from cardreader.__main__ import main
from cardreader.agent import pairing
from cardreader.agent.jose import parse_public_key
from cardreader.agent.pairing import PairingRefused, fingerprint_words, identify, same_words
from cardreader.agent.trust import load_trust
from tests.cardreader.agent.conftest import Broker, Hierarchy, public_jwk, spki

HOST = "login.example.jp"


@dataclass(kw_only=True)
class Site:
    """A broker's own web server: https under a DNS name, by an authority this process believes."""

    broker: Broker
    port: int
    document: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}"

    @property
    def words(self) -> str:
        return fingerprint_words(parse_public_key(public_jwk(self.broker.root), what="root"))


@pytest.fixture
def site(hierarchy: Hierarchy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    real = socket.getaddrinfo

    def here(host: str, *rest: Any, **named: Any) -> Any:
        return real("127.0.0.1" if host == HOST else host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", here)
    certificate = _tls_certificate(tmp_path, HOST)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    # the handshake belongs to the first reading: a client that breaks it off is then a connection that gets closed
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # quiet
    url = f"https://{HOST}:{server.server_port}"
    broker = Broker(issuer=url, ca_keys=[spki(hierarchy.key.public_key())])
    made = Site(broker=broker, port=server.server_port, document=_document(broker))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            self.send_response(made.status)
            self.send_header("Location", "https://evil.example/")
            self.end_headers()
            self.wfile.write(json.dumps(made.document).encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server.RequestHandlerClass = Handler
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def _document(broker: Broker) -> dict[str, Any]:
    row = broker.trust_document()["brokers"][0]
    known = {name: row[name] for name in ("issuer", "agent_root", "issuer_keys")}
    return {**known, "statement": broker.statement()}


def _tls_certificate(folder: Path, name: str) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "tls.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


Trust = Callable[..., Result]


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    path = tmp_path / "config" / "trust.json"

    def run(*arguments: str, typed: str = "") -> Result:
        return CliRunner().invoke(main, ["trust", *arguments, "--trust", str(path)], input=typed)

    return run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "trust.json"


def test_person_compares_words_and_the_agent_then_believes_the_broker(site: Site, trust: Trust, path: Path) -> None:
    done = trust(site.url, typed="same\nみどりの自転車\n")
    assert done.exit_code == 0, done.output
    assert f"{HOST}:{site.port}" in done.output
    assert site.words in done.output
    assert "cardreader trust --remove" in done.output
    assert site.asked == ["/.well-known/card-agent"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    believed = load_trust(path, sandbox=False)
    assert (believed.phrase, believed.brokers[0].origin) == ("みどりの自転車", site.url)
    assert trust("--list").output.split("\t")[1:] == [site.url, f"{site.words}\n"]


@pytest.mark.parametrize("typed", ["", "y\n", "yes\n", "no\n", "sam\n"])
def test_whoever_does_not_say_that_the_words_are_the_same_writes_nothing(
    site: Site, trust: Trust, path: Path, typed: str
) -> None:
    assert trust(site.url, typed=typed).exit_code == 1
    assert not path.exists()


def test_fingerprint_given_beforehand_must_be_the_brokers(site: Site, trust: Trust, path: Path) -> None:
    other = fingerprint_words(parse_public_key(public_jwk(site.broker.key), what="key"))
    refused = trust(site.url, "--fingerprint", other, typed="みどりの自転車\n")
    assert (refused.exit_code, "NOT the fingerprint" in refused.output) == (1, True)
    assert not path.exists()
    given = site.words.upper().replace(" ", "-")
    assert trust(site.url, "--fingerprint", given, typed="みどりの自転車\n").exit_code == 0


def test_second_broker_keeps_the_phrase_and_the_last_removed_takes_the_file(
    site: Site, trust: Trust, path: Path
) -> None:
    assert trust(site.url, typed="same\nみどりの自転車\n").exit_code == 0
    document = json.loads(path.read_text(encoding="utf-8"))
    document["brokers"].append({**document["brokers"][0], "issuer": "https://other.example.jp"})
    path.write_text(json.dumps(document), encoding="utf-8")
    again = trust(site.url, typed="same\n")
    assert again.exit_code == 0
    assert "phrase" not in again.output
    assert len(load_trust(path, sandbox=False).brokers) == 2
    assert trust("--remove", f"{site.url}/").exit_code == 0
    assert [broker.origin for broker in load_trust(path, sandbox=False).brokers] == ["https://other.example.jp"]
    assert trust("--remove", site.url).exit_code == 1
    assert trust("--remove", "https://other.example.jp").exit_code == 0
    assert not path.exists()
    assert "Nobody" in trust("--list").output


def test_known_broker_with_another_key_is_refused(site: Site, trust: Trust, path: Path) -> None:
    assert trust(site.url, typed="same\nみどりの自転車\n").exit_code == 0
    before = path.read_bytes()
    site.broker.root = ec.generate_private_key(ec.SECP256R1())
    site.document = _document(site.broker)
    refused = trust(site.url, typed="same\n")
    assert (refused.exit_code, "another key" in refused.output) == (1, True)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example.jp",
        "https://localhost",
        "https://127.0.0.1",
        "https://[::1]:8000",
        "https://192.0.2.1",
        "https://intranet",
        "ftp://login.example.jp",
        "login.example.jp",
        "https://user:pw@login.example.jp",
        "https://LOGIN.example.jp",
    ],
)
def test_only_https_under_a_dns_name_is_ever_trusted(url: str, hierarchy: Hierarchy) -> None:
    broker = Broker(issuer=url, ca_keys=[spki(hierarchy.key.public_key())])
    with pytest.raises(PairingRefused):
        identify(url, sandbox=False, fetch=lambda _: json.dumps(_document(broker)).encode())


def test_loopback_is_trusted_for_the_sandbox_only(broker: Broker, trust: Trust, monkeypatch: Any, path: Path) -> None:
    monkeypatch.setattr(pairing, "fetch_document", lambda _: json.dumps(_document(broker)).encode())
    assert trust(broker.issuer, typed="same\nみどりの自転車\n").exit_code == 1
    assert trust(broker.issuer, "--sandbox", typed="same\nみどりの自転車\n").exit_code == 0
    assert load_trust(path, sandbox=True).brokers[0].origin == broker.issuer


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://evil.example"},
        {"issuer": f"https://{HOST}.evil.example"},
        {"issuer": 5},
        {"statement": "a.b.c"},
        {"issuer_keys": []},
        {"issuer_keys": ["AAAA"]},
        {"issuer_keys": "x"},
        {"agent_root": {}},
        {"more": 1},
    ],
)
def test_an_answer_that_is_no_brokers_is_refused(site: Site, change: dict[str, Any]) -> None:
    with pytest.raises(PairingRefused):
        identify(site.url, sandbox=False, fetch=lambda _: json.dumps({**site.document, **change}).encode())


def test_statement_of_another_root_is_refused(site: Site, hierarchy: Hierarchy) -> None:
    stranger = Broker(issuer=site.url, ca_keys=[spki(hierarchy.key.public_key())])
    document = {**site.document, "statement": stranger.statement()}
    with pytest.raises(PairingRefused):
        identify(site.url, sandbox=False, fetch=lambda _: json.dumps(document).encode())


def test_redirects_errors_large_answers_and_unproven_names_are_refused(
    site: Site, trust: Trust, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site.status = 302
    assert "status 302" in trust(site.url).output
    site.status, site.document = 200, {"filler": "x" * 70_000}
    assert "more than" in trust(site.url).output
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(_tls_certificate(tmp_path / "other", HOST)))
    assert "does not prove its name" in trust(site.url).output
    assert "cannot be reached" in trust(f"https://{HOST}:1").output


def test_read_only_file_is_left_alone(site: Site, trust: Trust, path: Path) -> None:
    assert trust(site.url, typed="same\nみどりの自転車\n").exit_code == 0
    path.chmod(0o444)
    before = path.read_bytes()
    refused = trust(site.url, typed="same\n")
    assert (refused.exit_code, "read-only" in refused.output) == (1, True)
    assert path.read_bytes() == before


def test_short_phrase_is_asked_for_again(site: Site, trust: Trust, path: Path) -> None:
    assert trust(site.url, typed="same\nab\nみどりの自転車\n").exit_code == 0
    assert load_trust(path, sandbox=False).phrase == "みどりの自転車"


def test_words_are_the_proquints_that_their_author_printed() -> None:
    """arXiv:0901.4016 section 3: addresses and their words."""
    printed = {"127.0.0.1": "lusab babad", "63.84.220.193": "gutih tugad", "140.98.193.141": "mudof sakat"}
    for address, words in printed.items():
        raw = ipaddress.ip_address(address).packed
        assert " ".join(pairing._proquint(int.from_bytes(raw[i : i + 2], "big")) for i in (0, 2)) == words


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_different_numbers_have_different_words(left: int, right: int) -> None:
    assert (pairing._proquint(left) == pairing._proquint(right)) == (left == right)


def test_words_are_compared_by_letters_alone() -> None:
    assert same_words("lusab-Babad  gutih", "LUSAB BABAD-gutih")
    assert not same_words("lusab babad", "lusab babaf")
