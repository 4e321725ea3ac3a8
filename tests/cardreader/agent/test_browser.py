"""The agent's pages in Debian's Chromium: the way from a service's page and back, with and without scripts, and axe."""

from __future__ import annotations

import http.server
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it ships no types
from playwright.sync_api import Browser, Page

from cardreader.agent.answer import PINEntry
from cardreader.agent.app import create_agent
from cardreader.agent.entry import PinPrompt
from cardreader.agent.server import AgentServer, bind_loopback
from cardreader.agent.trust import AgentState
from cardreader.authentication import APDUCards
from cardreader.emulator import SoftwareCard
from cardreader.tray import Tray
from tests.browser import assert_light, follow, opened
from tests.cardreader.agent.conftest import NOW, Broker, Hierarchy, WatchedReaders, document, proof, raw_document, spki
from tests.cardreader.conftest import CardMaker


@dataclass(kw_only=True)
class Site:
    """A service's login page and its callback, on an origin of its own."""

    broker: Broker
    agent_port: int
    tray: Tray
    insert: Callable[..., None]
    typist: Typist | None = None
    signer: Typist
    """Types signing passwords in a window."""
    request_changes: dict[str, Any] = field(default_factory=dict)
    posted: list[tuple[str | None, dict[str, list[str]]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.broker.issuer}/login"


@pytest.fixture
def site(request: pytest.FixtureRequest, hierarchy: Hierarchy, card_maker: CardMaker, tmp_path: Path) -> Iterator[Site]:
    """Parametrised with what is typed in a window; with the agent's page otherwise."""
    typed: tuple[str, ...] = getattr(request, "param", ())
    typist = Typist(*typed) if typed else None
    signer = Typist("WRONG1", "ABC123")
    tray = Tray()

    def insert(**options: Any) -> None:
        both = {"certificate": hierarchy.certificate(), "sign_certificate": hierarchy.certificate(signing=True)}
        tray.insert_card(SoftwareCard(card_maker(**{**both, **options})))

    insert()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    broker = Broker(issuer=f"http://localhost:{server.server_port}", ca_keys=[spki(hierarchy.key.public_key())])
    sockets = bind_loopback(0)
    port = int(sockets[0].getsockname()[1])
    app = create_agent(
        cards=APDUCards(WatchedReaders(tray)),
        trust=broker.trust(),
        state=AgentState(tmp_path / "state"),
        clock=lambda: NOW,
        port=port,
        asker=typist,
        password_asker=signer,
    )
    site = Site(broker=broker, agent_port=port, tray=tray, insert=insert, typist=typist, signer=signer)
    server.RequestHandlerClass = _handler(site)
    agent = AgentServer(app, sockets)
    threads = [threading.Thread(target=agent.run), threading.Thread(target=server.serve_forever)]
    for thread in threads:
        thread.start()
    yield site
    app.extensions["card-desk"].close()
    agent.stop()
    server.shutdown()
    for thread in threads:
        thread.join(10)
    server.server_close()


def _handler(site: Site) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            form = (
                f'<!doctype html><title>login</title><form id="card-form" method="post" '
                f'action="http://127.0.0.1:{site.agent_port}/v1/sign">'
                f'<input type="hidden" name="request" value="{site.broker.request(**site.request_changes)}">'
                f'<button id="go">go</button></form>'
            )
            self._answer(form)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            site.posted.append((self.headers["Origin"], urllib.parse.parse_qs(body)))
            self._answer('<!doctype html><title>back</title><p id="back">back</p>')

        def _answer(self, text: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Referrer-Policy", "origin")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler


def _open(page: Page, site: Site, **changes: Any) -> None:
    site.request_changes = changes
    page.goto(site.url)
    follow(page.locator("#go"))


def _judge(page: Page, picture: Path) -> None:
    """Light, no axe violation, nothing wider than the window; the picture is for people."""
    assert_light(page)
    page.screenshot(path=picture, full_page=True)
    results = Axe().run(page)
    assert results.response["passes"], "axe judged nothing"
    assert results.violations_count == 0, results.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("javascript", [True, False], ids=["scripts on", "scripts off"])
def test_person_comes_back_to_the_service_with_an_answer(chromium: Browser, site: Site, javascript: bool) -> None:
    with opened(chromium, java_script_enabled=javascript) as context:
        page = context.new_page()
        _open(page, site)
        page.fill("#pin", "0000")
        follow(page.locator("#pin-submit"))
        assert page.text_content("#tries-left") == "2"
        page.keyboard.type("1234")
        page.keyboard.press("Enter")
        if not javascript:
            follow(page.locator("#answer-submit"))
        page.wait_for_selector("#back")
        origin, fields = site.posted[-1]
        assert origin == f"http://127.0.0.1:{site.agent_port}"
        assert site.broker.open(fields["answer"][0])["pin_entry"] == "page"
        assert not context.cookies(f"http://127.0.0.1:{site.agent_port}")


@pytest.mark.parametrize("javascript", [True, False], ids=["scripts on", "scripts off"])
def test_person_who_stops_comes_back_with_a_code(chromium: Browser, site: Site, javascript: bool) -> None:
    with opened(chromium, java_script_enabled=javascript) as context:
        page = context.new_page()
        _open(page, site)
        follow(page.locator("#cancel"))
        if not javascript:
            follow(page.locator("#back-to-service"))
        page.wait_for_selector("#back")
        assert site.posted[-1][1] == {"error": ["AGENT-015"]}


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("width", [1024, 320])
def test_every_page_is_accessible_and_fits(
    chromium: Browser, site: Site, tmp_path: Path, language: str, width: int
) -> None:
    with opened(chromium, locale=language, viewport={"width": width, "height": 800}) as context:
        page = context.new_page()
        context.route("**/submit.js", lambda route: route.abort())

        def picture(name: str) -> Path:
            return tmp_path / f"{name}-{language}-{width}.png"

        action = '{"release":["name","address"]}'
        _open(page, site, ui_locales=language, action=action, client_vetted=False, client_name="bank.example")
        _judge(page, picture("pin"))
        page.fill("#pin", "0000")
        follow(page.locator("#pin-submit"))
        _judge(page, picture("wrong"))
        page.fill("#pin", "0000")
        follow(page.locator("#pin-submit"))
        _judge(page, picture("last"))
        follow(page.locator("#cancel"))
        _judge(page, picture("cancelled"))
        site.tray.remove()
        _open(page, site, ui_locales=language)
        _judge(page, picture("error"))
        site.insert()
        follow(page.locator("#retry"))
        page.fill("#pin", "1234")
        follow(page.locator("#pin-submit"))
        page.wait_for_selector("#answer-form")
        _judge(page, picture("answer"))
        page.goto(f"http://127.0.0.1:{site.agent_port}/")
        _judge(page, picture("status"))


class Typist:
    """A window in whose place somebody types after a moment; `wrong` times the PIN is wrong."""

    name: PINEntry = "native"

    def __init__(self, *typed: str) -> None:
        self.typed = list(typed)
        self.go_on = threading.Event()

    def ask(self, prompt: PinPrompt, *, seconds: float, stop: threading.Event) -> str | None:
        self.go_on.wait(10)
        return None if stop.is_set() else self.typed.pop(0)


@pytest.mark.parametrize("site", [("0000", "1234")], indirect=True)
@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("width", [1024, 320])
def test_page_waits_while_the_pin_is_typed_in_a_window_and_goes_on_by_itself(
    chromium: Browser, site: Site, tmp_path: Path, language: str, width: int
) -> None:
    assert site.typist is not None
    with opened(chromium, locale=language, viewport={"width": width, "height": 800}) as context:
        page = context.new_page()
        context.route("**/submit.js", lambda route: route.abort())
        _open(page, site, ui_locales=language)
        assert page.locator("#pin").count() == 0
        _judge(page, tmp_path / f"elsewhere-{language}-{width}.png")
        site.typist.go_on.set()
        follow(page.locator("#elsewhere"))
        assert page.text_content("#tries-left") == "2"
        _judge(page, tmp_path / f"elsewhere-wrong-{language}-{width}.png")
        context.unroute("**/submit.js")
        follow(page.locator("#elsewhere"))
        page.wait_for_selector("#back")
        assert site.broker.open(site.posted[-1][1]["answer"][0])["pin_entry"] == "native"


@pytest.mark.parametrize("site", [("1234",)], indirect=True)
def test_window_opens_without_a_click_and_the_page_goes_on_by_itself(chromium: Browser, site: Site) -> None:
    assert site.typist is not None
    with opened(chromium) as context:
        page = context.new_page()
        threading.Timer(2, site.typist.go_on.set).start()
        _open(page, site)
        page.wait_for_selector("#back")
        assert "answer" in site.posted[-1][1]


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("width", [1024, 320])
def test_pages_of_a_signature_are_accessible_and_fit(
    chromium: Browser, site: Site, tmp_path: Path, language: str, width: int
) -> None:
    with opened(chromium, locale=language, viewport={"width": width, "height": 800}) as context:
        page = context.new_page()
        context.route("**/submit.js", lambda route: route.abort())

        def judge(name: str) -> None:
            _judge(page, tmp_path / f"{name}-{language}-{width}.png")

        rows = [document(type="application/pdf"), document(size=None, type=None), raw_document(b"d" * 32)]
        _open(page, site, ui_locales=language, **proof(*rows, kind="sign", release=["age_over_20"]))
        judge("sign-pin")
        follow(page.locator("#cancel"))
        _open(page, site, ui_locales=language, **proof(document(name="口座開設の申込書" * 20)))
        judge("proof-pin")
        page.fill("#pin", "1234")
        follow(page.locator("#pin-submit"))
        judge("password")
        site.signer.go_on.set()
        follow(page.locator("#password"))
        assert page.text_content("#tries-left") == "4"
        judge("password-wrong")
        follow(page.locator("#password"))
        page.wait_for_selector("#answer-form")
        site.insert(sign_tries=1)
        _open(page, site, ui_locales=language, **proof())
        page.fill("#pin", "1234")
        follow(page.locator("#pin-submit"))
        assert page.locator("#last-try-form").count() == 1
        judge("password-last")
        follow(page.locator("#cancel"))
        site.insert(sign_tries=0)
        _open(page, site, ui_locales=language, **proof())
        assert page.text_content("#error-code") == "CARD-027"
        judge("password-locked")


def test_window_for_the_password_opens_by_itself_after_the_pin(chromium: Browser, site: Site) -> None:
    site.signer.typed = ["ABC123"]
    with opened(chromium) as context:
        page = context.new_page()
        threading.Timer(2, site.signer.go_on.set).start()
        _open(page, site, **proof())
        page.fill("#pin", "1234")
        follow(page.locator("#pin-submit"))
        page.wait_for_selector("#back")
        assert len(site.broker.open(site.posted[-1][1]["answer"][0])["cms"]) == 1


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("width", [1024, 320])
def test_abandoned_tab_gives_way_in_one_click(
    chromium: Browser, site: Site, tmp_path: Path, language: str, width: int
) -> None:
    with opened(chromium, locale=language, viewport={"width": width, "height": 800}) as context:
        closed = context.new_page()
        _open(closed, site, ui_locales=language)
        closed.close()
        page = context.new_page()
        _open(page, site, ui_locales=language)
        assert page.text_content("#error-code") == "AGENT-012"
        _judge(page, tmp_path / f"take-over-{language}-{width}.png")
        follow(page.locator("#take-over"))
        page.fill("#pin", "1234")
        follow(page.locator("#pin-submit"))
        page.wait_for_selector("#back")
        assert "answer" in site.posted[-1][1]


def test_pages_hold_in_forced_colours(chromium: Browser, site: Site, tmp_path: Path) -> None:
    with opened(chromium, forced_colors="active") as context:
        page = context.new_page()
        _open(page, site)
        _judge(page, tmp_path / "forced.png")
        border = page.eval_on_selector("#pin", "node => getComputedStyle(node).borderTopStyle")
        assert border == "solid"


def test_buttons_and_fields_are_at_least_48_pixels_high_and_text_is_large(chromium: Browser, site: Site) -> None:
    with opened(chromium) as context:
        page = context.new_page()
        _open(page, site)
        for selector in ("#pin", "#pin-submit", "#cancel"):
            box = page.locator(selector).bounding_box()
            assert box is not None
            assert box["height"] >= 48
        size = page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)")
        height = page.evaluate("parseFloat(getComputedStyle(document.body).lineHeight)")
        assert size >= 17
        assert height / size >= 1.7


def test_page_of_an_unknown_site_is_told_so(chromium: Browser, site: Site) -> None:
    with opened(chromium) as context:
        page = context.new_page()
        jws = site.broker.request()
        page.route(
            "http://evil.example/",
            lambda route: route.fulfill(
                headers={"Content-Type": "text/html", "Referrer-Policy": "origin"},
                body=f'<form method="post" action="http://127.0.0.1:{site.agent_port}/v1/sign">'
                f'<input type="hidden" name="request" value="{jws}"><button id="go">go</button></form>',
            ),
        )
        page.goto("http://evil.example/")
        follow(page.locator("#go"))
        assert page.text_content("#error-code") == "AGENT-001"
        assert page.text_content("#stated-origin") == "http://evil.example"
