"""The resident's own page in a real browser: without scripts too, in both languages, narrow, and for the documents."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page

from tests.broker.web.house import House, transaction_of
from tests.broker.web.my_page import add_service
from tests.broker.web.test_web_me import ALL, log_in
from tests.browser import PHONE, assert_accessible, follow, screen

LOCALES = {"ja": "ja-JP", "en": "en-GB"}


def read_card(page: Page, house: House, resident: str = "hanako") -> None:
    """What the agent does while the browser is at its page."""
    request = page.locator("#card-form input[name=request]").get_attribute("value")
    assert request is not None
    answered = house.post_answer(transaction_of(request), {"answer": house.sign(request, resident)})
    page.goto(answered.headers["Location"])


def open_page(page: Page, house: House, path: str = "/me") -> None:
    page.goto(f"{house.issuer}{path}")
    follow(page.locator("#open-page"))
    page.locator("#card-submit").wait_for()
    read_card(page, house)


def _asked(house: House) -> dict[str, str]:
    return house.parameters(client_id="curious", scope=ALL, prompt="consent")


@pytest.mark.timeout(400)  # some twenty pages, each judged
@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_screen_of_the_page_is_accessible_in_both_languages(
    served: House, new_page: Callable[..., Page], language: str
) -> None:
    add_service(served)
    log_in(served, served.browser(), "language")
    page = new_page(locale=LOCALES[language])

    def look(name: str) -> None:
        assert page.locator("html").get_attribute("lang") == language
        assert_accessible(page)
        screen(page, name, language)

    page.goto(f"{served.issuer}/me")
    look("me-login")
    open_page(page, served, "/me/recovery-codes")
    look("me-recovery")
    follow(page.locator("#make-codes"))
    page.locator("#codes").wait_for()
    look("me-recovery-codes")
    code = page.locator("#codes .code").first.inner_text()
    follow(page.locator("#back"))
    page.locator("#overview").wait_for()
    look("me")
    for path in ("history", "consents", "export", "print"):
        page.goto(f"{served.issuer}/me/{path}")
        look(f"me-{path}")
    page.goto(f"{served.issuer}/me/attributes")
    look("me-attributes")
    page.locator("#emergency_name").fill("山田太郎")
    page.locator("#emergency_phone").fill("たくさん")
    follow(page.locator("#save-emergency_contact"))
    page.locator("#error").wait_for()
    assert page.locator("#emergency_name").input_value() == "山田太郎"
    look("me-attributes-error")
    page.goto(f"{served.issuer}/me/history")
    follow(page.locator(".report").nth(1))
    page.locator("#report").wait_for()
    look("me-report")
    follow(page.locator("#report"))
    page.locator("#reported").wait_for()
    look("me-reported")
    page.goto(f"{served.issuer}/me/services")
    look("me-services")
    follow(page.locator("#withdraw-1-button"))
    page.locator("#withdrawn").wait_for()
    look("me-withdrawn")
    page.goto(f"{served.issuer}/me/delete")
    look("me-delete")
    page.locator("#understood").check()
    follow(page.locator("#delete"))
    page.locator("#deleted").wait_for()
    look("me-deleted")
    page.goto(f"{served.issuer}/lost-card")
    look("lost-card")
    page.goto(f"{served.issuer}/recovery")
    page.locator("#code").fill(code)
    follow(page.locator("#use-code"))
    page.locator("#error").wait_for()  # it went with the account
    look("recovery-wrong")


@pytest.mark.parametrize("language", ["ja", "en"])
def test_what_is_asked_for_is_listed_before_the_card_on_an_accessible_page(
    served: House, new_page: Callable[..., Page], language: str
) -> None:
    add_service(served)
    page = new_page(locale=LOCALES[language])
    page.goto(f"{served.issuer}/authorize?{urlencode(_asked(served))}")
    assert page.locator("#asked li").count() == 3
    assert_accessible(page)
    screen(page, "login-asked", language)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_consent_page_with_optional_items_and_the_stopped_account_are_accessible(
    served: House, new_page: Callable[..., Page], language: str
) -> None:
    add_service(served)
    page = new_page(locale=LOCALES[language])
    open_page(page, served, "/me/recovery-codes")
    follow(page.locator("#make-codes"))
    code = page.locator("#codes .code").first.inner_text()
    asked = f"{served.issuer}/authorize?{urlencode(_asked(served))}"
    page.goto(asked)
    read_card(page, served)
    page.locator("#optional-items").wait_for()
    assert not page.locator("#item-language").is_checked()
    assert_accessible(page)
    screen(page, "consent", language)
    page.goto(f"{served.issuer}/recovery")
    page.locator("#code").fill(code)
    assert_accessible(page)
    screen(page, "recovery", language)
    follow(page.locator("#use-code"))
    page.locator("#recovery-done").wait_for()
    assert_accessible(page)
    screen(page, "recovery-done", language)
    page.goto(asked)
    read_card(page, served)
    page.locator("#error-code").wait_for()
    assert page.locator("#error-code").inner_text() == "AUTH-080"
    assert_accessible(page)
    screen(page, "account-stopped", language)


def test_the_page_works_without_scripts_by_keyboard_on_a_phone(served: House, new_page: Callable[..., Page]) -> None:
    add_service(served)
    log_in(served, served.browser())
    page = new_page(java_script_enabled=False, viewport=PHONE, forced_colors="active")
    open_page(page, served)
    follow(page.locator("#to-services"), key="Enter")
    follow(page.locator("#withdraw-1-button"), key="Enter")
    page.locator("#withdrawn").wait_for()
    follow(page.locator("#back"), key="Enter")
    page.locator("#service-1").wait_for()
    assert page.locator("#withdraw-1-button").count() == 0
    follow(page.locator("#leave"), key="Enter")
    page.locator("#logged-out").wait_for()
    page.go_back()
    page.goto(f"{served.issuer}/me")
    assert page.locator("#me-login").is_visible()


def test_a_page_of_the_resident_is_light_and_big_enough_to_press(served: House, new_page: Callable[..., Page]) -> None:
    for _ in range(11):
        served.login(served.browser(), prompt="consent")
    page = new_page(viewport=PHONE)
    weight: dict[str, int] = {}
    page.on("response", lambda response: weight.update({response.url: len(response.body())}))
    open_page(page, served)
    weight.clear()
    page.goto(f"{served.issuer}/me/history")
    page.wait_for_load_state("networkidle")
    assert page.locator("tr").count() == 21
    assert sum(weight.values()) < 40_000, weight
    for link in page.locator("#me-nav a, a.report, #older").all():
        box = link.bounding_box()
        assert box is not None
        assert box["height"] >= 48
    assert all(re.match(rf"{re.escape(served.issuer)}/", url) for url in weight)
