"""Certificates of employment in a real browser, in both languages: written, signed, received, withdrawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from broker.delegation.rendering import FONTS
from tests.broker.web.house import House, transaction_of
from tests.broker.web.mandatehouse import Person, equip, work
from tests.broker.web.test_web_statements import FORM
from tests.browser import assert_accessible, follow, screen

LOCALES = {"ja": "ja-JP", "en": "en-GB"}


def read_card(page: Page, house: House, resident: str) -> None:
    """What the agent does while the browser is at its page, with both secrets."""
    page.locator("#card-submit").wait_for()
    request = page.locator("#card-form input[name=request]").get_attribute("value")
    assert request is not None
    answer = Person(house=house, resident=resident, browser=house.browser()).answer(request)
    answered = house.post_answer(transaction_of(request), {"answer": answer})
    page.goto(answered.headers["Location"])


def log_in(page: Page, house: House, resident: str, path: str) -> None:
    page.goto(f"{house.issuer}{path}")
    follow(page.locator("#open-page"))
    read_card(page, house, resident)


@pytest.mark.timeout(400)  # some twelve pages, each judged
@pytest.mark.parametrize("language", ["ja", "en"])
def test_a_certificate_goes_from_hand_to_hand_on_accessible_pages(
    served: House, new_page: Callable[..., Page], tmp_path: Path, language: str
) -> None:
    if not all(font.exists() for font in FONTS):
        pytest.skip("missing: fonts-ipaexfont-gothic, fonts-ipamj-mincho")
    equip(served, tmp_path)
    page = new_page(locale=LOCALES[language])

    def look(name: str) -> None:
        assert page.locator("html").get_attribute("lang") == language
        assert_accessible(page)
        screen(page, name, language)

    log_in(page, served, "hanako", "/statements")
    look("statements")
    follow(page.locator("#new-statement"))
    page.locator("#statement-form").wait_for()
    look("statement-new")
    page.locator("summary").click()
    for name, value in FORM.items():
        box = page.locator(f"#{name}")
        if box.evaluate("e => e.tagName") == "SELECT":
            box.select_option(value)
        else:
            box.fill(value)
    page.locator("#employed_since").fill("2099-01-01")
    follow(page.locator("#draft"))
    page.locator("#error").wait_for()
    look("statement-refused")
    assert page.locator("#employee_name").input_value() == FORM["employee_name"]
    page.locator("#employed_since").fill("2024-04-01")
    follow(page.locator("#draft"))
    invitation = page.locator("#employee-url").inner_text()
    look("statement-drafted")
    follow(page.locator("#continue"))
    page.locator("#sign").wait_for()
    look("statement-sign")
    follow(page.locator("#sign"))
    page.locator("#statement").wait_for()
    look("statement-card")
    read_card(page, served, "hanako")
    page.locator("#made").wait_for()
    work(served)
    follow(page.locator("#made a"))
    page.locator("#statement-pdf").wait_for()
    look("statement")

    other = new_page(locale=LOCALES[language])
    log_in(other, served, "shain", "/statements")
    other.goto(invitation)
    assert_accessible(other)
    screen(other, "statement-invited", language)
    follow(other.locator("#take"))
    with other.expect_download() as download:
        other.locator("#statement-pdf").click()
    pdf = tmp_path / "statement.pdf"
    download.value.save_as(pdf)
    assert other.locator("#revoke").count() == 0

    page.goto(f"{served.issuer}/verify")
    page.locator("#document").set_input_files(pdf)
    follow(page.locator("#verify"))
    page.locator("#statement").wait_for()
    look("statement-verified")
    page.goto(other.url)
    follow(page.locator("#revoke"))
    page.locator("#state").wait_for()
    assert page.locator("#revoke").count() == 0
