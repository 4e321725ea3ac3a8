"""The way of a login through the pages, and everyone who must not get through."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest

from tests.broker.web.house import AGENT, ISSUER, House, Page, returned, transaction_of


def request_of(page_text: str) -> str:
    return str(Page(page_text).forms["card-form"]["fields"]["request"])


def test_a_card_on_the_reader_ends_in_a_code_that_the_bank_turns_into_tokens(house: House) -> None:
    back = house.login(house.browser())
    assert back.keys() == {"code", "state", "iss"}
    assert (back["state"], back["iss"]) == ("a-state", ISSUER)
    answer = house.token(back["code"])
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    tokens = answer.get_json()
    jwks = house.browser().get("/jwks", base_url=ISSUER).get_json()
    header = jwt.get_unverified_header(tokens["id_token"])
    key = next(jwk for jwk in jwks["keys"] if jwk["kid"] == header["kid"])
    claims = jwt.decode(
        tokens["id_token"], jwt.PyJWK(key).key, algorithms=["ES256"], audience="bank", options={"verify_exp": False}
    )
    assert (claims["nonce"], claims["acr"], claims["iss"]) == ("a-nonce", "aal3", ISSUER)
    userinfo = house.browser().get(
        "/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}"}, base_url=ISSUER
    )
    assert userinfo.get_json() == {"sub": claims["sub"]}


def test_consent_is_asked_once_and_the_second_login_goes_straight_back(house: House) -> None:
    house.login(house.browser())
    page = house.consent_page(house.browser())
    assert "code" in returned(page)
    assert Page(page.text).texts["take-card"] == "カードを取り外してください。"


def test_the_same_card_is_the_same_subject_and_another_card_another(house: House) -> None:
    def subject(resident: str) -> str:
        tokens = house.token(house.login(house.browser(), resident)["code"]).get_json()
        return str(jwt.decode(tokens["id_token"], options={"verify_signature": False})["sub"])

    assert subject("hanako") == subject("hanako") != subject("taro")


def test_two_logins_in_one_browser_do_not_disturb_each_other(house: House) -> None:
    browser = house.browser()
    first, second = house.login_page(browser, state="one"), house.login_page(browser, state="two")
    pages = [house.get(browser, house.answer(page).headers["Location"]) for page in (second, first)]
    told = [returned(house.submit(browser, page, "consent-form", decision="approve")) for page in pages]
    assert [answer["state"] for answer in told] == ["two", "one"]
    assert [house.token(answer["code"]).status_code for answer in told] == [200, 200]


def test_a_refused_consent_returns_access_denied_and_leaves_no_session(house: House) -> None:
    browser = house.browser()
    page = house.submit(browser, house.consent_page(browser), "consent-form", decision="deny")
    assert returned(page).keys() == {"error", "error_description", "state", "iss"}
    assert returned(page)["error"] == "access_denied"
    silent = house.authorize(browser, prompt="none")
    assert parse_qs(urlsplit(silent.headers["Location"]).query)["error"] == ["login_required"]


def test_the_way_back_from_the_login_page_returns_access_denied(house: House) -> None:
    browser = house.browser()
    login = house.login_page(browser)
    page = house.submit(browser, login, "cancel-form")
    assert returned(page)["error"] == "access_denied"
    again = house.submit(browser, login, "cancel-form")
    assert (again.status_code, Page(again.text).texts["error-code"]) == (410, "AUTH-001")


# --- the answer belongs to one browser, once -------------------------------------------------------------------------


def test_an_answer_is_not_released_to_another_browser(house: House) -> None:
    location = house.answer(house.login_page(house.browser())).headers["Location"]
    page = house.get(house.browser(), location)
    assert (page.status_code, Page(page.text).texts["error-code"]) == (403, "AUTH-002")
    assert "Set-Cookie" not in page.headers
    assert "consent-form" not in page.text


def test_an_answer_is_not_released_without_its_return_code(house: House) -> None:
    browser = house.browser()
    location = house.answer(house.login_page(browser)).headers["Location"]
    for changed in (location.partition("&rc=")[0], location[:-2] + "zz", location.replace("&rc=", "&rc=x&rc=")):
        assert Page(house.get(browser, changed).text).texts["error-code"] == "AUTH-002"
    assert "consent-form" in house.get(browser, location).text


def test_an_answer_posted_twice_is_taken_once(house: House) -> None:
    browser = house.browser()
    request = request_of(house.login_page(browser).text)
    answer = house.sign(request)
    assert house.post_answer(transaction_of(request), {"answer": answer}).status_code == 303
    again = house.post_answer(transaction_of(request), {"answer": answer})
    assert (again.status_code, Page(again.text).texts["error-code"]) == (409, "AUTH-003")


def test_a_page_reloaded_after_the_card_still_asks_for_consent(house: House) -> None:
    browser = house.browser()
    location = house.answer(house.login_page(browser)).headers["Location"]
    house.get(browser, location)
    again = house.get(browser, location)
    assert again.status_code == 303
    page = house.get(browser, again.headers["Location"])
    assert "code" in returned(house.submit(browser, page, "consent-form", decision="approve"))


def test_a_finished_login_cannot_be_continued(house: House) -> None:
    browser = house.browser()
    login = house.login_page(browser)
    location = house.answer(login).headers["Location"]
    consent = house.get(browser, location)
    house.submit(browser, consent, "consent-form", decision="approve")
    assert Page(house.get(browser, location).text).texts["error-code"] in {"AUTH-001", "AUTH-002"}
    twice = house.submit(browser, consent, "consent-form", decision="approve")
    assert Page(twice.text).texts["error-code"] == "AUTH-001"


@pytest.mark.parametrize("origin", [None, "null", "http://127.0.0.1:9999", "https://evil.example", f"{AGENT}/", ISSUER])
def test_only_the_agents_page_may_post_an_answer(house: House, origin: str | None) -> None:
    request = request_of(house.login_page(house.browser()).text)
    page = house.post_answer(transaction_of(request), {"answer": house.sign(request)}, origin=origin)
    assert (page.status_code, Page(page.text).texts["error-code"]) == (400, "AUTH-005")


def test_an_answer_from_a_frame_is_refused(house: House) -> None:
    request = request_of(house.login_page(house.browser()).text)
    page = house.browser().post(
        f"/agent/cb/{transaction_of(request)}",
        data={"answer": house.sign(request)},
        headers={"Origin": AGENT, "Sec-Fetch-Dest": "iframe"},
        base_url=ISSUER,
    )
    assert Page(page.text).texts["error-code"] == "AUTH-005"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"answer": ""},
        {"answer": "x"},
        {"answer": "a.b.c.d.e"},
        {"answer": "x", "error": "CARD-003"},
        {"error": "<script>"},
        {"error": "CARD-003\r\nX: y"},
        {"other": "x"},
    ],
)
def test_what_is_no_answer_is_told_with_a_way_on(house: House, fields: dict[str, str]) -> None:
    request = request_of(house.login_page(house.browser()).text)
    page = house.post_answer(transaction_of(request), fields)
    seen = Page(page.text)
    assert (page.status_code, seen.texts["error-code"]) == (400, "AUTH-005")
    assert seen.links["retry"].startswith("/login/")
    assert seen.forms["cancel-form"]["action"].endswith("/cancel")
    assert "<script" not in page.text


def test_an_answer_after_five_minutes_is_too_late(house: House) -> None:
    request = request_of(house.login_page(house.browser()).text)
    answer = house.sign(request)
    house.clock.step(seconds=301)
    page = house.post_answer(transaction_of(request), {"answer": answer})
    assert Page(page.text).texts["error-code"] == "AUTH-004"
    assert Page(page.text).texts["pin-try"] == "暗証番号の回数は減っていません。"


def test_a_login_ends_after_ten_minutes(house: House) -> None:
    browser = house.browser()
    location = house.authorize(browser).headers["Location"]
    house.clock.step(minutes=11)
    page = house.get(browser, location)
    assert (page.status_code, Page(page.text).texts["error-code"]) == (410, "AUTH-001")


def test_a_revoked_card_is_refused_on_a_page_of_its_own(house: House) -> None:
    page = house.answer(house.login_page(house.browser()), "shikko")
    assert (page.status_code, Page(page.text).texts["error-code"]) == (403, "AUTH-014")


def test_without_a_revocation_list_nobody_gets_in_and_nobody_is_blamed(house: House) -> None:
    house.lists.available = False
    page = house.answer(house.login_page(house.browser()))
    assert (page.status_code, Page(page.text).texts["error-code"]) == (503, "AUTH-015")
    assert "お客さまのカードの問題ではありません" in page.text
    assert page.headers["Retry-After"]


def test_giving_up_at_the_agent_offers_another_try_to_that_browser_only(house: House) -> None:
    browser = house.browser()
    request = request_of(house.login_page(browser).text)
    location = house.post_answer(transaction_of(request), {"error": "CARD-003"}).headers["Location"]
    page = Page(house.get(browser, location).text)
    assert (page.texts["error-code"], page.texts["agent-code"]) == ("AUTH-007", "CARD-003")
    assert house.get(browser, page.links["retry"]).status_code == 200
    stranger = house.get(house.browser(), location)
    assert Page(stranger.text).texts["error-code"] == "AUTH-002"
    assert "bank" not in stranger.text
    assert "さくら銀行" not in stranger.text


# --- cookies and forms -----------------------------------------------------------------------------------------------


def test_cookies_are_host_bound_and_secure_under_https(make_house: Callable[..., House]) -> None:
    house = make_house(secure=True)
    cookie = house.authorize(house.browser()).headers["Set-Cookie"]
    assert re.match(r"__Host-jpki-broker-login-[A-Za-z0-9_-]{12}=", cookie)
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=600"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


def test_cookies_under_http_are_plain_but_hidden_from_scripts(house: House) -> None:
    browser = house.browser()
    cookie = house.authorize(browser).headers["Set-Cookie"]
    assert cookie.startswith("jpki-broker-login-")
    assert {"HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=600"} <= set(cookie.split("; "))
    session = next(
        value for value in house.consent_page(browser).headers.getlist("Set-Cookie") if "jpki-broker-session=" in value
    )
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(session.split("; "))
    assert "Max-Age" not in session


def test_a_session_planted_beforehand_is_not_taken_over(house: House) -> None:
    browser = house.browser()
    browser.set_cookie("jpki-broker-session", "planted", domain="localhost")
    house.login(browser)
    kept = browser.get_cookie("jpki-broker-session", domain="localhost")
    assert kept is not None
    assert kept.value != "planted"


@pytest.mark.parametrize("token", ["", "x", "0" * 64])
def test_consent_needs_the_token_of_its_own_page(house: House, token: str) -> None:
    browser = house.browser()
    page = house.submit(browser, house.consent_page(browser), "consent-form", decision="approve", csrf=token)
    assert (page.status_code, Page(page.text).texts["error-code"]) == (403, "BROKER-009")


def test_consent_from_another_origin_or_browser_is_refused(house: House) -> None:
    browser = house.browser()
    page = house.consent_page(browser)
    for origin in ("https://evil.example", "null"):
        refused = house.submit(browser, page, "consent-form", origin=origin, decision="approve")
        assert Page(refused.text).texts["error-code"] == "BROKER-009"
    foreign = house.submit(house.browser(), page, "consent-form", decision="approve")
    assert Page(foreign.text).texts["error-code"] == "AUTH-002"
    assert "code" in returned(house.submit(browser, page, "consent-form", decision="approve"))


def test_a_token_of_one_persons_consent_page_does_not_serve_another(house: House) -> None:
    mine, theirs = house.browser(), house.browser()
    page, other = house.consent_page(mine, "hanako"), house.consent_page(theirs, "taro")
    token = Page(other.text).forms["consent-form"]["fields"]["csrf"]
    refused = house.submit(mine, page, "consent-form", decision="approve", csrf=token)
    assert Page(refused.text).texts["error-code"] == "BROKER-009"


def test_a_decision_that_is_neither_yes_nor_no_changes_nothing(house: House) -> None:
    browser = house.browser()
    page = house.consent_page(browser)
    assert house.submit(browser, page, "consent-form", decision="maybe").status_code == 400
    assert "code" in returned(house.submit(browser, page, "consent-form", decision="approve"))


def test_the_login_page_is_only_for_the_browser_that_began(house: House) -> None:
    location = house.authorize(house.browser()).headers["Location"]
    page = house.get(house.browser(), location)
    assert (page.status_code, Page(page.text).texts["error-code"]) == (403, "AUTH-002")


def test_one_login_cannot_ask_for_the_card_without_end(house: House) -> None:
    browser = house.browser()
    location = house.authorize(browser).headers["Location"]
    statuses = [house.get(browser, location).status_code for _ in range(21)]
    assert statuses == [200] * 20 + [410]
