"""A television without a keyboard: the device flow from its first request to its tokens, and everything refused."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import jwt
import pytest
from flask.testing import FlaskClient
from sqlalchemy import create_engine, text
from werkzeug.test import TestResponse

from broker.flows import device
from broker.flows.device import WRONG_CODES, WRONG_FROM_ADDRESS, WRONG_IN_ONE_BROWSER, WRONG_NUMBERS
from broker.flows.rate import Rate
from broker.letters import ALPHABET
from broker.oidc.client import AuthMethod, GrantType, SecurityProfile
from tests.broker.web.house import BANK, ISSUER, House, Page
from tests.broker.web.program import Program, register

DEVICE_CODE = GrantType.DEVICE_CODE.value


@pytest.fixture
def television(house: House) -> Program:
    """A public native client."""
    return register(
        house,
        "television",
        name="見本テレビ",
        application_type="native",
        auth_method=AuthMethod.NONE,
        redirect_uris=(),
        client_uri="https://tv.example/",
        grant_types=frozenset({GrantType.DEVICE_CODE}),
    )


def ask(program: Program, **form: Any) -> TestResponse:
    values: dict[str, Any] = {"client_id": program.client.client_id, "scope": "openid"} | form
    return program.post("/device_authorization", authenticated=not program.client.public, **values)


def begun(program: Program) -> dict[str, Any]:
    answer = ask(program)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.get_json()
    return body


def poll(program: Program, device_code: str | None, **form: Any) -> TestResponse:
    values: dict[str, Any] = {"client_id": program.client.client_id, "grant_type": DEVICE_CODE} | form
    return program.post("/token", authenticated=not program.client.public, device_code=device_code, **values)


def refused(answer: TestResponse, error: str, status: int = 400) -> None:
    assert (answer.status_code, answer.get_json()["error"]) == (status, error), answer.text
    assert answer.headers["Cache-Control"] == "no-store"


def enter(house: House, browser: FlaskClient, user_code: str) -> TestResponse:
    """Type a code on the page."""
    return house.submit(browser, house.get(browser, "/device"), "device-form", user_code=user_code)


def confirm(house: House, browser: FlaskClient, user_code: str) -> TestResponse:
    """Say that the device is one's own; the login page."""
    page = enter(house, browser, user_code)
    return house.get(
        browser, house.submit(browser, page, "device-confirm-form", decision="continue").headers["Location"]
    )


def consent(house: House, browser: FlaskClient, user_code: str, resident: str = "hanako") -> TestResponse:
    return house.get(browser, house.answer(confirm(house, browser, user_code), resident).headers["Location"])


def approve(house: House, user_code: str, resident: str = "hanako") -> TestResponse:
    browser = house.browser()
    return house.submit(browser, consent(house, browser, user_code, resident), "consent-form", decision="approve")


def rows(house: House, statement: str) -> list[Any]:
    engine = create_engine(f"sqlite:///{house.database}")
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(statement))]
    engine.dispose()
    return found


def test_a_television_gets_tokens_after_the_resident_approved(house: House, television: Program) -> None:
    answer = ask(television)
    body = answer.get_json()
    assert answer.headers["Cache-Control"] == "no-store"
    assert body["verification_uri"] == f"{ISSUER}/device"
    assert body["verification_uri_complete"] == f"{ISSUER}/device?user_code={body['user_code'][:9]}"
    assert (body["expires_in"], body["interval"]) == (300, 5)
    assert len(body["device_code"]) == 43
    first, second, number = body["user_code"].split("-")
    assert (len(first), len(second), len(number)) == (4, 4, 2)
    assert set(first + second) <= set(ALPHABET)
    assert 10 <= int(number) <= 99
    refused(poll(television, body["device_code"]), "authorization_pending")
    page = approve(house, body["user_code"])
    assert page.status_code == 200
    assert "elsewhere-title" in Page(page.text).texts
    assert "Refresh" not in page.headers
    house.clock.step(seconds=5)
    tokens = poll(television, body["device_code"])
    assert tokens.status_code == 200, tokens.text
    claims = jwt.decode(tokens.get_json()["id_token"], options={"verify_signature": False})
    assert claims["aud"] == "television"
    assert claims["acr"] == "aal2"
    assert claims["amr"] == ["hwk", "pin", "sc", "mfa"]
    assert claims["auth_time"] <= claims["iat"]
    assert not {"sid", "nonce"} & claims.keys()
    told = television.userinfo(tokens.get_json()["access_token"])
    assert told.get_json()["sub"] == claims["sub"]


def test_a_television_stays_logged_in_where_that_was_agreed_to(house: House) -> None:
    box = register(
        house,
        "box",
        application_type="native",
        auth_method=AuthMethod.NONE,
        redirect_uris=(),
        scope=frozenset({"openid", "offline_access"}),
        grant_types=frozenset({GrantType.DEVICE_CODE, GrantType.REFRESH_TOKEN}),
    )
    body = ask(box, scope="openid offline_access").get_json()
    approve(house, body["user_code"])
    first = poll(box, body["device_code"]).get_json()
    house.clock.step(hours=1)
    form = {"client_id": "box", "grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    answer = box.post("/token", authenticated=False, **form)
    assert answer.status_code == 200, answer.text
    claims = [
        jwt.decode(token["id_token"], options={"verify_signature": False}) for token in (first, answer.get_json())
    ]
    assert claims[0]["sub"] == claims[1]["sub"]
    assert claims[0]["auth_time"] == claims[1]["auth_time"]
    assert claims[1]["acr"] == "aal2"


def test_a_television_stays_logged_in_for_thirty_days_and_no_longer(house: House) -> None:
    box = register(
        house,
        "box",
        application_type="native",
        auth_method=AuthMethod.NONE,
        redirect_uris=(),
        scope=frozenset({"openid", "offline_access"}),
        grant_types=frozenset({GrantType.DEVICE_CODE, GrantType.REFRESH_TOKEN}),
    )
    body = ask(box, scope="openid offline_access").get_json()
    approve(house, body["user_code"])
    poll(box, body["device_code"])
    ((created, issued_until, grant_until),) = rows(
        house,
        "SELECT grants.created_at, refresh_tokens.expires_at, grants.expires_at FROM refresh_tokens JOIN grants"
        " USING (grant_id)",
    )
    assert issued_until == grant_until
    assert (datetime.fromisoformat(grant_until) - datetime.fromisoformat(created)).days == 30


def test_the_browser_that_approved_keeps_no_session(house: House, television: Program) -> None:
    browser = house.browser()
    page = consent(house, browser, begun(television)["user_code"])
    house.submit(browser, page, "consent-form", decision="approve")
    assert browser.get_cookie("jpki-broker-session", domain="localhost") is None
    assert rows(house, "SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(0,)]


def test_each_approval_asks_for_consent_again(house: House, television: Program) -> None:
    for _ in range(2):
        body = begun(television)
        page = consent(house, house.browser(), body["user_code"])
        assert {"consent-form"} <= Page(page.text).forms.keys()
        assert "elsewhere" in Page(page.text).texts
        approve(house, body["user_code"])


def test_a_device_code_brings_tokens_once_and_a_second_time_ends_them(house: House, television: Program) -> None:
    body = begun(television)
    approve(house, body["user_code"])
    token = poll(television, body["device_code"]).get_json()["access_token"]
    assert television.userinfo(token).status_code == 200
    refused(poll(television, body["device_code"]), "invalid_grant")
    assert television.userinfo(token).status_code == 401
    refused(poll(television, body["device_code"]), "invalid_grant")


def test_a_confidential_clients_repetition_is_refused_and_ends_nothing(house: House) -> None:
    box = register(house, "box", grant_types=frozenset({GrantType.DEVICE_CODE}), redirect_uris=(f"{BANK}/callback",))
    body = begun(box)
    approve(house, body["user_code"])
    token = poll(box, body["device_code"]).get_json()["access_token"]
    refused(poll(box, body["device_code"]), "invalid_grant")
    assert box.userinfo(token).status_code == 200


def test_who_asks_too_often_is_slowed_down_and_stays_so(house: House, television: Program) -> None:
    code = begun(television)["device_code"]
    refused(poll(television, code), "authorization_pending")
    house.clock.step(seconds=4)
    refused(poll(television, code), "slow_down")  # 10 s from now on
    house.clock.step(seconds=9)
    refused(poll(television, code), "slow_down")  # 15 s
    house.clock.step(seconds=15)
    refused(poll(television, code), "authorization_pending")
    house.clock.step(seconds=14)
    refused(poll(television, code), "slow_down")
    assert rows(house, "SELECT interval FROM device_codes") == [(20,)]


def test_a_code_that_was_approved_is_not_slowed_down(house: House, television: Program) -> None:
    body = begun(television)
    refused(poll(television, body["device_code"]), "authorization_pending")
    approve(house, body["user_code"])
    assert poll(television, body["device_code"]).status_code == 200


def test_a_device_code_that_ran_out_is_expired_token(house: House, television: Program) -> None:
    body = begun(television)
    house.clock.step(seconds=300)
    refused(poll(television, body["device_code"]), "expired_token")
    page = enter(house, house.browser(), body["user_code"])
    assert page.status_code == 400
    assert Page(page.text).texts["error-title"]


def test_a_code_approved_in_time_and_fetched_too_late_is_expired_token(house: House, television: Program) -> None:
    body = begun(television)
    approve(house, body["user_code"])
    house.clock.step(seconds=300)
    refused(poll(television, body["device_code"]), "expired_token")


def test_who_says_that_it_is_not_their_device_has_the_device_told(house: House, television: Program) -> None:
    body = begun(television)
    browser = house.browser()
    page = house.submit(browser, enter(house, browser, body["user_code"]), "device-confirm-form", decision="deny")
    assert "elsewhere-title" in Page(page.text).texts
    refused(poll(television, body["device_code"]), "access_denied")
    assert enter(house, house.browser(), body["user_code"]).status_code == 400


def test_who_does_not_agree_has_the_device_told(house: House, television: Program) -> None:
    body = begun(television)
    browser = house.browser()
    page = house.submit(browser, consent(house, browser, body["user_code"]), "consent-form", decision="deny")
    assert "elsewhere-title" in Page(page.text).texts
    refused(poll(television, body["device_code"]), "access_denied")


def test_who_stops_before_the_card_has_the_device_told(house: House, television: Program) -> None:
    body = begun(television)
    browser = house.browser()
    page = house.submit(browser, confirm(house, browser, body["user_code"]), "cancel-form")
    assert "elsewhere-title" in Page(page.text).texts
    refused(poll(television, body["device_code"]), "access_denied")


def test_of_two_residents_with_one_code_the_first_answer_stands(house: House, television: Program) -> None:
    body = begun(television)
    first, second = house.browser(), house.browser()
    pages = [consent(house, first, body["user_code"], "hanako"), consent(house, second, body["user_code"], "taro")]
    assert house.submit(first, pages[0], "consent-form", decision="approve").status_code == 200
    late = house.submit(second, pages[1], "consent-form", decision="approve")
    assert late.status_code == 400 or "error" in Page(late.text).texts
    tokens = poll(television, body["device_code"])
    assert tokens.status_code == 200
    assert rows(house, "SELECT count(*) FROM grants WHERE ended_at IS NULL") == [(1,)]


def test_another_client_cannot_fetch_what_was_approved(house: House, television: Program) -> None:
    body = begun(television)
    approve(house, body["user_code"])
    other = register(
        house,
        "other",
        application_type="native",
        auth_method=AuthMethod.NONE,
        redirect_uris=(),
        grant_types=frozenset({GrantType.DEVICE_CODE}),
    )
    refused(poll(other, body["device_code"]), "invalid_grant")
    assert poll(television, body["device_code"]).status_code == 200


@pytest.mark.parametrize("device_code", ["x" * 43, "\ud800", "ü", "a" * 2000])
def test_unknown_device_codes_are_invalid_grant(television: Program, device_code: str) -> None:
    refused(poll(television, device_code.encode("utf-8", "replace").decode()), "invalid_grant")


def test_a_request_without_a_device_code_is_invalid(television: Program) -> None:
    refused(poll(television, None), "invalid_request")


def test_clients_that_are_not_registered_for_it_are_refused(house: House) -> None:
    plain = register(house, "plain")
    refused(ask(plain), "unauthorized_client")
    refused(poll(plain, "x" * 43), "unauthorized_client")


def test_requests_for_a_device_are_refused_by_name(house: House, television: Program) -> None:
    refused(ask(television, scope=None), "invalid_scope")
    refused(ask(television, client_id="nobody"), "invalid_client", 401)
    assert house.browser().get("/device_authorization", base_url=ISSUER).status_code == 405


def test_a_confidential_client_proves_who_it_is_and_its_assertion_serves_once(house: House) -> None:
    box = register(house, "box", grant_types=frozenset({GrantType.DEVICE_CODE}), redirect_uris=(f"{BANK}/callback",))
    assertion = box.assertion()
    assert ask(box, client_assertion=assertion).status_code == 200
    refused(ask(box, client_assertion=assertion), "invalid_client", 401)
    refused(ask(box, client_assertion=None, client_assertion_type=None), "invalid_client", 401)


def test_tokens_of_a_strict_device_are_bound_to_its_key(house: House) -> None:
    box = register(
        house,
        "box",
        profile=SecurityProfile.FAPI2,
        dpop_bound_tokens=True,
        grant_types=frozenset({GrantType.DEVICE_CODE}),
        redirect_uris=(f"{BANK}/callback",),
    )
    body = begun(box)
    approve(house, body["user_code"])
    assert poll(box, body["device_code"]).status_code == 400  # without a proof, and nothing used up
    form = {"device_code": body["device_code"], "grant_type": DEVICE_CODE}
    tokens = box.post("/token", headers=[("DPoP", box.proof())], **form)
    assert tokens.get_json()["token_type"] == "DPoP"


def test_many_device_codes_of_one_client_are_too_many(
    house: House, television: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "STARTS", Rate(limit=2, window=device.STARTS.window))
    assert [ask(television).status_code for _ in range(3)] == [200, 200, 429]
    assert int(ask(television).headers["Retry-After"]) >= 1


# --- the page --------------------------------------------------------------------------------------------------------


def test_a_code_in_the_address_is_filled_in_and_decides_nothing(house: House, television: Program) -> None:
    body = begun(television)
    browser = house.browser()
    page = house.get(browser, body["verification_uri_complete"])
    assert Page(page.text).forms["device-form"]["fields"]["user_code"] == body["user_code"][:9]
    assert rows(house, "SELECT count(*) FROM interactions") == [(0,)]
    confirmation = house.submit(browser, page, "device-form")
    assert Page(confirmation.text).texts["shown-code"] == body["user_code"][:9]
    assert rows(house, "SELECT count(*) FROM interactions") == [(0,)]


def test_anything_else_in_the_address_is_left_out(house: House) -> None:
    page = house.get(house.browser(), "/device?user_code=%22%3E%3Cscript%3E")
    assert Page(page.text).forms["device-form"]["fields"]["user_code"] == ""
    assert "<script" not in page.text


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_page_names_the_host_of_an_unvetted_client_and_warns(house: House, language: str) -> None:
    box = register(
        house,
        "box",
        name="さくら銀行",
        vetted=False,
        application_type="native",
        auth_method=AuthMethod.NONE,
        redirect_uris=(),
        client_uri="https://box.example/",
        grant_types=frozenset({GrantType.DEVICE_CODE}),
    )
    browser = house.browser()
    typed = house.get(browser, f"/device?ui_locales={language}")
    assert Page(typed.text).lang == language
    assert "stranger-warning" in Page(typed.text).texts
    page = house.submit(browser, typed, "device-form", user_code=begun(box)["user_code"])
    told = Page(page.text)
    assert told.lang == language
    assert "box.example" in page.text
    assert "さくら銀行" not in page.text
    assert {"unvetted", "stranger-warning", "began"} <= told.texts.keys()


def scanned(house: House, browser: FlaskClient, body: dict[str, Any]) -> TestResponse:
    """The page behind the picture that was scanned."""
    return house.submit(browser, house.get(browser, body["verification_uri_complete"]), "device-form")


def test_who_scanned_the_code_types_the_number_that_only_the_screen_shows(house: House, television: Program) -> None:
    body = begun(television)
    number = body["user_code"][-2:]
    browser = house.browser()
    page = scanned(house, browser, body)
    assert number not in Page(page.text).texts["shown-code"]
    assert Page(page.text).forms["device-confirm-form"]["fields"]["number"] == ""
    wrong = house.submit(browser, page, "device-confirm-form", decision="continue", number="09")
    assert wrong.status_code == 400
    assert {"error", "number-hint"} <= Page(wrong.text).texts.keys()
    assert rows(house, "SELECT count(*) FROM interactions") == [(0,)]
    wide = number.translate({ord(digit): ord(digit) + 0xFEE0 for digit in "0123456789"})
    right = house.submit(browser, wrong, "device-confirm-form", decision="continue", number=wide)
    assert right.headers["Location"].startswith(f"{ISSUER}/login/")


@pytest.mark.parametrize("number", ["", "x1", "1", "123", "\u0967\u0968", "0x"])
def test_what_is_no_number_is_asked_for_again_and_not_counted(house: House, television: Program, number: str) -> None:
    body = begun(television)
    browser = house.browser()
    page = scanned(house, browser, body)
    for _ in range(WRONG_NUMBERS.limit):
        page = house.submit(browser, page, "device-confirm-form", decision="continue", number=number)
        assert page.status_code == 400
    refused(poll(television, body["device_code"]), "authorization_pending")


def test_the_third_wrong_number_tells_the_device_no(house: House, television: Program) -> None:
    body = begun(television)
    browser = house.browser()
    page = scanned(house, browser, body)
    for _ in range(WRONG_NUMBERS.limit - 1):
        page = house.submit(browser, page, "device-confirm-form", decision="continue", number="09")
        assert "number-hint" in Page(page.text).texts
    refused(poll(television, body["device_code"]), "authorization_pending")
    last = house.submit(browser, page, "device-confirm-form", decision="continue", number="09")
    assert last.status_code == 400
    assert "device-form" in Page(last.text).forms
    refused(poll(television, body["device_code"]), "access_denied")
    assert scanned(house, house.browser(), body).status_code == 400


def test_a_number_in_a_link_is_left_out_and_a_wrong_one_typed_is_refused(house: House, television: Program) -> None:
    body = begun(television)
    browser = house.browser()
    page = house.get(browser, f"/device?user_code={body['user_code']}")
    assert Page(page.text).forms["device-form"]["fields"]["user_code"] == body["user_code"][:9]
    typed = enter(house, browser, f"{body['user_code'][:9]}-09")
    assert typed.status_code == 400
    assert "device-form" in Page(typed.text).forms


def test_the_page_says_what_device_it_is_and_whether_it_is_near(house: House, television: Program) -> None:
    body = television.post(
        "/device_authorization",
        authenticated=False,
        client_id="television",
        scope="openid",
        device_kind="set_top_box",
        device_place="居間 <b>",
        address="2001:db8::1",
    ).get_json()
    browser = house.browser()
    told = []
    for address in ("2001:db8::ffff:1", "2001:db8:0:1::1", "127.0.0.1"):
        browser.environ_base["REMOTE_ADDR"] = address
        page = enter(house, browser, body["user_code"])
        assert "<b>" not in page.text
        told.append(Page(page.text).texts)
    assert all((texts["device-kind"], texts["device-place"]) == ("テレビにつなぐ機器", "居間 <b>") for texts in told)
    assert [texts.get("device-network") for texts in told] == ["この画面と同じ", "この画面とは別", None]
    assert ["other-network" in texts for texts in told] == [False, True, False]
    assert "2001:db8" not in str(rows(house, "SELECT device FROM device_codes"))


@pytest.mark.parametrize(
    "told",
    [
        {"device_kind": "spaceship"},
        {"device_place": "x" * 41},
        {"device_place": " "},
        {"device_place": "here\u202e"},
        {"device_place": "123456789018"},
    ],
)
def test_what_a_device_says_of_itself_is_bounded(television: Program, told: dict[str, str]) -> None:
    answer = ask(television, **told)
    assert answer.status_code == 400
    assert answer.get_json()["error"] == "invalid_request"


def test_an_address_is_bounded_however_many_cookies_it_throws_away(house: House, television: Program) -> None:
    code = begun(television)["user_code"]

    def typed(address: str, text: str) -> int:
        browser = house.browser()
        browser.environ_base["REMOTE_ADDR"] = address
        return enter(house, browser, text).status_code

    assert {typed("192.0.2.7", "BBBB-BBBB") for _ in range(WRONG_FROM_ADDRESS.limit)} == {400}
    assert typed("192.0.2.7", code) == 429
    assert typed("::ffff:192.0.2.7", code) == 429
    assert typed("192.0.2.8", code) == 200
    assert "192.0.2" not in str(rows(house, "SELECT name FROM attempts"))


def test_devices_of_one_address_begin_so_often_and_no_more(
    house: House, television: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "STARTS_FROM_ADDRESS", Rate(limit=2, window=device.STARTS_FROM_ADDRESS.window))
    server = register(house, "box", grant_types=frozenset({GrantType.DEVICE_CODE}), redirect_uris=(f"{BANK}/callback",))
    near, far = "192.0.2.7", "192.0.2.8"
    assert [ask(television, address=near).status_code for _ in range(3)] == [200, 200, 429]
    assert ask(television, address=far).status_code == 200
    assert {ask(server, address=near).status_code for _ in range(4)} == {200}


def test_a_form_of_another_origin_or_without_its_token_is_refused(house: House, television: Program) -> None:
    code = begun(television)["user_code"]
    browser = house.browser()
    page = house.get(browser, "/device")
    assert house.submit(browser, page, "device-form", user_code=code, origin="https://evil.example").status_code == 403
    assert house.submit(browser, page, "device-form", user_code=code, csrf="0" * 64).status_code == 403
    assert house.submit(house.browser(), page, "device-form", user_code=code).status_code == 403
    confirmation = house.submit(browser, page, "device-form", user_code=code)
    strange = house.submit(house.browser(), confirmation, "device-confirm-form", decision="continue")
    assert strange.status_code == 403
    assert house.submit(browser, confirmation, "device-confirm-form", decision="perhaps").status_code == 400


def test_five_wrong_codes_in_one_browser_stop_it_even_for_a_right_one(house: House, television: Program) -> None:
    code = begun(television)["user_code"]
    browser = house.browser()
    for _ in range(WRONG_IN_ONE_BROWSER.limit):
        assert enter(house, browser, "BBBB-BBBB").status_code == 400
    stopped = enter(house, browser, code)
    assert stopped.status_code == 429
    assert int(stopped.headers["Retry-After"]) > 0
    assert enter(house, house.browser(), code).status_code == 200
    house.clock.step(minutes=9, seconds=59)
    assert enter(house, browser, "BBBB-BBBB").status_code in {400, 429}


def test_what_cannot_be_a_code_is_not_counted(house: House, television: Program) -> None:
    browser = house.browser()
    for _ in range(WRONG_IN_ONE_BROWSER.limit + 1):
        assert enter(house, browser, "1234").status_code == 400
    assert enter(house, browser, begun(television)["user_code"]).status_code == 200


def test_guessing_by_everybody_together_is_bounded(house: House, television: Program) -> None:
    code = begun(television)["user_code"]
    with house.ports.store.transaction() as tx:
        for _ in range(WRONG_CODES.limit):
            tx.attempts.count_up("user-code", window=WRONG_CODES.window, now=house.clock())
    assert enter(house, house.browser(), code).status_code == 429
    house.clock.step(minutes=10)
    assert enter(house, house.browser(), begun(television)["user_code"]).status_code == 200


def test_the_story_is_in_the_audit_record(house: House, television: Program) -> None:
    body = begun(television)
    approve(house, body["user_code"])
    poll(television, body["device_code"])
    events = [event for (event,) in rows(house, "SELECT event FROM audit ORDER BY id")]
    assert events[-3:] == ["consent_given", "approved_elsewhere", "token_issued"]
    everything = "".join(str(row) for row in rows(house, "SELECT * FROM audit"))
    assert body["device_code"] not in everything
    assert body["user_code"].replace("-", "") not in everything


def test_metadata_name_the_endpoint_and_the_grant(house: House) -> None:
    document = house.browser().get("/.well-known/openid-configuration", base_url=ISSUER).get_json()
    assert document["device_authorization_endpoint"] == f"{ISSUER}/device_authorization"
    assert DEVICE_CODE in document["grant_types_supported"]
