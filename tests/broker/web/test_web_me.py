"""The resident's own page: who may open it, what it shows, and what taking back does (R1, R2, R5, R18)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
import pytest
from flask.testing import FlaskClient

from broker.accounts.activity import Activity
from broker.ids import AccountID, ClientID
from broker.storage.activities import SQLActivities
from tests.broker.web.house import House, Page, Receivers
from tests.broker.web.my_page import LOGOUT_URI, add_service, code_of, open_page, press
from tests.broker.web.test_rules import rows

ALL = "openid offline_access language dietary_needs"


def log_in(
    house: House, browser: FlaskClient, *chosen: str, resident: str = "hanako", **changes: str
) -> dict[str, Any]:
    """A login to the service with these optional items chosen; answers its tokens."""
    page = house.consent_page(browser, resident, client_id="curious", scope=ALL, **changes)
    if "consent-form" in Page(page.text).forms:
        found = Page(page.text).forms["consent-form"]
        fields = {"csrf": found["fields"]["csrf"], **{f"item_{item}": "yes" for item in chosen}}
        page = browser.post(
            found["action"],
            data={**fields, "decision": "approve"},
            headers={"Origin": house.issuer},
            base_url=house.issuer,
        )
    code = Page(page.text).links["continue-link"].split("code=")[1].split("&")[0]
    told: dict[str, Any] = house.token(code, client="curious").get_json()
    return told


def userinfo(house: House, access_token: str) -> tuple[int, dict[str, Any]]:
    answer = house.browser().get(
        "/userinfo", headers={"Authorization": f"Bearer {access_token}"}, base_url=house.issuer
    )
    return answer.status_code, answer.get_json() or {}


def refresh(house: House, token: str) -> tuple[int, dict[str, Any]]:
    answer = house.token(None, client="curious", grant_type="refresh_token", refresh_token=token, code_verifier=None)
    return answer.status_code, answer.get_json()


def test_the_page_asks_for_the_card_and_opens_with_it(house: House) -> None:
    browser = house.browser()
    door = house.get(browser, "/me")
    assert "me-login" in Page(door.text).forms
    page = open_page(house, browser)
    assert "support-number" in Page(page.text).texts
    assert rows(house, "SELECT client_id FROM sessions") == [("my-page",)]
    assert rows(house, "SELECT count(*) FROM codes") == [(0,)]


def test_a_session_of_a_service_opens_the_page_for_fifteen_idle_minutes(house: House) -> None:
    browser = house.browser()
    house.login(browser)
    house.clock.step(minutes=14)
    assert "overview" in Page(house.get(browser, "/me").text).texts
    house.clock.step(minutes=14)
    assert "overview" in Page(house.get(browser, "/me").text).texts
    house.clock.step(minutes=15)
    assert "me-login" in Page(house.get(browser, "/me").text).forms


def test_what_holds_the_persons_own_words_needs_a_login_to_the_page(house: House) -> None:
    browser = house.browser()
    house.login(browser)
    for path in ("/me/attributes", "/me/export", "/me/delete", "/me/print", "/me/recovery-codes"):
        assert "me-login" in Page(house.get(browser, path).text).forms, path
    for path in ("/me/export/everything.json", "/me/export/uses.csv", "/me/export/consents.csv"):
        assert code_of(house.get(browser, path)) == "AUTH-081", path


def test_r1_another_card_ends_the_page_of_the_first(house: House) -> None:
    browser = house.browser()
    left_open = open_page(house, browser, "hanako")
    house.login(browser, "taro")
    refused = house.submit(browser, left_open, "end-sessions-form")
    assert code_of(refused) == "BROKER-009"  # the form of hanako's session, in taro's


def test_a_form_of_one_tab_serves_nobody_elses_session(house: House) -> None:
    mine, theirs = house.browser(), house.browser()
    page = open_page(house, mine, "hanako")
    open_page(house, theirs, "taro")
    stolen = Page(page.text).forms["end-sessions-form"]
    refused = theirs.post(
        stolen["action"], data=stolen["fields"], headers={"Origin": house.issuer}, base_url=house.issuer
    )
    assert code_of(refused) == "BROKER-009"
    assert rows(house, "SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(2,)]


def test_a_form_from_another_site_does_nothing(house: House) -> None:
    browser = house.browser()
    page = open_page(house, browser)
    refused = house.submit(browser, page, "end-sessions-form", origin="https://evil.example")
    assert code_of(refused) == "BROKER-009"
    without = Page(page.text).forms["end-sessions-form"]
    refused = browser.post(
        without["action"], data={"csrf": ""}, headers={"Origin": house.issuer}, base_url=house.issuer
    )
    assert code_of(refused) == "BROKER-009"


def test_after_leaving_a_shared_computer_the_page_is_closed(house: House) -> None:
    browser = house.browser()
    page = open_page(house, browser)
    house.submit(browser, page, "me-logout")
    assert "me-login" in Page(house.get(browser, "/me").text).forms
    again = house.submit(browser, page, "end-sessions-form")
    assert code_of(again) == "AUTH-081"


def test_optional_items_are_chosen_kept_and_not_asked_about_again(house: House) -> None:
    add_service(house)
    first = log_in(house, house.browser(), "language")
    assert set(first["scope"].split()) == {"openid", "offline_access", "language"}
    again = house.consent_page(house.browser(), client_id="curious", scope=ALL)
    assert "continue-link" in Page(again.text).links  # nothing was asked
    assert rows(house, "SELECT scope, declined FROM consents") == [("language offline_access openid", "dietary_needs")]


def test_nothing_optional_is_chosen_beforehand_and_what_was_chosen_is_shown_again(house: House) -> None:
    add_service(house)
    page = house.consent_page(house.browser(), client_id="curious", scope=ALL)
    assert " checked" not in page.text
    assert "窓口での案内" in page.text
    assert "口座を閉じるまで" in page.text
    log_in(house, house.browser(), "language")
    asked = house.consent_page(house.browser(), client_id="curious", scope=ALL, prompt="consent")
    assert asked.text.count(" checked") == 1


def test_other_words_of_the_client_ask_again(house: House) -> None:
    client = add_service(house)
    log_in(house, house.browser())
    other = replace(client.data_use[0], purpose="広告")
    with house.ports.store.transaction() as tx:
        tx.clients.change(replace(client, data_use=(other, client.data_use[1])), now=house.clock())
    page = house.consent_page(house.browser(), client_id="curious", scope=ALL)
    assert "広告" in Page(page.text).texts["main"]
    assert "consent-form" in Page(page.text).forms


def test_an_attribute_without_a_stated_purpose_is_not_served(house: House) -> None:
    add_service(house, data_use=())
    assert set(log_in(house, house.browser())["scope"].split()) == {"openid", "offline_access"}


def test_a_withdrawal_takes_effect_on_the_services_next_request(make_house: Callable[..., House]) -> None:
    receivers = Receivers()
    house = make_house(receivers=receivers)
    add_service(house)
    tokens = log_in(house, house.browser(), "language")
    assert userinfo(house, tokens["access_token"])[0] == 200
    at_home = house.browser()
    open_page(house, at_home)
    done = press(house, at_home, "/me/services", "withdraw-1")
    assert "withdrawn" in Page(done.text).texts
    assert userinfo(house, tokens["access_token"])[0] == 401
    assert refresh(house, tokens["refresh_token"]) == (
        400,
        {"error": "invalid_grant", "error_description": "unknown or ended refresh token"},
    )
    [(url, message)] = receivers.got
    told = jwt.decode(message, options={"verify_signature": False})
    subject = jwt.decode(tokens["id_token"], options={"verify_signature": False})["sub"]
    assert (url, told["sub"]) == (LOGOUT_URI, subject)
    assert "overview" in Page(house.get(at_home, "/me").text).texts  # the page itself goes on
    asked = house.consent_page(house.browser(), client_id="curious", scope=ALL)
    assert "consent-form" in Page(asked.text).forms


def test_r2_a_withdrawal_is_undone_by_the_persons_own_card_that_names_the_service(house: House) -> None:
    add_service(house)
    log_in(house, house.browser(), "language")
    browser = house.browser()
    open_page(house, browser)
    press(house, browser, "/me/services", "withdraw-1")
    begun = press(house, browser, "/me/services", "restore-1")
    login = house.get(browser, begun.headers["Location"])
    request = Page(login.text).forms["card-form"]["fields"]["request"]
    asked = jwt.decode(request, options={"verify_signature": False})
    assert (asked["tag"], asked["client_id"]) == ("JPKI-FED-CONSENT/1", "curious")
    assert json.loads(asked["action"]) == {"release": ["language", "offline_access"]}
    another = house.answer(login, "taro")
    refused = house.get(browser, another.headers["Location"])
    assert "error=login_required" in Page(refused.text).links["continue-link"]
    assert rows(house, "SELECT count(*) FROM consents WHERE withdrawn_at IS NULL") == [(0,)]
    open_page(house, browser)
    begun = press(house, browser, "/me/services", "restore-1")
    answered = house.answer(house.get(browser, begun.headers["Location"]))
    landed = house.get(browser, answered.headers["Location"])
    assert landed.headers["Location"].endswith("/me/services")
    assert "withdraw-1" in Page(house.get(browser, "/me/services").text).forms
    assert rows(house, "SELECT event FROM audit WHERE event LIKE 'consent_%' ORDER BY rowid") == [
        ("consent_given",),
        ("consent_withdrawn",),
        ("consent_restored",),
    ]
    again = house.consent_page(house.browser(), client_id="curious", scope=ALL)
    assert "continue-link" in Page(again.text).links


def test_a_withdrawal_is_not_undone_without_a_page_of_the_person(house: House) -> None:
    add_service(house)
    log_in(house, house.browser())
    stranger = house.browser()
    page = open_page(house, stranger, "taro")
    csrf = Page(page.text).forms["end-sessions-form"]["fields"]["csrf"]
    refused = stranger.post(
        "/me/services/restore",
        data={"csrf": csrf, "client_id": "curious"},
        headers={"Origin": house.issuer},
        base_url=house.issuer,
    )
    assert code_of(refused) == "BROKER-031"


def test_withdrawing_with_the_services_own_session_closes_the_page_too(house: House) -> None:
    add_service(house)
    browser = house.browser()
    log_in(house, browser)
    done = press(house, browser, "/me/services", "withdraw-1")
    assert "logged-out-too" in Page(done.text).texts
    assert "me-login" in Page(house.get(browser, "/me").text).forms


def test_a_service_that_is_not_there_cannot_be_withdrawn(house: House) -> None:
    browser = house.browser()
    open_page(house, browser)
    csrf = Page(house.get(browser, "/me").text).forms["end-sessions-form"]["fields"]["csrf"]
    for name in ("bank", "nobody", ""):
        refused = browser.post(
            "/me/services/withdraw",
            data={"csrf": csrf, "client_id": name},
            headers={"Origin": house.issuer},
            base_url=house.issuer,
        )
        assert code_of(refused) == "BROKER-031", name


def test_r18_every_use_is_shown_with_what_how_and_result(house: House) -> None:
    add_service(house)
    browser = house.browser()
    open_page(house, browser, place="attributes")
    press(house, browser, "/me/attributes", "form-language", language="en", decision="save")
    tokens = log_in(house, house.browser(), "language")
    userinfo(house, tokens["access_token"])
    userinfo(house, tokens["access_token"])
    refresh(house, tokens["refresh_token"])
    refresh(house, tokens["refresh_token"])
    text = Page(house.get(browser, "/me/history").text).texts["uses"]
    for words in ("ログイン", "同意の確認", "情報の受け取り", "ログインの継続", "2回", "もてなし旅館", "使いたい言語"):
        assert words in text, words
    kinds = rows(house, "SELECT kind, how, times FROM activities ORDER BY id")
    assert kinds == [
        ("login", "card", 1),
        ("attributes", "session", 1),
        ("login", "card", 1),
        ("consent", "card", 1),
        ("reading", "service", 1),
        ("refresh", "service", 2),
    ]


def test_registered_attributes_reach_the_service_that_was_allowed_them_and_no_other(house: House) -> None:
    add_service(house)
    browser = house.browser()
    open_page(house, browser, place="attributes")
    press(house, browser, "/me/attributes", "form-language", language="vi", decision="save")
    press(house, browser, "/me/attributes", "form-dietary_needs", dietary_needs="卵 <b>なし</b>", decision="save")
    chosen = log_in(house, house.browser(), "language")
    assert userinfo(house, chosen["access_token"])[1].keys() == {"sub", "locale"}
    assert userinfo(house, chosen["access_token"])[1]["locale"] == "vi"
    told = house.login(house.browser())
    bank = house.token(told["code"]).get_json()
    assert userinfo(house, bank["access_token"])[1].keys() == {"sub"}
    press(house, browser, "/me/attributes", "form-language", decision="remove")
    assert userinfo(house, chosen["access_token"])[1].keys() == {"sub"}
    assert "卵 &lt;b&gt;なし" in house.get(browser, "/me/attributes").text


def test_attributes_are_sealed_at_rest(house: House) -> None:
    browser = house.browser()
    open_page(house, browser, place="attributes")
    press(house, browser, "/me/attributes", "form-dietary_needs", dietary_needs="そばアレルギー", decision="save")
    [(name, sealed)] = rows(house, "SELECT name, sealed FROM attributes")
    assert name == "dietary_needs"
    assert isinstance(sealed, bytes)
    for file in house.database.parent.iterdir():
        assert "そばアレルギー".encode() not in file.read_bytes(), file.name


@pytest.mark.parametrize(
    ("form", "fields", "wrong"),
    [
        ("language", {"language": "xx"}, "language"),
        ("language", {"language": ""}, "language"),
        ("called", {"called": "あ" * 41}, "called"),
        ("called", {"called": "a\u202eb"}, "called"),
        ("dietary_needs", {"dietary_needs": "番号は1234 5678 9018です"}, "dietary_needs"),
        ("emergency_contact", {"emergency_name": "", "emergency_phone": "090-1234-5678"}, "emergency_name"),
        ("emergency_contact", {"emergency_name": "太郎", "emergency_phone": "<script>"}, "emergency_phone"),
    ],
)
def test_a_box_that_cannot_be_taken_is_named_and_keeps_what_was_typed(
    house: House, form: str, fields: dict[str, str], wrong: str
) -> None:
    browser = house.browser()
    open_page(house, browser, place="attributes")
    refused = press(house, browser, "/me/attributes", f"form-{form}", decision="save", **fields)
    seen = Page(refused.text)
    assert refused.status_code == 400
    assert seen.links["error-link"] == f"#{wrong}"
    assert f"{wrong}-error" in seen.texts
    for name, value in fields.items():
        if value != "xx":
            assert seen.forms[f"form-{form}"]["fields"].get(name, value) == value
    assert rows(house, "SELECT count(*) FROM attributes") == [(0,)]


def test_a_use_that_was_not_mine_ends_it_and_alarms_the_operator(house: House) -> None:
    add_service(house)
    stranger = house.browser()
    tokens = log_in(house, stranger)
    mine = house.browser()
    open_page(house, mine)
    [(number,)] = rows(house, "SELECT id FROM activities WHERE kind = 'login' AND client_id = 'curious'")
    done = press(house, mine, f"/me/history/{number}/report", "report-form")
    assert "reported" in Page(done.text).texts
    assert userinfo(house, tokens["access_token"])[0] == 401
    assert "me-login" in Page(house.get(stranger, "/me").text).forms
    assert rows(house, "SELECT client_id, reference FROM audit WHERE event = 'use_disowned'") == [
        ("curious", jwt.decode(tokens["id_token"], options={"verify_signature": False})["sid"])
    ]
    again = press_again(house, mine, int(str(number)))
    assert again == "BROKER-031"


def press_again(house: House, browser: FlaskClient, number: int) -> str:
    csrf = Page(house.get(browser, "/me").text).forms["end-sessions-form"]["fields"]["csrf"]
    return code_of(
        browser.post(
            f"/me/history/{number}/report",
            data={"csrf": csrf},
            headers={"Origin": house.issuer},
            base_url=house.issuer,
        )
    )


def test_nobody_reports_or_sees_the_use_of_another(house: House) -> None:
    house.login(house.browser(), "hanako")
    browser = house.browser()
    open_page(house, browser, "taro")
    [(number,)] = rows(house, "SELECT id FROM activities WHERE kind = 'consent'")
    assert code_of(house.get(browser, f"/me/history/{number}/report")) == "BROKER-031"
    assert press_again(house, browser, int(str(number))) == "BROKER-031"


def test_r5_a_row_of_another_account_is_never_shown(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.login(house.browser(), "hanako")
    browser = house.browser()
    open_page(house, browser, "taro")
    [(other,)] = rows(house, "SELECT account FROM activities ORDER BY id LIMIT 1")
    page = SQLActivities.page

    def crossed(self: SQLActivities, _account: AccountID, **options: Any) -> tuple[Activity, ...]:
        return page(self, AccountID(str(other)), **options)

    monkeypatch.setattr(SQLActivities, "page", crossed)
    refused = house.get(browser, "/me/history")
    assert code_of(refused) == "BROKER-030"
    assert "さくら銀行" not in refused.text


def test_the_history_goes_on_page_by_page(house: House) -> None:
    for _ in range(11):
        house.login(house.browser(), prompt="consent")
    browser = house.browser()
    open_page(house, browser)
    first = Page(house.get(browser, "/me/history").text)
    second = Page(house.get(browser, first.links["older"]).text)
    seen = [name for page in (first, second) for name in page.texts if name.startswith("use-")]
    assert len(seen) == len(set(seen)) == rows(house, "SELECT count(*) FROM activities")[0][0]
    assert "older" not in second.links
    for wrong in ("x", "-1", "9" * 30):
        assert code_of(house.get(browser, f"/me/history?before={wrong}")) == "BROKER-031"


def test_the_export_holds_everything_and_no_other_person(house: House) -> None:
    add_service(house)
    browser = house.browser()
    open_page(house, browser, place="attributes")
    press(house, browser, "/me/attributes", "form-called", called="=HYPERLINK(1)", decision="save")
    log_in(house, house.browser(), "language")
    log_in(house, house.browser(), resident="taro")
    answer = house.get(browser, "/me/export/everything.json")
    told = json.loads(answer.data)
    assert "attachment" in answer.headers["Content-Disposition"]
    assert [one["client_id"] for one in told["services"]] == ["curious"]
    assert told["services"][0]["left_out"] == ["dietary_needs"]
    assert told["attributes"]["called"]["values"] == {"called": "=HYPERLINK(1)"}
    assert [one["kind"] for one in told["uses"]] == ["consent", "login", "attributes", "login"]
    assert rows(house, "SELECT count(*) FROM audit WHERE event = 'account_exported'") == [(1,)]
    [(account,)] = rows(house, "SELECT DISTINCT account FROM attributes")
    assert str(account) not in answer.text


def test_tables_begin_with_a_bom_and_hold_no_formula(house: House) -> None:
    add_service(house)
    with house.ports.store.transaction() as tx:
        client = tx.clients.get(ClientID("curious"))
        assert client is not None
        tx.clients.change(replace(client, name="=cmd|' /C calc'!A0"), now=house.clock())
    browser = house.browser()
    open_page(house, browser)
    log_in(house, house.browser())
    for name in ("uses", "consents"):
        answer = house.get(browser, f"/me/export/{name}.csv")
        assert answer.data.startswith(b"\xef\xbb\xbf")
        assert "\"'=cmd|" in answer.text
        assert '"=' not in answer.text


def test_a_deleted_account_is_gone_but_for_the_pseudonyms_that_the_same_card_finds_again(house: House) -> None:
    add_service(house)
    first = log_in(house, house.browser(), "language")
    browser = house.browser()
    open_page(house, browser, place="delete")
    press(house, browser, "/me/attributes", "form-called", called="花ちゃん", decision="save")
    missing = press(house, browser, "/me/delete", "delete-form", understood="")
    assert (missing.status_code, "error-link" in Page(missing.text).links) == (400, True)
    done = press(house, browser, "/me/delete", "delete-form", understood="yes")
    assert "deleted" in Page(done.text).texts
    assert userinfo(house, first["access_token"])[0] == 401
    assert "me-login" in Page(house.get(browser, "/me").text).forms
    for table in ("consents", "consent_history", "activities", "attributes", "support_numbers"):
        assert rows(house, f"SELECT count(*) FROM {table}") == [(0,)], table  # noqa: S608 -- our own names
    assert rows(house, "SELECT serial_sealed FROM credentials") == [(b"",)]
    house.clock.step(seconds=1)
    again = log_in(house, house.browser())
    subjects = {jwt.decode(one["id_token"], options={"verify_signature": False})["sub"] for one in (first, again)}
    assert len(subjects) == 1
    assert rows(house, "SELECT count(*) FROM accounts") == [(1,)]
    assert rows(house, "SELECT event FROM audit WHERE event LIKE 'account_%'") == [
        ("account_deleted",),
        ("account_revived",),
    ]


def test_nobody_asks_for_codes_in_the_name_of_the_page(house: House) -> None:
    open_page(house, house.browser())
    refused = house.authorize(house.browser(), client_id="my-page", redirect_uri=f"{house.issuer}/me")
    assert refused.status_code == 400
    assert "code=" not in refused.text
