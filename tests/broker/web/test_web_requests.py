"""What a request may ask for: parameters, prompts, people and strengths, and the suite's negative cases about them."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from sqlite3 import connect
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from broker.jpki.profile import accepted_profiles
from broker.oidc.client import GrantType
from sandbox.ca import PHONE_POLICIES
from tests.broker.web.house import BANK, ISSUER, REDIRECT_URI, House, Page, returned
from tests.broker.web.program import register

POLICIES = {kind: policy.dotted_string for kind, policy in PHONE_POLICIES.items()}


def silent(house: House, browser: FlaskClient, **changes: str | None) -> dict[str, str]:
    answer = house.authorize(browser, prompt="none", **changes)
    assert answer.status_code == 303
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


def on_a_page(answer: TestResponse) -> str:
    assert answer.status_code == 400
    assert not {"Location", "Refresh"} & set(answer.headers.keys())
    return Page(answer.text).texts["error-code"]


def id_token(house: House, code: str, **options: Any) -> tuple[str, dict[str, Any]]:
    token = house.token(code, **options).get_json()["id_token"]
    return token, jwt.decode(token, options={"verify_signature": False})


def essential(*values: str) -> str:
    return json.dumps({"id_token": {"acr": {"essential": True, "values": list(values)}}})


# --- the suite's cases -----------------------------------------------------------------------------------------------


def test_n01_without_response_type_there_is_an_error_and_never_a_code(house: House) -> None:
    told = returned(house.authorize(house.browser(), response_type=None))
    assert told["error"] == "invalid_request"
    assert "code" not in told


@pytest.mark.parametrize("uri", ["https://evil.example/callback", f"{BANK}/callback2", "urn:ietf:wg:oauth:2.0:oob"])
def test_n02_an_unregistered_redirect_uri_ends_on_a_page(house: House, uri: str) -> None:
    assert on_a_page(house.authorize(house.browser(), redirect_uri=uri)) == "OAUTH-003"


def test_n03_a_redirect_uri_must_be_sent_though_two_are_registered(house: House) -> None:
    assert on_a_page(house.authorize(house.browser(), redirect_uri=None)) == "OAUTH-003"


def test_n04_another_query_than_the_registered_one_ends_on_a_page(house: House) -> None:
    assert on_a_page(house.authorize(house.browser(), redirect_uri=f"{BANK}/other?x=2")) == "OAUTH-003"


def test_n05_an_added_query_ends_on_a_page(house: House) -> None:
    assert on_a_page(house.authorize(house.browser(), redirect_uri=f"{REDIRECT_URI}?foo=bar")) == "OAUTH-003"


def test_n09_prompt_none_without_a_session_is_login_required(house: House) -> None:
    told = silent(house, house.browser())
    assert (told["error"], told["state"]) == ("login_required", "a-state")
    assert "code" not in told


def test_n10_prompt_login_shows_the_card_again_and_auth_time_is_later(house: House) -> None:
    browser = house.browser()
    _, first = id_token(house, house.login(browser)["code"])
    house.clock.step(seconds=2)
    answer = house.authorize(browser, prompt="login")
    assert answer.headers["Location"].startswith(f"{ISSUER}/login/")
    _, second = id_token(house, house.login(browser, prompt="login")["code"])
    assert second["auth_time"] > first["auth_time"]


@pytest.mark.parametrize("max_age", ["0", "1"])
def test_n11_a_small_max_age_shows_the_card_again(house: House, max_age: str) -> None:
    browser = house.browser()
    _, first = id_token(house, house.login(browser)["code"])
    house.clock.step(seconds=2)
    assert silent(house, browser, max_age=max_age)["error"] == "login_required"
    _, second = id_token(house, house.login(browser, max_age=max_age)["code"])
    assert second["auth_time"] > first["auth_time"]


def test_n12_an_unknown_parameter_is_ignored(house: House) -> None:
    assert "code" in house.login(house.browser(), extra="foobar")


@pytest.mark.parametrize("response_type", ["code id_token", "code token", "id_token", "none", "CODE"])
def test_n48_only_the_code_is_given(house: House, response_type: str) -> None:
    told = returned(house.authorize(house.browser(), response_type=response_type))
    assert told["error"] == "unsupported_response_type"
    assert "code" not in told


# --- who may answer --------------------------------------------------------------------------------------------------


def test_an_id_token_hint_names_the_only_one_who_may_answer(house: House) -> None:
    browser = house.browser()
    hint, claims = id_token(house, house.login(browser)["code"])
    house.clock.step(minutes=10)  # an expired token still is a hint
    assert "code" in silent(house, browser, id_token_hint=hint)
    _, again = id_token(house, house.login(house.browser(), id_token_hint=hint)["code"])
    assert again["sub"] == claims["sub"]
    other = house.browser()
    house.login(other, "taro")
    assert silent(house, other, id_token_hint=hint)["error"] == "login_required"


def test_another_card_than_the_hinted_one_brings_no_code_and_no_session(house: House) -> None:
    hint, _ = id_token(house, house.login(house.browser())["code"])
    browser = house.browser()
    house.login(browser, "hanako")
    told = returned(house.consent_page(browser, "taro", id_token_hint=hint))
    assert told.keys() == {"error", "error_description", "state", "iss"}
    assert told["error"] == "login_required"
    assert silent(house, browser)["error"] == "login_required"  # a second card in a session ends it (R1)
    with closing(connect(house.database)) as database:
        last = database.execute("SELECT event, detail FROM audit ORDER BY id DESC LIMIT 1").fetchone()
        sessions = database.execute("SELECT count(*) FROM sessions WHERE ended_at IS NULL").fetchone()
    assert (last[0], json.loads(last[1])) == ("login_refused", {"error": "LoginRequired"})
    assert sessions == (1,)  # the one in which the hint was made


@pytest.mark.parametrize("hint", ["x.y.z", "e30.e30.e30", "eyJhbGciOiJub25lIn0.e30."])
def test_a_hint_that_is_not_ours_is_a_faulty_request(house: House, hint: str) -> None:
    assert returned(house.authorize(house.browser(), id_token_hint=hint))["error"] == "invalid_request"


def test_a_hint_of_another_client_is_a_faulty_request(house: House) -> None:
    hint, _ = id_token(house, house.login(house.browser())["code"])
    told = returned(house.authorize(house.browser(), client_id="clinic", id_token_hint=hint))
    assert told["error"] == "invalid_request"


def test_a_subject_in_the_claims_request_names_the_only_one_who_may_answer(house: House) -> None:
    browser = house.browser()
    hint, claims = id_token(house, house.login(browser)["code"])
    asked = json.dumps({"id_token": {"sub": {"value": claims["sub"]}}})
    nobody = json.dumps({"id_token": {"sub": {"value": "nobody"}}})
    assert "code" in silent(house, browser, claims=asked)
    assert silent(house, browser, claims=nobody)["error"] == "login_required"
    assert silent(house, browser, claims=nobody, id_token_hint=hint)["error"] == "login_required"
    assert returned(house.consent_page(house.browser(), "taro", claims=asked))["error"] == "login_required"
    assert "code" in house.login(house.browser(), claims=asked)


@pytest.mark.parametrize("claims", ["[]", "{", '{"id_token":[]}', '{"id_token":{"sub":1}}', "null", "9" * 9000])
def test_a_claims_request_of_a_wrong_shape_is_refused(house: House, claims: str) -> None:
    assert returned(house.authorize(house.browser(), claims=claims))["error"] == "invalid_request"


def test_claims_that_nobody_serves_are_passed_over(house: House) -> None:
    claims = json.dumps({"userinfo": {"email": {"essential": True}, "name": None}, "id_token": {"made_up": None}})
    _, told = id_token(house, house.login(house.browser(), claims=claims)["code"])
    assert not {"email", "name", "made_up"} & told.keys()


# --- how strongly ----------------------------------------------------------------------------------------------------


def test_an_essential_acr_is_met_by_the_card_and_by_no_session(house: House) -> None:
    browser = house.browser()
    _, told = id_token(house, house.login(browser, claims=essential("aal3", "other"))["code"])
    assert told["acr"] == "aal3"
    assert silent(house, browser, claims=essential("aal3"))["error"] == "unmet_authentication_requirements"
    assert "code" in silent(house, browser, acr_values="aal3")


def test_an_essential_acr_that_nobody_can_reach_is_refused_before_the_card(house: House) -> None:
    told = returned(house.authorize(house.browser(), claims=essential("urn:made:up")))
    assert told["error"] == "unmet_authentication_requirements"
    assert "code" in house.login(house.browser(), acr_values="urn:made:up")  # without `essential` a wish


def test_a_phone_does_not_pass_for_an_essential_card(make_house: Callable[..., House]) -> None:
    house = make_house(profiles=accepted_profiles(("plastic", "android"), {"android": POLICIES["android"]}))
    page = house.consent_page(house.browser(), "hanakoandroid", claims=essential("aal3"))
    assert returned(page)["error"] == "unmet_authentication_requirements"
    assert "code" in house.login(house.browser(), "hanako", claims=essential("aal3"))


def test_step_up_is_an_authorization_request_like_any_other(house: House) -> None:
    """RFC 9470 §4: the resource server's acr_values and max_age, brought here by its client."""
    browser = house.browser()
    house.login(browser)
    house.clock.step(minutes=3)
    _, told = id_token(house, house.login(browser, acr_values="aal3", max_age="60")["code"])
    assert told["acr"] == "aal3"
    assert house.clock().timestamp() - told["auth_time"] <= 60


def test_the_registered_max_age_holds_where_the_request_names_none(house: House) -> None:
    register(house, "hasty", default_max_age=60, default_acr_values=("aal3",))
    browser = house.browser()
    house.login(browser, client_id="hasty")
    house.clock.step(seconds=61)
    assert silent(house, browser, client_id="hasty")["error"] == "login_required"
    assert "code" in silent(house, browser, client_id="hasty", max_age="120")


# --- scopes, resources, details --------------------------------------------------------------------------------------


def test_a_scope_beyond_the_registered_ones_is_left_out(house: House) -> None:
    page = house.consent_page(house.browser(), scope="openid offline_access profile address made_up")
    assert "画面を閉じたあとの利用" not in page.text
    code = house.login(house.browser(), scope="openid offline_access profile")["code"]
    assert house.token(code).get_json()["scope"] == "openid"


def test_offline_access_is_asked_for_and_remembered(house: House) -> None:
    grants = frozenset({GrantType.AUTHORIZATION_CODE, GrantType.REFRESH_TOKEN})
    register(house, "patient", scope=frozenset({"openid", "offline_access"}), grant_types=grants)
    browser = house.browser()
    house.login(browser, client_id="patient")
    asked = {"client_id": "patient", "scope": "openid offline_access"}
    assert silent(house, browser, **asked)["error"] == "consent_required"
    page = house.consent_page(browser, **asked)
    assert "画面を閉じたあとの利用" in page.text
    assert "code" in returned(house.submit(browser, page, "consent-form", decision="approve"))
    assert "code" in silent(house, browser, **asked)


def test_resources_are_those_the_client_has(house: House) -> None:
    register(house, "calling", resources=("https://api.example/a", "https://api.example/b"))
    query = [*house.parameters(client_id="calling").items(), ("resource", "https://api.example/a")]
    for more, status in (("https://api.example/b", 303), ("https://api.example/c", 200)):
        answer = house.browser().get(f"/authorize?{urlencode([*query, ('resource', more)])}", base_url=ISSUER)
        assert answer.status_code == status
        if status == 200:
            assert returned(answer)["error"] == "invalid_target"


def test_no_details_are_served_yet_and_they_are_refused_by_name(house: House) -> None:
    told = returned(house.authorize(house.browser(), authorization_details='[{"type":"payment"}]'))
    assert told["error"] == "invalid_authorization_details"


def test_a_login_hint_is_taken_and_shown_nowhere(house: House) -> None:
    page = house.login_page(house.browser(), login_hint="somebody@example.com")
    assert page.status_code == 200
    assert "somebody@example.com" not in page.text


@pytest.mark.parametrize("prompt", ["login", "consent", "select_account", "login consent"])
def test_every_prompt_but_none_shows_the_card(house: House, prompt: str) -> None:
    assert "card-form" in Page(house.login_page(house.browser(), prompt=prompt).text).forms


def test_a_native_client_may_come_back_to_any_port(house: House) -> None:
    register(house, "desktop", application_type="native", redirect_uris=("http://127.0.0.1/cb",))
    for uri, there in (("http://127.0.0.1:51004/cb", True), ("http://127.0.0.1:51004/other", False)):
        answer = house.authorize(house.browser(), client_id="desktop", redirect_uri=uri)
        assert (answer.status_code == 303) is there


# --- how often -------------------------------------------------------------------------------------------------------


def test_logins_that_begin_are_counted_by_client_for_all_workers(make_house: Callable[..., House]) -> None:
    house = make_house(policy={"login_starts": 3})
    house.clock.now = house.clock.now.replace(second=0, microsecond=0) + timedelta(seconds=10)
    answers = [house.authorize(house.browser()) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [303, 303, 303, 429]
    assert answers[-1].headers["Retry-After"] == "50"
    assert Page(answers[-1].text).texts["error-code"] == "BROKER-021"
    assert house.authorize(house.browser(), client_id="clinic").status_code == 303
    assert silent(house, house.browser())["error"] == "login_required"
    house.clock.step(seconds=50)
    assert house.authorize(house.browser()).status_code == 303
