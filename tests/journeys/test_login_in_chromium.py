"""The login journey in Debian's Chromium, scripts on and off, over the real pcscd; every page is judged by axe."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from cardreader.tray import TrayClient
from sandbox.launcher import Running
from tests.browser import assert_accessible, follow, screenshot
from tests.journeys.person import card_pin

pytestmark = pytest.mark.timeout(180)
README_PICTURE = Path(__file__).parents[2] / "docs" / "images" / "login.png"


def _width(png: Path) -> int:
    header = png.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(header[16:20], "big")


def to_the_pin_page(page: Page, running: Running) -> None:
    page.goto(f"{running.addresses.bank}/")
    follow(page.locator("#login"))
    follow(page.locator("#card-submit"))
    expect(page.locator("#pin")).to_be_visible()


def enter(page: Page, pin: str, *, scripts: bool) -> None:
    page.fill("#pin", pin)
    follow(page.locator("#pin-submit"))
    if not scripts and page.locator("#answer-submit").count():
        follow(page.locator("#answer-submit"))


def greeted(page: Page) -> str:
    """Agree and give the customer number where asked, until the bank greets."""
    page.wait_for_selector("#approve, #greeting, #link-form")
    if page.locator("#approve").count():
        follow(page.locator("#approve"))
        page.wait_for_selector("#greeting, #link-form")
    if page.locator("#link-form").count():
        number = page.locator("li[data-number]").first.get_attribute("data-number")
        page.fill("#customer-number", number or "")
        follow(page.locator("#link-form button[type=submit]"))
        page.wait_for_selector("#confirm-form, #greeting")
        if page.locator("#confirm-form").count():
            follow(page.locator("#confirm-form button[type=submit]"))
    expect(page.locator("#greeting")).to_be_visible()
    return page.locator("#greeting").inner_text()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
def test_a_resident_logs_in_twice_with_one_wrong_pin_on_the_way(
    running: Running, tray: TrayClient, new_page: Callable[..., Page], *, scripts: bool
) -> None:
    page = new_page(java_script_enabled=scripts)
    to_the_pin_page(page, running)
    enter(page, "9999", scripts=False)
    expect(page.locator("#tries-left")).to_have_text("2")
    enter(page, "1234", scripts=scripts)
    first = greeted(page)
    follow(page.locator("#logout"))
    expect(page.locator("#greeting")).to_have_count(0)
    to_the_pin_page(page, running)
    enter(page, "1234", scripts=scripts)
    assert greeted(page) == first
    assert tray.status().auth_tries == 3


@pytest.mark.parametrize("locale", ["ja-JP", "en-GB"])
def test_every_page_of_the_way_is_accessible_in_both_languages(
    running: Running, tray: TrayClient, new_page: Callable[..., Page], locale: str
) -> None:
    language = locale[:2]
    tray.insert(running.world.card("sakura"))
    page = new_page(locale=locale, viewport={"width": 900, "height": 900})
    page.goto(f"{running.addresses.bank}/")
    follow(page.locator("#login"))
    expect(page.locator("html")).to_have_attribute("lang", language)
    assert_accessible(page)
    picture = screenshot(page, f"login-{language}")
    if language == "ja":
        if os.environ.get("UPDATE_PICTURES"):  # `make pictures`
            README_PICTURE.write_bytes(picture.read_bytes())
        assert _width(README_PICTURE) == _width(picture)
    follow(page.locator("#card-submit"))
    expect(page.locator("html")).to_have_attribute("lang", language)
    assert_accessible(page)
    screenshot(page, f"pin-{language}")
    page.fill("#pin", card_pin(running, "sakura"))
    follow(page.locator("#pin-submit"))
    page.wait_for_selector("#approve, #greeting, #link-form")
    if page.locator("#approve").count():
        assert_accessible(page)
        screenshot(page, f"consent-{language}")
    greeted(page)
    assert_accessible(page)
    screenshot(page, f"greeting-{language}")


class _Elsewhere(BaseHTTPRequestHandler):
    """A site that sends whoever opens it on to the agent, with the very request the broker made."""

    target = ""
    request_value = ""

    def do_GET(self) -> None:
        body = (
            f'<!doctype html><form id="trap" method="post" action="{self.target}">'
            f'<input name="request" value="{self.request_value}"><button id="go">go</button></form>'
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def test_a_page_somewhere_else_cannot_use_the_brokers_request_at_the_agent(
    running: Running, tray: TrayClient, new_page: Callable[..., Page]
) -> None:
    page = new_page()
    page.goto(f"{running.addresses.bank}/")
    follow(page.locator("#login"))
    stolen = page.locator("#card-form input[name=request]").get_attribute("value")
    assert stolen
    trap = type("Trap", (_Elsewhere,), {"target": f"{running.addresses.agent}/v1/sign", "request_value": stolen})
    server = ThreadingHTTPServer(("127.0.0.9", 0), trap)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        page.goto(f"http://127.0.0.9:{server.server_port}/")
        follow(page.locator("#go"))
        expect(page.locator("#error-code")).to_have_text("AGENT-001")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert page.locator("#pin").count() == 0
    assert tray.status().auth_tries == 3


def test_the_card_tray_swaps_cards_for_the_next_login(
    running: Running, tray: TrayClient, new_page: Callable[..., Page]
) -> None:
    page = new_page()
    page.goto(f"{running.addresses.world}/")
    follow(page.locator("#insert-mirai"))
    expect(page.locator("#reader-state")).to_have_attribute("data-card", "mirai")
    follow(page.locator("#remove"))
    expect(page.locator("#reader-state")).not_to_have_attribute("data-card", "mirai")
    assert tray.status().card is None


def test_going_back_after_logout_shows_nothing_of_the_person(
    running: Running, tray: TrayClient, new_page: Callable[..., Page]
) -> None:
    page = new_page()
    to_the_pin_page(page, running)
    enter(page, "1234", scripts=True)
    name = greeted(page)
    follow(page.locator("#logout"))
    expect(page.locator("#signed-out")).to_be_visible()  # the way over two sites has come to its end
    page.go_back()
    page.wait_for_load_state()
    assert name not in page.content()
