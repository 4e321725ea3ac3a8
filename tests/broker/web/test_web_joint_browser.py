"""What a doctor and a patient see before their cards, in a real browser and both languages."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page

from tests.broker.web import doctors
from tests.broker.web.doctors import DOCTOR, Clinic, Lists
from tests.broker.web.house import BANK, House
from tests.broker.web.pushing import pushed
from tests.broker.web.test_web_me_browser import read_card
from tests.browser import PHONE, assert_accessible, follow, screen, screenshot


def _open(page: Page, clinic: Clinic, scope: str, joint: str) -> None:
    request_uri = pushed(clinic.program, scope=f"openid {scope}", joint_transaction_id=joint)
    query = urlencode({"client_id": clinic.program.client.client_id, "request_uri": request_uri})
    page.goto(f"{clinic.house.issuer}/authorize?{query}")
    page.locator("#joint-purpose").wait_for()


@pytest.mark.parametrize("language", ["ja", "en"])
def test_what_both_see_before_their_cards_is_accessible(
    served: House, new_page: Callable[..., Page], language: str
) -> None:
    clinic = doctors.clinic(served, Lists(served.world, served.clock), name="見本診療所")
    page = new_page(locale={"ja": "ja-JP", "en": "en-GB"}[language])
    page.context.route(f"{BANK}/**", lambda route: route.fulfill(status=204))
    joint = clinic.ordered()
    _open(page, clinic, "hpki", joint)
    assert page.locator("html").get_attribute("lang") == language
    assert_accessible(page)
    screen(page, "login-licence", language)
    clinic.returned(served.browser(), "hpki", DOCTOR, joint)
    _open(page, clinic, "joint", joint)
    assert page.locator("#joint-name").inner_text() == "医師見本"
    assert_accessible(page)
    screen(page, "login-joint", language)
    _picture(page, "joint", language)
    page.goto(f"{served.issuer}/me")
    assert_accessible(page)
    _picture(page, "me-login-licence", language)
    follow(page.locator("#open-licence"))
    page.locator("#own-licence").wait_for()
    read_card(page, served, DOCTOR)
    page.locator("#uses-kept").wait_for()
    assert_accessible(page)
    _picture(page, "me-licence", language)


def _picture(page: Page, name: str, language: str) -> None:
    for width, size in (("wide", {"width": 1280, "height": 900}), ("phone", PHONE)):
        page.set_viewport_size({"width": size["width"], "height": size["height"]})
        screenshot(page, f"{name}-{width}.{language}")
