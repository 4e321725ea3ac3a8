"""A login whose card reader is elsewhere: approved on another device, it ends in the browser that began it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from flask.testing import FlaskClient
from sqlalchemy import create_engine, text
from werkzeug.test import TestResponse

from broker.flows.handover import TIMES
from broker.oidc.client import GrantType
from tests.broker.web.house import ISSUER, House, Page, returned
from tests.broker.web.my_page import LANGUAGE, open_page
from tests.broker.web.program import Program, register
from tests.broker.web.pushing import pushed

BOTH = frozenset({GrantType.AUTHORIZATION_CODE, GrantType.DEVICE_CODE})


@pytest.fixture
def shop(house: House) -> Program:
    """A client that serves devices too."""
    return register(house, "shop", grant_types=BOTH)


def rows(house: House, statement: str) -> list[Any]:
    engine = create_engine(f"sqlite:///{house.database}")
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(statement))]
    engine.dispose()
    return found


def hand_over(house: House, browser: FlaskClient, **changes: str | None) -> TestResponse:
    """Begin a login and choose another device: the page with the number."""
    login = house.login_page(browser, **{"client_id": "shop", **changes})
    choose = house.get(browser, Page(login.text).links["choose"])
    return house.get(browser, house.submit(browser, choose, "elsewhere-form").headers["Location"])


def number_on(page: TestResponse) -> str:
    return "".join(Page(page.text).texts["handover-code"].split())


def confirmed(house: House, other: FlaskClient, user_code: str) -> TestResponse:
    """On the other device: the QR code is scanned, and the number typed."""
    asked = house.get(other, f"/device?user_code={user_code[:9]}")
    page = house.submit(other, asked, "device-form")
    return house.submit(other, page, "device-confirm-form", decision="continue", number=user_code[-2:])


def approve(house: House, user_code: str, resident: str = "hanako", *, decision: str = "approve") -> TestResponse:
    other = house.browser()
    login = house.get(other, confirmed(house, other, user_code).headers["Location"])
    consent = house.get(other, house.answer(login, resident).headers["Location"])
    return house.submit(other, consent, "consent-form", decision=decision)


def tokens(shop: Program, answer: dict[str, str]) -> TestResponse:
    return shop.house.token(answer["code"], client_assertion=shop.assertion())


def claims_of(answered: TestResponse) -> dict[str, Any]:
    assert answered.status_code == 200, answered.text
    claims: dict[str, Any] = jwt.decode(answered.get_json()["id_token"], options={"verify_signature": False})
    return claims


def test_a_login_is_approved_on_another_device_and_ends_in_its_own_browser(house: House, shop: Program) -> None:
    browser = house.browser()
    page = hand_over(house, browser)
    found = Page(page.text)
    assert page.headers["Refresh"].startswith("10; url=/login/")
    assert found.texts["address"] == f"{ISSUER}/device"
    code = number_on(page)
    done = approve(house, code)
    assert "elsewhere-title" in Page(done.text).texts
    answer = returned(house.get(browser, found.links["look-again"]))
    assert (answer["state"], answer["iss"]) == ("a-state", ISSUER)
    claims = claims_of(tokens(shop, answer))
    assert (claims["acr"], claims["nonce"], claims["amr"]) == ("aal2", "a-nonce", ["hwk", "pin", "sc", "mfa"])
    assert "sid" not in claims
    assert tokens(shop, answer).get_json()["error"] == "invalid_grant"  # a code serves once


def test_neither_browser_keeps_a_session(house: House, shop: Program) -> None:
    browser = house.browser()
    page = hand_over(house, browser)
    approve(house, number_on(page))
    returned(house.get(browser, Page(page.text).links["look-again"]))
    assert browser.get_cookie("jpki-broker-session", domain="localhost") is None
    assert rows(house, "SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(0,)]
    assert rows(house, "SELECT count(*) FROM interactions WHERE finished_at IS NULL") == [(0,)]


def test_the_page_shows_the_same_number_until_it_is_answered_and_its_picture_holds_no_number(
    house: House, shop: Program
) -> None:
    browser = house.browser()
    page = hand_over(house, browser)
    again = house.get(browser, Page(page.text).links["look-again"])
    assert number_on(page) == number_on(again)
    assert page.text.count("<svg") == 1
    assert len(number_on(page)) == len("XXXX-XXXX-99")


def test_the_other_device_is_told_what_asks_and_nobody_may_say_so_of_themselves(house: House, shop: Program) -> None:
    page = hand_over(house, house.browser())
    other = house.browser()
    asked = house.get(other, f"/device?user_code={number_on(page)[:9]}")
    confirm = Page(house.submit(other, asked, "device-form").text)
    assert confirm.texts["device-kind"] == "ブラウザー（パソコンなど）"
    assert "number" in confirm.forms["device-confirm-form"]["fields"] or "number" in confirm.text
    told = shop.post("/device_authorization", client_id="shop", scope="openid", device_kind="browser")
    assert told.get_json()["error"] == "invalid_request"


@pytest.mark.parametrize("how", ["not mine", "not agreed", "cancelled"])
def test_who_says_no_on_the_other_device_sends_the_browser_back_with_it(house: House, shop: Program, how: str) -> None:
    browser, other = house.browser(), house.browser()
    page = hand_over(house, browser)
    code = number_on(page)
    if how == "not mine":
        asked = house.submit(other, house.get(other, f"/device?user_code={code[:9]}"), "device-form")
        house.submit(other, asked, "device-confirm-form", decision="deny")
    elif how == "not agreed":
        approve(house, code, decision="deny")
    else:
        house.submit(other, house.get(other, confirmed(house, other, code).headers["Location"]), "cancel-form")
    answer = returned(house.get(browser, Page(page.text).links["look-again"]))
    assert (answer["error"], answer["state"]) == ("access_denied", "a-state")
    assert house.get(browser, Page(page.text).links["look-again"]).status_code == 410


def test_three_wrong_numbers_end_it(house: House, shop: Program) -> None:
    browser, other = house.browser(), house.browser()
    page = hand_over(house, browser)
    code = number_on(page)
    wrong = "10" if code[-2:] != "10" else "11"
    asked = house.submit(other, house.get(other, f"/device?user_code={code[:9]}"), "device-form")
    for _ in range(3):
        asked = house.submit(other, asked, "device-confirm-form", decision="continue", number=wrong)
    assert returned(house.get(browser, Page(page.text).links["look-again"]))["error"] == "access_denied"


def test_what_nobody_approves_in_time_can_be_handed_over_again(house: House, shop: Program) -> None:
    browser = house.browser()
    page = hand_over(house, browser)
    house.clock.step(seconds=300)
    late = house.get(browser, Page(page.text).links["look-again"])
    assert "lapsed" in Page(late.text).texts
    again = house.get(browser, house.submit(browser, late, "elsewhere-form").headers["Location"])
    assert number_on(again) != number_on(page)
    approve(house, number_on(again))
    assert "code" in returned(house.get(browser, Page(again.text).links["look-again"]))


def test_what_was_approved_and_fetched_too_late_brings_nothing(house: House, shop: Program) -> None:
    browser = house.browser()
    page = hand_over(house, browser)
    approve(house, number_on(page))
    house.clock.step(seconds=301)
    assert "lapsed" in Page(house.get(browser, Page(page.text).links["look-again"]).text).texts


@pytest.mark.parametrize("form", ["here-form", "cancel-form"])
def test_what_is_taken_back_cannot_be_approved_any_more(house: House, shop: Program, form: str) -> None:
    browser, other = house.browser(), house.browser()
    page = hand_over(house, browser)
    consent = house.get(
        other,
        house.answer(house.get(other, confirmed(house, other, number_on(page)).headers["Location"]), "hanako").headers[
            "Location"
        ],
    )
    back = house.submit(browser, page, form)
    assert house.submit(other, consent, "consent-form", decision="approve").status_code == 410
    if form == "cancel-form":
        assert returned(back)["error"] == "access_denied"
    else:
        assert "card-form" in Page(house.get(browser, back.headers["Location"]).text).forms
        assert house.get(browser, Page(page.text).links["look-again"]).status_code == 410
    assert rows(house, "SELECT count(*) FROM grants WHERE ended_at IS NULL") == [(0,)]


def test_a_card_read_at_the_browser_itself_ends_the_handover(house: House, shop: Program) -> None:
    browser, other = house.browser(), house.browser()
    page = hand_over(house, browser)
    interaction = Page(page.text).links["look-again"].split("/")[2]
    mine = house.get(browser, house.answer(house.get(browser, f"/login/{interaction}"), "taro").headers["Location"])
    asked = house.get(other, f"/device?user_code={number_on(page)[:9]}")
    assert house.submit(other, asked, "device-form").status_code == 400
    assert house.get(browser, Page(page.text).links["look-again"]).status_code == 410
    assert "code" in returned(house.submit(browser, mine, "consent-form", decision="approve"))


def test_another_browser_sees_nothing_of_it(house: House, shop: Program) -> None:
    page = hand_over(house, house.browser())
    stranger = house.browser()
    approve(house, number_on(page))
    interaction = Page(page.text).links["look-again"].split("/")[2]
    for path in ("elsewhere", "choose"):
        assert house.get(stranger, f"/login/{interaction}/{path}").status_code == 403
    for path in ("elsewhere", "here"):
        pressed = stranger.post(f"/login/{interaction}/{path}", headers={"Origin": ISSUER}, base_url=ISSUER)
        assert pressed.status_code == 403


def test_a_form_of_another_origin_is_refused(house: House, shop: Program) -> None:
    browser = house.browser()
    login = house.login_page(browser, client_id="shop")
    choose = house.get(browser, Page(login.text).links["choose"])
    for form in ("elsewhere-form", "here-form"):
        assert house.submit(browser, choose, form, origin="https://evil.example").status_code == 403


def test_an_answer_is_fetched_once(house: House, shop: Program) -> None:
    browser = house.browser()
    page = hand_over(house, browser)
    approve(house, number_on(page))
    look = Page(page.text).links["look-again"]
    cookies = [cookie for cookie in browser._cookies.values() if "login" in cookie.key]
    answer = returned(house.get(browser, look))
    for cookie in cookies:
        browser.set_cookie(cookie.key, cookie.value, domain="localhost")
    assert house.get(browser, look).status_code == 410
    assert claims_of(tokens(shop, answer))["sub"]


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "bank"},
        {"scope": "openid language"},
        {"claims": json.dumps({"id_token": {"acr": {"essential": True, "values": ["aal3"]}}})},
    ],
    ids=["no device client", "about the person", "essential aal3"],
)
def test_what_a_television_could_not_ask_for_is_not_handed_over(house: House, changes: dict[str, str]) -> None:
    register(house, "shop", grant_types=BOTH, scope=frozenset({"openid", "language"}), data_use=(LANGUAGE,))
    browser = house.browser()
    login = house.login_page(browser, **{"client_id": "shop", **changes})
    assert "choose" not in Page(login.text).links
    interaction = Page(login.text).forms["cancel-form"]["action"].split("/")[2]
    choose = Page(house.get(browser, f"/login/{interaction}/choose").text)
    assert "only-here" in choose.texts
    assert "elsewhere-form" not in choose.forms
    forced = browser.post(f"/login/{interaction}/elsewhere", headers={"Origin": ISSUER}, base_url=ISSUER)
    assert forced.status_code == 400
    assert rows(house, "SELECT count(*) FROM device_codes") == [(0,)]


def test_nothing_is_handed_over_from_a_kiosk(house: House, shop: Program) -> None:
    browser = house.browser()
    login = house.login_page(browser, client_id="shop")
    interaction = Page(login.text).forms["cancel-form"]["action"].split("/")[2]
    browser.set_cookie("jpki-broker-kiosk", "k", domain="localhost")
    assert "only-here" in Page(house.get(browser, f"/login/{interaction}/choose").text).texts
    forced = browser.post(f"/login/{interaction}/elsewhere", headers={"Origin": ISSUER}, base_url=ISSUER)
    assert forced.status_code == 400


def test_a_session_of_somebody_else_in_the_browser_ends_with_it(house: House, shop: Program) -> None:
    """R1: what this browser does from now on is another person's."""
    browser = house.browser()
    open_page(house, browser, "taro")
    page = hand_over(house, browser)
    approve(house, number_on(page), "hanako")
    returned(house.get(browser, Page(page.text).links["look-again"]))
    assert rows(house, "SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(0,)]
    mine = house.browser()
    open_page(house, mine, "hanako")
    page = hand_over(house, mine)
    approve(house, number_on(page), "hanako")
    returned(house.get(mine, Page(page.text).links["look-again"]))
    assert rows(house, "SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(1,)]


def test_a_pushed_request_serves_one_answer_and_its_key_stays_bound(house: House, shop: Program) -> None:
    request_uri = pushed(shop, scope="openid", dpop_jkt="A" * 43)
    browser = house.browser()
    query = urlencode({"client_id": "shop", "request_uri": request_uri})
    login = house.get(browser, house.get(browser, f"/authorize?{query}").headers["Location"])
    choose = house.get(browser, Page(login.text).links["choose"])
    page = house.get(browser, house.submit(browser, choose, "elsewhere-form").headers["Location"])
    approve(house, number_on(page))
    answer = returned(house.get(browser, Page(page.text).links["look-again"]))
    assert rows(house, "SELECT jkt FROM codes") == [("A" * 43,)]
    assert tokens(shop, answer).get_json()["error"] == "invalid_grant"  # no proof by that key
    assert house.get(house.browser(), f"/authorize?{query}").status_code == 400


def test_a_person_the_client_names_must_be_the_one_who_approves(house: House, shop: Program) -> None:
    browser = house.browser()
    page = hand_over(house, browser)
    approve(house, number_on(page), "hanako")
    answer = returned(house.get(browser, Page(page.text).links["look-again"]))
    hint = tokens(shop, answer).get_json()["id_token"]
    page = hand_over(house, browser, id_token_hint=hint)
    other = house.browser()
    login = house.get(other, confirmed(house, other, number_on(page)).headers["Location"])
    house.get(other, house.answer(login, "taro").headers["Location"])
    assert returned(house.get(browser, Page(page.text).links["look-again"]))["error"] == "access_denied"


def test_one_login_is_handed_over_only_so_often(house: House, shop: Program) -> None:
    browser = house.browser()
    login = house.login_page(browser, client_id="shop")
    choose = house.get(browser, Page(login.text).links["choose"])
    for _ in range(TIMES.limit):
        assert house.submit(browser, choose, "elsewhere-form").status_code == 303
    assert house.submit(browser, choose, "elsewhere-form").status_code == 429
    assert rows(house, "SELECT count(*) FROM device_codes WHERE state = 'pending'") == [(1,)]
