"""A television is logged in from another device, in Debian's Chromium: two screens, one card, both pages judged."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from cardreader.tray import TrayClient
from sandbox.launcher import Running
from tests.browser import assert_accessible, follow, screen
from tests.journeys.person import card_pin
from tests.journeys.test_login_in_chromium import enter

pytestmark = pytest.mark.timeout(180)
LOCALES = {"ja": "ja-JP", "en": "en-GB"}


def begin(television: Page, running: Running) -> str:
    """The code on the television's screen."""
    television.goto(f"{running.addresses.television}/")
    if television.locator("#stop").count():
        follow(television.locator("#stop"))
    follow(television.locator("#start"))
    return television.locator("#user-code").inner_text()


def scan(page: Page, running: Running, code: str) -> None:
    """What scanning the picture does: the address carries the letters and not the number."""
    page.goto(f"{running.addresses.broker}/device?user_code={code[:-3]}")
    follow(page.locator("#device-submit"))
    expect(page.locator("#device-kind")).to_be_visible()


@pytest.mark.parametrize("language", ["ja", "en"])
def test_a_television_is_logged_in_by_the_card_of_somebody_who_read_its_number(
    running: Running, tray: TrayClient, new_page: Callable[..., Page], language: str
) -> None:
    television = new_page(locale=LOCALES[language], viewport={"width": 1280, "height": 720}, java_script_enabled=False)
    beside = new_page(locale=LOCALES[language])
    code = begin(television, running)
    judge = new_page(locale=LOCALES[language])  # axe is a script
    judge.goto(f"{running.addresses.television}/")
    assert_accessible(judge)
    screen(judge, "television-code", language)
    scan(beside, running, code)
    assert_accessible(beside)
    screen(beside, "television-confirm", language)
    beside.fill("#number", "09")
    follow(beside.locator("#device-continue"))
    expect(beside.locator("#error")).to_be_visible()
    beside.fill("#number", code[-2:])
    follow(beside.locator("#device-continue"))
    follow(beside.locator("#card-submit"))
    expect(beside.locator("#pin")).to_be_visible()
    enter(beside, card_pin(running, "hanako"), scripts=True)
    follow(beside.locator("#approve"))
    expect(beside.locator("#elsewhere-title")).to_be_visible()
    expect(television.locator("#welcome")).to_be_visible(timeout=30_000)  # it draws itself anew
    assert television.locator("#acr").inner_text() == "aal2"
    judge.goto(f"{running.addresses.television}/")
    assert_accessible(judge)
    screen(judge, "television-welcome", language)


def test_a_television_that_nobody_owns_up_to_is_told_no(running: Running, new_page: Callable[..., Page]) -> None:
    television, beside = new_page(), new_page()
    scan(beside, running, begin(television, running))
    follow(beside.locator("#device-deny"))
    expect(beside.locator("#elsewhere-title")).to_be_visible()
    expect(television.locator("#scene-declined")).to_be_visible(timeout=30_000)
