"""When the card is gone: recovery codes narrow and never open, and a stopped account is refused everywhere (R2)."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from broker.accounts.account import State
from broker.flows.recovery import WRONG_IN_ONE_BROWSER
from broker.ids import AccountID
from tests.broker.web.house import House, Page
from tests.broker.web.my_page import add_service, code_of, open_page, press
from tests.broker.web.test_rules import rows
from tests.broker.web.test_web_me import ALL, log_in, refresh, userinfo


def sheet(house: House, browser: FlaskClient) -> list[str]:
    open_page(house, browser, place="recovery")
    page = press(house, browser, "/me/recovery-codes", "recovery-form")
    return Page(page.text).texts["codes"].split()


def use(house: House, code: str, act: str = "stop", browser: FlaskClient | None = None) -> TestResponse:
    return press(house, browser or house.browser(), "/recovery", "recovery-form", code=code, act=act)


def test_codes_are_made_with_a_card_that_was_read_just_now_and_shown_once(house: House) -> None:
    browser = house.browser()
    codes = sheet(house, browser)
    assert len(codes) == len(set(codes)) == 8
    assert "コード：8個" in house.get(browser, "/me/recovery-codes").text
    for file in house.database.parent.iterdir():
        stored = file.read_bytes()
        assert not [code for code in codes if code.encode() in stored or code.replace("-", "").encode() in stored]
    house.clock.step(minutes=5)
    assert "me-login" in Page(house.get(browser, "/me/recovery-codes").text).forms


def test_a_code_stops_the_account_and_nothing_of_it_works_any_more(house: House) -> None:
    add_service(house)
    at_service = house.browser()
    tokens = log_in(house, at_service, "language")
    code = sheet(house, house.browser())[0]
    done = use(house, code.lower().replace("-", " "))
    assert "recovery-done" in Page(done.text).texts
    assert userinfo(house, tokens["access_token"])[0] == 401
    assert refresh(house, tokens["refresh_token"])[0] == 400
    assert "me-login" in Page(house.get(at_service, "/me").text).forms
    silent = house.authorize(at_service, client_id="curious", scope=ALL, prompt="none")
    assert "login_required" in silent.headers["Location"]
    refused = house.consent_page(house.browser(), client_id="curious", scope=ALL)
    assert code_of(refused) == "AUTH-080"
    assert rows(house, "SELECT kind, result FROM activities ORDER BY id DESC LIMIT 1") == [("login", "refused")]
    assert "back-to-service" in refused.text
    again = use(house, code)  # it was used
    assert (again.status_code, "error-text" in Page(again.text).texts) == (400, True)


def test_a_code_of_a_login_that_was_under_way_brings_no_token_once_the_account_is_stopped(house: House) -> None:
    code = house.login(house.browser())["code"]
    [(account,)] = rows(house, "SELECT account FROM accounts")
    with house.ports.store.transaction() as tx:
        tx.standings.stop(AccountID(str(account)), now=house.clock())  # as if it had happened beside the login
    refused = house.token(code)
    assert (refused.status_code, refused.get_json()["error"]) == (400, "invalid_grant")


def test_the_way_back_from_a_stopped_account_leads_to_the_service(house: House) -> None:
    code = sheet(house, house.browser())[0]
    use(house, code)
    browser = house.browser()
    refused = house.consent_page(browser)
    back = house.submit(browser, refused, "cancel-form")
    assert "error=access_denied" in Page(back.text).links["continue-link"]


def test_a_code_withdraws_everything_or_ends_the_logins(house: House) -> None:
    add_service(house)
    tokens = log_in(house, house.browser())
    codes = sheet(house, house.browser())
    ended = use(house, codes[0], "end_sessions")
    assert "recovery-done" in Page(ended.text).texts
    assert userinfo(house, tokens["access_token"])[0] == 401
    assert rows(house, "SELECT withdrawn_at FROM consents") == [(None,)]
    use(house, codes[1], "withdraw_all")
    assert rows(house, "SELECT count(*) FROM consents WHERE withdrawn_at IS NULL") == [(0,)]
    with house.ports.store.transaction() as tx:
        [(account,)] = rows(house, "SELECT account FROM accounts")
        assert tx.standings.state(AccountID(str(account))) is State.OPEN


def test_wrong_codes_are_counted_and_keep_what_was_typed(house: House) -> None:
    browser = house.browser()
    for _ in range(WRONG_IN_ONE_BROWSER.limit):
        wrong = use(house, "BBBB-BBBB-BBBB-BBBB", "end_sessions", browser)
        assert wrong.status_code == 400
        assert Page(wrong.text).forms["recovery-form"]["fields"]["code"] == "BBBB-BBBB-BBBB-BBBB"
    good = sheet(house, house.browser())[0]
    refused = use(house, good, browser=browser)
    assert code_of(refused) == "BROKER-021"
    assert "recovery-done" in Page(use(house, good).text).texts  # another browser


@pytest.mark.parametrize("typed", ["<script>alert(1)</script>", "あ" * 16, "\u202eBBBB", "' OR 1=1 --"])
def test_what_is_no_code_is_refused_and_shown_as_text(house: House, typed: str) -> None:
    refused = use(house, typed)
    assert refused.status_code == 400
    assert "<script" not in refused.text
    assert "error-text" in Page(refused.text).texts


def test_the_form_of_another_browser_is_refused(house: House) -> None:
    page = house.get(house.browser(), "/recovery")
    stranger = house.browser()
    house.get(stranger, "/recovery")
    refused = house.submit(stranger, page, "recovery-form", code="x", act="stop")
    assert code_of(refused) == "BROKER-009"


def test_a_first_login_says_what_a_new_card_means(house: House) -> None:
    first = house.consent_page(house.browser())
    assert "first-login" in Page(first.text).texts
    house.clock.step(seconds=1)
    again = house.consent_page(house.browser(), prompt="consent")
    assert "first-login" not in Page(again.text).texts
    assert "new-card" in Page(house.get(house.browser(), "/lost-card").text).texts
