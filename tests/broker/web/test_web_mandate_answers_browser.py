"""What a resident reads before a service is answered about a mandate: in a real browser, in both languages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from broker.delegation.rendering import FONTS
from tests.broker.web.house import REDIRECT_URI, House
from tests.broker.web.mandatehouse import Person, equip
from tests.broker.web.program import Program
from tests.broker.web.test_web_mandate_answers import ASKED, bidding, mandate
from tests.broker.web.test_web_me_browser import LOCALES, read_card
from tests.browser import assert_accessible, screen


def ask(page: Page, program: Program, resident: str, language: str) -> None:
    """From the pushed request to the consent page; the card page is looked at on the way."""
    house = program.house
    asked = {"client_id": program.client.client_id, "authorization_details": json.dumps([ASKED | {"case_no": "R8-12"}])}
    answer = program.post("/par", **house.parameters(**asked))
    assert answer.status_code == 201, answer.text
    page.goto(f"{house.issuer}/authorize?client_id={program.client.client_id}&request_uri={answer.json['request_uri']}")
    page.locator("#mandate-questions").wait_for()
    if resident == "shain":
        assert_accessible(page)
        screen(page, "login-mandate", language)
    read_card(page, house, resident)
    page.locator("#consent-form").wait_for()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_question_and_for_whom_it_is_answered_are_told_before_anything_is(
    served: House, new_page: Callable[..., Page], tmp_path: Path, language: str
) -> None:
    if not all(font.exists() for font in FONTS):
        pytest.skip("missing: fonts-ipaexfont-gothic, fonts-ipamj-mincho")
    equip(served, tmp_path)
    agent = Person.at(served, "shain")
    for principal, limit in (("hanako", "5000000"), ("taro", "100")):
        mandate(served, Person.at(served, principal), agent, limit_amount=limit)
    program = bidding(served)
    page = new_page(locale=LOCALES[language])
    ask(page, program, "shain", language)
    assert page.locator("#principals input[type=radio]").count() == 2
    assert page.locator("#principals input:checked").count() == 0, "nobody is chosen beforehand"
    assert_accessible(page)
    screen(page, "consent-mandate", language)
    page.locator("#approve").click()
    page.wait_for_timeout(200)
    assert page.locator("#consent-form").count() == 1, "the browser asks for a choice first"
    page.locator("#principals input[type=radio]").first.check()
    with page.expect_request(lambda request: request.url.startswith(REDIRECT_URI)):
        page.locator("#approve").click()

    page = new_page(locale=LOCALES[language])
    ask(page, program, "yoshiko", language)
    assert page.locator("p#principals").count() == 1
    assert_accessible(page)
    screen(page, "consent-mandate-none", language)
