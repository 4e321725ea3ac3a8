"""The outside world as served: by its own process, with a real card tray, seen by openssl, a plain client and axe."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from babel.messages.pofile import read_po
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from flask.testing import FlaskClient
from playwright.sync_api import Page

from cardreader.tray import Tray, TrayClient, serve_tray
from sandbox.generate import World, generate
from sandbox.trouble import Trouble, read_trouble
from sandbox.world import create_world
from tests.browser import assert_accessible, follow
from tests.sandbox.conftest import leaf

PACKAGE = Path(__file__).parents[2] / "sandbox" / "world"
CATALOGUE = PACKAGE / "translations" / "en" / "LC_MESSAGES" / "messages.po"
ORIGIN = "http://127.0.0.1:8010"


@dataclass
class Desk:
    """The page without a server in front, with a tray behind it."""

    client: FlaskClient
    tray: Tray
    world: World

    def post(self, path: str, *, origin: str | None = ORIGIN, **fields: str) -> tuple[int, str]:
        """Post a form as the page's own browser does; the answer's status and text after its redirect."""
        headers = {} if origin is None else {"Origin": origin}
        reply = self.client.post(path, data=fields, headers=headers, base_url=ORIGIN)
        if reply.status_code == 303:
            return 303, self.get(reply.headers["Location"])
        return reply.status_code, reply.get_data(as_text=True)

    def get(self, path: str) -> str:
        return self.client.get(path, base_url=ORIGIN).get_data(as_text=True)


def reader_state(page: str) -> str:
    found = re.search(r'<p id="reader-state"[^>]*>(.*?)</p>', page, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def desk(own_world: World, catalogues: None) -> Iterator[Desk]:
    with tempfile.TemporaryDirectory(prefix="tray") as folder:  # a socket's path is short; pytest's folders are not
        tray = Tray(save=True)
        with serve_tray(tray, Path(folder) / "tray.sock"):
            app = create_world(own_world.root, TrayClient(Path(folder) / "tray.sock"), origin=ORIGIN)
            yield Desk(client=app.test_client(), tray=tray, world=own_world)


def test_a_card_is_inserted_swapped_and_removed(desk: Desk) -> None:
    assert reader_state(desk.get("/?lang=ja")) == "カードは置かれていません。"
    status, page = desk.post("/tray/insert", card="hanako", lang="ja")
    assert status == 303
    assert reader_state(page) == "山田花子さんのカードが置かれています。 暗証番号の残り回数：3回"
    _, page = desk.post("/tray/insert", card="lock", lang="en")
    assert reader_state(page) == "The card of KAGIKAKE Katao is on the reader. The PIN is locked."
    assert desk.tray.status().card == "lock"
    _, page = desk.post("/tray/remove", lang="en")
    assert reader_state(page) == "There is no card on the reader."
    assert desk.tray.status().card is None


def test_the_municipal_office_unlocks_a_card_in_the_reader_and_one_outside(desk: Desk) -> None:
    desk.post("/tray/insert", card="lock", lang="ja")
    desk.post("/office/reset-pin", card="lock", lang="ja")
    assert desk.tray.status().auth_tries == 3
    desk.post("/office/reset-pin", card="nokori", lang="ja")
    for name in ("lock", "nokori"):
        assert json.loads(desk.world.card(name).read_bytes())["auth"]["tries"] == 3


def test_a_revoked_certificate_is_shown_as_revoked_and_listed(desk: Desk) -> None:
    _, page = desk.post("/office/revoke", card="hanako", lang="en")
    assert 'id="revoke-hanako"' not in page
    assert 'id="revoke-taro"' in page
    crl = x509.load_der_x509_crl(desk.client.get("/crl/auth/2/48101.crl").data)
    assert crl.get_revoked_certificate_by_serial_number(leaf(desk.world, "hanako").serial_number) is not None


@pytest.mark.parametrize(
    "path", ["/tray/insert", "/tray/remove", "/office/reset-pin", "/office/revoke", "/office/event"]
)
@pytest.mark.parametrize("origin", [None, "null", "http://localhost:8000", "http://127.0.0.1:8011"])
def test_a_form_of_another_origin_changes_nothing(desk: Desk, path: str, origin: str | None) -> None:
    desk.post("/tray/insert", card="hanako")
    ledger_before = desk.world.ledger.read_bytes()
    status, page = desk.post(path, origin=origin, card="lock", lang="en")
    assert status == 403
    assert "Nothing was changed." in page
    assert desk.tray.status().card == "hanako"
    assert desk.world.ledger.read_bytes() == ledger_before
    assert json.loads(desk.world.card("lock").read_bytes())["auth"]["tries"] == 0


def test_another_host_name_is_refused(desk: Desk) -> None:
    assert desk.client.get("/", base_url="http://rebound.example:8010").status_code == 403


@pytest.mark.parametrize("name", ["nobody", "../ca/auth-1", "index", ""])
def test_an_unknown_card_is_not_found(desk: Desk, name: str) -> None:
    assert desk.post("/tray/insert", card=name)[0] == 404
    assert desk.tray.status().card is None


def test_without_a_reader_the_page_shows_the_cards_only(own_world: World, catalogues: None) -> None:
    client = create_world(own_world.root, None, origin=ORIGIN).test_client()
    page = client.get("/?lang=en", base_url=ORIGIN).get_data(as_text=True)
    assert reader_state(page) == "No reader is attached. You can only look at the cards."
    assert 'id="insert-hanako"' not in page
    assert 'id="card-hanako"' in page


def test_no_answer_sets_a_cookie_or_names_a_third_party(desk: Desk) -> None:
    for path in ("/", "/nowhere", "/crl/auth/1/48101.crl", "/ca/auth-1.cer", "/static/tray.css"):
        with desk.client.get(path, base_url=ORIGIN) as reply:
            assert "Set-Cookie" not in reply.headers
            assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]
    assert not re.findall(r"""(?:src|href|action)=["'](?:https?:)?//""", desk.get("/"))


def test_the_language_follows_the_address_then_the_browser_then_is_japanese(desk: Desk) -> None:
    def shown(path: str, accept: str) -> str:
        reply = desk.client.get(path, headers={"Accept-Language": accept}, base_url=ORIGIN)
        return reply.get_data(as_text=True).split('<html lang="')[1][:2]

    assert shown("/", "") == "ja"
    assert shown("/", "en-GB,en;q=0.8") == "en"
    assert shown("/", "de") == "ja"
    assert shown("/?lang=ja", "en") == "ja"
    assert shown("/?lang=xx", "en") == "en"


def test_every_text_has_its_english_one(tmp_path: Path) -> None:
    template = tmp_path / "messages.pot"
    extract = [sys.executable, "-m", "babel.messages.frontend", "-q", "extract", "-F", str(PACKAGE / "babel.cfg")]
    subprocess.run([*extract, "-o", str(template), str(PACKAGE)], check=True, capture_output=True)
    with template.open("rb") as source, CATALOGUE.open("rb") as translated:
        wanted = {message.id for message in read_po(source) if message.id}
        english = {message.id: message for message in read_po(translated, locale="en") if message.id}
    assert len(wanted) > 40
    assert wanted == set(english)
    for message in english.values():
        assert message.string
        assert not message.fuzzy
        assert set(re.findall(r"%\(\w+\)s", str(message.id))) == set(re.findall(r"%\(\w+\)s", str(message.string)))


def test_unknown_lists_authorities_and_certificates_are_not_found(desk: Desk) -> None:
    for path in (
        "/crl/auth/3/48101.crl",
        "/crl/foreign/1/48101.crl",
        "/crl/auth/1/00000.crl",
        "/ca/auth-1.key.cer",
        "/ca/..%2Fca%2Fauth-1.cer",
        "/ocsp/other/AAAA",
    ):
        assert desk.client.get(path).status_code == 404, path
    assert x509.load_der_x509_certificate(desk.client.get("/ca/auth-2.cer").data).serial_number == 2


def test_ocsp_by_get_answers_like_by_post(desk: Desk) -> None:
    issuer = desk.world.authorities()["auth-1"].certificate
    builder = ocsp.OCSPRequestBuilder().add_certificate(leaf(desk.world, "shikko"), issuer, SHA1())  # noqa: S303 - RFC 5019
    request = builder.build().public_bytes(Encoding.DER)
    by_get = desk.client.get("/ocsp/auth/" + base64.b64encode(request).decode().replace("+", "%2B"))
    by_post = desk.client.post("/ocsp/auth", data=request, content_type="application/ocsp-request")
    for reply in (by_get, by_post):
        assert reply.mimetype == "application/ocsp-response"
        answer = ocsp.load_der_ocsp_response(reply.data)
        assert answer.certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert desk.client.post("/ocsp/auth", data=request, content_type="text/plain").status_code == 415
    refused = ocsp.load_der_ocsp_response(desk.client.get("/ocsp/auth/not-base64!").data)
    assert refused.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, catalogues: None) -> Iterator[tuple[World, str]]:
    """`python -m sandbox.world` as the launcher starts it, with a tray that holds nothing."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    world = generate(tmp_path_factory.mktemp("served"), datetime.now(UTC), url=url)
    with contextlib.ExitStack() as stack:
        control = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tray"))) / "tray.sock"
        stack.enter_context(serve_tray(Tray(), control))
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "sandbox.world",
                "--root",
                str(world.root),
                "--port",
                str(port),
                "--tray",
                str(control),
            ],
            executable=sys.executable,
            stdout=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 15
            while True:
                try:
                    requests.get(url, timeout=5)
                    break
                except requests.ConnectionError:
                    assert process.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            yield world, url
        finally:
            process.terminate()
            process.wait(10)


def test_openssl_gets_its_answers_from_the_served_responder(served: tuple[World, str], tmp_path: Path) -> None:
    world, url = served
    authorities = world.authorities()

    def ask(resident: str, issuer: str) -> str:
        (tmp_path / "ca.pem").write_bytes(authorities[issuer].certificate.public_bytes(Encoding.PEM))
        (tmp_path / "leaf.pem").write_bytes(leaf(world, resident).public_bytes(Encoding.PEM))
        ca, certificate = str(tmp_path / "ca.pem"), str(tmp_path / "leaf.pem")
        done = subprocess.run(
            ["openssl", "ocsp", "-issuer", ca, "-cert", certificate, "-url", f"{url}/ocsp/auth", "-CAfile", ca],
            check=True,
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert "Response verify OK" in done.stderr
        assert "Nonce" not in done.stderr
        return done.stdout

    assert "leaf.pem: good" in ask("hanako", "auth-2")
    revoked = ask("shikko", "auth-1")
    assert "leaf.pem: revoked" in revoked
    assert "Reason: keyCompromise" in revoked


def test_the_list_of_sources_leads_to_lists_signed_by_the_key_it_names(served: tuple[World, str]) -> None:
    world, _ = served
    for row in json.loads(world.crl_sources.read_bytes()):
        reply = requests.get(row["url"], timeout=5)
        assert reply.headers["Content-Type"] == "application/pkix-crl"
        crl = x509.load_der_x509_crl(reply.content)
        scope = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
        assert scope.full_name is not None
        assert scope.full_name[0].value.rfc4514_string() == row["distribution_point"]


def test_a_taken_port_ends_the_start_with_its_name(served: tuple[World, str]) -> None:
    world, url = served
    port = url.rsplit(":", 1)[1]
    done = subprocess.run(
        [sys.executable, "-m", "sandbox.world", "--root", str(world.root), "--port", port],
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 1
    assert f"cannot listen at 127.0.0.1:{port}" in done.stderr


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_page_passes_axe_and_fits_a_narrow_screen(
    served: tuple[World, str], new_page: Callable[..., Page], language: str
) -> None:
    page = new_page(viewport={"width": 320, "height": 800})
    page.goto(f"{served[1]}/?lang={language}")
    follow(page.locator("#insert-hanako"))
    assert page.get_attribute("#reader-state", "data-card") == "hanako"
    page.click("#office-hanako")
    assert_accessible(page)
    assert page.context.cookies() == []
    follow(page.locator("#remove"))
    assert page.get_attribute("#reader-state", "data-card") == ""


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_page_of_troubles_passes_axe(
    served: tuple[World, str], new_page: Callable[..., Page], language: str
) -> None:
    page = new_page(viewport={"width": 320, "height": 800})
    page.goto(f"{served[1]}/trouble?lang={language}")
    page.select_option("#trouble-crl", "stale")
    follow(page.locator("#make-trouble"))
    assert page.is_visible("#notice")
    assert_accessible(page)
    assert read_trouble(served[0].root).crl == "stale"
    page.select_option("#trouble-crl", "none")
    follow(page.locator("#make-trouble"))
    assert read_trouble(served[0].root) == Trouble()
