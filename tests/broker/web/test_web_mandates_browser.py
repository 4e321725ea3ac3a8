"""The pages of powers of attorney in a real browser: both languages, wide and narrow, for principal and officer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from broker.delegation import lookup
from broker.delegation.rendering import FONTS
from tests.broker.web.house import House
from tests.broker.web.mandatehouse import equip, work
from tests.broker.web.test_web_mandates import granted
from tests.broker.web.test_web_me_browser import LOCALES, open_page
from tests.browser import assert_accessible, follow, screen


@pytest.mark.timeout(400)
@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_page_of_a_power_is_accessible_in_both_languages(
    served: House, new_page: Callable[..., Page], tmp_path: Path, language: str
) -> None:
    if not all(font.exists() for font in FONTS):
        pytest.skip("missing: fonts-ipaexfont-gothic, fonts-ipamj-mincho")
    equip(served, tmp_path)
    principal, _agent, path = granted(served)
    work(served)
    code = lookup.check_code(principal.get(f"{path}/poa.json").data)
    page = new_page(locale=LOCALES[language])

    def look(name: str) -> None:
        assert page.locator("html").get_attribute("lang") == language
        for width in (1280, 320):
            page.set_viewport_size({"width": width, "height": 800})
            assert_accessible(page)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{name} scrolls sideways at {width}"
        page.set_viewport_size({"width": 1280, "height": 800})
        screen(page, name, language)

    open_page(page, served, "/delegations")
    page.locator("#given li").wait_for()
    look("delegations")
    page.goto(f"{served.issuer}/delegations/new")
    look("delegation-new")
    page.goto(f"{served.issuer}{path}")
    look("delegation")
    page.goto(f"{served.issuer}/me")
    look("me-mandates")
    page.goto(f"{served.issuer}/verify")
    look("verify")
    page.locator("#number").fill(path.rpartition("/")[2])
    follow(page.locator("#verify"))
    page.locator("#state").wait_for()
    look("verify-number")
    page.locator("#check").fill(code)
    follow(page.locator("#verify"))
    page.locator("#verdict").wait_for()
    look("verdict")
