"""What clients may and may not do: the negative cases of the official suite that the spine touches, and our own."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from broker.flows.ports import JWKS_MAX_AGE
from tests.broker.web.house import BANK, ISSUER, REDIRECT_URI, House, Page, returned

HOSTILE_SUFFIXES = (
    "?", "?x=1", "#", "#fragment", "/", "/..", "/../callback", "//", "%2f", "%00",
    "%0d%0aLocation:%20https://evil.example",
    "?redirect=https://evil.example", "@evil.example", ";x", "\\", "\\@evil.example", " ", "%20", "\t", "\n", "\r\n",
    "\u2028", "\u202e", "。", "/%2e%2e", "/./", "?%3f", "&x=1", "?code=stolen", "?state=x", "*", "a", "A", "%61", "'",
    '"', "<", ">", "`", "|",
)  # fmt: skip
HOSTILE_HOSTS = (
    "http://127.0.0.2:8001@evil.example/callback", "http://evil.example@127.0.0.2:8001/callback",
    "http://127.0.0.2:80010/callback", "http://127.0.0.2/callback", "http://127.0.0.2:8001.evil.example/callback",
    "https://127.0.0.2:8001/callback", "HTTP://127.0.0.2:8001/callback", "http://127.0.0.2:8001/Callback",
    "http://127.0.0.2:08001/callback", "http://127.1:8001/callback", "http://2130706434:8001/callback",
    "http://0x7f000002:8001/callback", "http://[::ffff:127.0.0.2]:8001/callback", "http://127.0.0.2:8001//callback",
    "http://127.0.0.2:8001/./callback", "http://127.0.0.2:8001/x/../callback", "http://127.0.0.2:8001\\callback",
    "http:/127.0.0.2:8001/callback", "http:127.0.0.2:8001/callback", "//127.0.0.2:8001/callback", "//evil.example",
    "/callback", "callback", "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "about:blank",
    "https://evil.example/callback", "https://evil.example/?http://127.0.0.2:8001/callback", "http://", "http:///callback",
    "https://evil.example#http://127.0.0.2:8001/callback", "http://127.0.0.2:8001%2fcallback", "ftp://127.0.0.2:8001/callback",
    "http://127.0.0.2:8001%00.evil.example/callback", "http://127。0。0。2:8001/callback", "http://①27.0.0.2:8001/callback",
    "http://127.0.0.2:8001/callback http://evil.example", "http://127.0.0.2:8001/callback,https://evil.example",
    "\x00http://127.0.0.2:8001/callback", " http://127.0.0.2:8001/callback", "http://127.0.0.2:8001/callback\x00",
)  # fmt: skip
HOSTILE_URIS = tuple(
    dict.fromkeys(
        [base + suffix for base in (REDIRECT_URI, f"{BANK}/other?x=1", BANK, f"{BANK}/") for suffix in HOSTILE_SUFFIXES]
        + list(HOSTILE_HOSTS)
    )
)


def test_the_hostile_addresses_are_two_hundred() -> None:
    assert len(HOSTILE_URIS) >= 200
    assert REDIRECT_URI not in HOSTILE_URIS


@pytest.mark.parametrize("endpoint", ["success", "error", "none"])
def test_no_hostile_redirect_uri_is_ever_redirected_to(house: House, endpoint: str) -> None:
    kinds: dict[str, dict[str, str | None]] = {"success": {}, "error": {"scope": None}, "none": {"prompt": "none"}}
    changes = kinds[endpoint]
    browser = house.browser()
    for uri in HOSTILE_URIS:
        answer = house.authorize(browser, redirect_uri=uri, **changes)
        assert answer.status_code == 400, uri
        assert not {"Location", "Refresh"} & set(answer.headers.keys()), uri
        assert not any("evil.example" in address for address in Page(answer.text).addresses), uri
        assert Page(answer.text).texts["error-code"] in {"OAUTH-002", "OAUTH-003"}, uri


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "profile"}, "invalid_scope"),
        ({"scope": "openid  email"}, "invalid_scope"),
        ({"scope": 'openid "x"'}, "invalid_scope"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"request": "eyJhbGciOiJub25lIn0.e30."}, "request_not_supported"),
        ({"request_uri": "https://client.example/request"}, "request_uri_not_supported"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "nonsense"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"nonce": "日本"}, "invalid_request"),
        ({"state": "a\nb"}, "invalid_request"),
    ],
)
def test_a_faulty_request_of_a_known_client_is_told_to_it(
    house: House, changes: dict[str, str | None], error: str
) -> None:
    answer = house.authorize(house.browser(), **changes)
    silent_request = "none" in (changes.get("prompt") or "")
    told = dict(parse_qsl(urlsplit(answer.headers["Location"]).query)) if silent_request else returned(answer)
    assert told["error"] == error
    assert "code" not in told
    assert told["iss"] == ISSUER
    assert told.get("state") == changes.get("state", "a-state")


@pytest.mark.parametrize("changes", [{"redirect_uri": None}, {"client_id": None}, {"client_id": "nobody"}])
def test_without_a_proved_client_and_address_there_is_a_page_and_no_redirect(
    house: House, changes: dict[str, str | None]
) -> None:
    answer = house.authorize(house.browser(), **changes)
    assert (answer.status_code, Page(answer.text).texts["error-code"]) == (400, "OAUTH-003")
    assert not {"Location", "Refresh"} & set(answer.headers.keys())


@pytest.mark.parametrize("twice", ["client_id", "redirect_uri", "state", "scope", "extra"])
def test_a_parameter_that_stands_twice_is_refused_on_a_page(house: House, twice: str) -> None:
    query = urlencode([*house.parameters(extra="1").items(), (twice, "second")])
    answer = house.browser().get(f"/authorize?{query}", base_url=ISSUER)
    assert (answer.status_code, Page(answer.text).texts["error-code"]) == (400, "OAUTH-002")


@pytest.mark.parametrize(
    "query", ["client_id=%ff", "client_id=%00", "&".join(f"p{i}=1" for i in range(101)), "é", "a" * 3000]
)
def test_a_query_that_is_no_query_is_refused_on_a_page(house: House, query: str) -> None:
    answer = house.browser().get(f"/authorize?{query}", base_url=ISSUER)
    assert answer.status_code == 400
    assert Page(answer.text).texts["error-code"] in {"OAUTH-002", "OAUTH-003"}


def test_unknown_parameters_are_ignored_and_post_works_as_get(house: House) -> None:
    answer = house.browser().post("/authorize", data=house.parameters(extra="foobar"), base_url=ISSUER)
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith(f"{ISSUER}/login/")


# --- prompt=none -----------------------------------------------------------------------------------------------------


def silent(house: House, browser: FlaskClient, **changes: str | None) -> dict[str, str]:
    answer = house.authorize(browser, prompt="none", **changes)
    assert answer.status_code == 303
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


def test_prompt_none_without_a_session_is_login_required(house: House) -> None:
    told = silent(house, house.browser())
    assert told.keys() == {"error", "error_description", "state", "iss"}
    assert told["error"] == "login_required"


def test_prompt_none_on_a_session_keeps_auth_time_and_claims_no_card(house: House) -> None:
    browser = house.browser()
    first = house.token(house.login(browser)["code"]).get_json()
    house.clock.step(minutes=5)
    second = house.token(silent(house, browser)["code"]).get_json()
    old, new = (jwt.decode(tokens["id_token"], options={"verify_signature": False}) for tokens in (first, second))
    assert (old["sub"], old["auth_time"]) == (new["sub"], new["auth_time"])
    assert old["acr"] == "aal3"
    assert not {"acr", "amr"} & new.keys()


def test_a_session_serves_no_other_client_no_longer_than_max_age_and_not_after_idling(house: House) -> None:
    browser = house.browser()
    house.login(browser)
    assert silent(house, browser, client_id="clinic")["error"] == "login_required"
    house.clock.step(seconds=2)
    assert silent(house, browser, max_age="1")["error"] == "login_required"
    assert "code" in silent(house, browser, max_age="60")
    house.clock.step(minutes=16)
    assert silent(house, browser)["error"] == "login_required"


def test_prompt_consent_asks_again(house: House) -> None:
    house.login(house.browser())
    page = house.consent_page(house.browser(), prompt="consent")
    assert "consent-form" in Page(page.text).forms


# --- token endpoint --------------------------------------------------------------------------------------------------


def refused(answer: TestResponse, status: int, *errors: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.get_json()["error"] in errors
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.mimetype == "application/json"
    assert not set("\r\n\t") & set(answer.get_json()["error_description"])


def test_a_code_works_once_and_its_replay_ends_the_token(house: House) -> None:
    code = house.login(house.browser())["code"]
    bearer = {"Authorization": f"Bearer {house.token(code).get_json()['access_token']}"}
    assert house.browser().get("/userinfo", headers=bearer, base_url=ISSUER).status_code == 200
    house.clock.step(seconds=30)
    refused(house.token(code), 400, "invalid_grant")
    answer = house.browser().get("/userinfo", headers=bearer, base_url=ISSUER)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": None},
        {"code_verifier": "x" * 43},
        {"code_verifier": "short"},
        {"redirect_uri": None},
        {"redirect_uri": f"{BANK}/other?x=1"},
    ],
)
def test_a_code_needs_its_verifier_and_address(house: House, changes: dict[str, str | None]) -> None:
    refused(house.token(house.login(house.browser())["code"], **changes), 400, "invalid_grant")


def test_a_code_is_bound_to_its_client(house: House) -> None:
    refused(house.token(house.login(house.browser())["code"], client="clinic"), 400, "invalid_grant")


def test_a_code_lives_for_a_minute(house: House) -> None:
    code = house.login(house.browser())["code"]
    house.clock.step(seconds=62)
    refused(house.token(code), 400, "invalid_grant")


def assertions(house: House) -> dict[str, str | None]:
    now = int(house.clock().timestamp())
    valid = house.assertion()
    return {
        "array audience": house.assertion(aud=[ISSUER, "https://other.example"]),
        "wrong audience": house.assertion(aud="https://other.example"),
        "userinfo audience": house.assertion(aud=f"{ISSUER}/userinfo"),
        "no audience": house.assertion(aud=None),
        "nbf in the future": house.assertion(nbf=now + 120),
        "iat in the future": house.assertion(iat=now + 120),
        "expired": house.assertion(iat=now - 600, exp=now - 300),
        "no exp": house.assertion(exp=None),
        "a day long": house.assertion(exp=now + 86400),
        "no sub": house.assertion(sub=None),
        "other sub": house.assertion(sub="clinic"),
        "no jti": house.assertion(jti=None),
        "unknown client": house.assertion("nobody", key="stranger"),
        "foreign key": house.assertion(key="stranger"),
        "alg none": house.assertion(alg="none"),
        "not a token": "x.y.z",
        "huge": "a" * 2049,
        "absent": None,
        "bent": valid[:-4] + ("AAAA" if valid[-4:] != "AAAA" else "BBBB"),
        "non-canonical": valid[:-1] + chr(ord(valid[-1]) + 1),
    }


ASSERTIONS = (
    "array audience", "wrong audience", "userinfo audience", "no audience", "nbf in the future", "iat in the future",
    "expired", "no exp", "a day long", "no sub", "other sub", "no jti", "unknown client", "foreign key", "alg none",
    "not a token", "huge", "absent", "bent", "non-canonical",
)  # fmt: skip


@pytest.mark.parametrize("name", ASSERTIONS)
def test_an_assertion_that_does_not_hold_is_refused_and_costs_no_code(house: House, name: str) -> None:
    code = house.login(house.browser())["code"]
    answer = house.token(code, client_assertion=assertions(house)[name])
    refused(answer, answer.status_code, "invalid_client", "invalid_request")
    assert answer.status_code == {"invalid_client": 401, "invalid_request": 400}[answer.get_json()["error"]]
    assert house.token(code).status_code == 200


def test_an_assertion_works_once(house: House) -> None:
    assertion = house.assertion()
    assert house.token(house.login(house.browser())["code"], client_assertion=assertion).status_code == 200
    refused(house.token(house.login(house.browser())["code"], client_assertion=assertion), 401, "invalid_client")


@pytest.mark.parametrize("ahead", [0, 8])
def test_a_clock_that_runs_a_little_ahead_is_forgiven(house: House, ahead: int) -> None:
    now = int(house.clock().timestamp()) + ahead
    code = house.login(house.browser())["code"]
    assert house.token(code, client_assertion=house.assertion(nbf=now, iat=now)).status_code == 200


@pytest.mark.parametrize("audience", [ISSUER, f"{ISSUER}/token", [ISSUER]])
def test_the_audience_is_the_issuer_or_the_token_endpoint(house: House, audience: Any) -> None:
    code = house.login(house.browser())["code"]
    assert house.token(code, client_assertion=house.assertion(aud=audience)).status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"grant_type": None}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, 400, "unauthorized_client"),
        ({"code": None}, 400, "invalid_request"),
        ({"code": "unknown"}, 400, "invalid_grant"),
        ({"client_id": "clinic"}, 401, "invalid_client"),
        ({"client_secret": "x"}, 401, "invalid_client"),
        ({"client_assertion_type": "urn:x"}, 401, "invalid_client"),
    ],
)
def test_a_token_request_that_breaks_a_rule_is_refused_by_its_name(
    house: House, changes: dict[str, str | None], status: int, error: str
) -> None:
    refused(house.token(**{"code": "x", **changes}), status, error)


def test_token_answers_are_json_whatever_is_sent(house: House) -> None:
    browser = house.browser()
    refused(browser.post("/token", data="{}", content_type="application/json", base_url=ISSUER), 415, "invalid_request")
    refused(browser.post("/token", data={"a": "x" * 70_000}, base_url=ISSUER), 413, "invalid_request")
    wrong = browser.get("/token", base_url=ISSUER)
    refused(wrong, 405, "invalid_request")
    assert "POST" in wrong.headers["Allow"]
    double = browser.post(
        "/token", data="grant_type=a&grant_type=b", content_type="application/x-www-form-urlencoded", base_url=ISSUER
    )
    refused(double, 400, "invalid_request")
    basic = browser.post("/token", data={"a": "b"}, headers={"Authorization": "Basic eDp5"}, base_url=ISSUER)
    refused(basic, 401, "invalid_client")
    assert basic.headers["WWW-Authenticate"].startswith("Basic ")


def test_userinfo_takes_a_bearer_token_only_in_the_header(house: House) -> None:
    token = house.token(house.login(house.browser())["code"]).get_json()
    browser = house.browser()
    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}):
        answer = browser.get("/userinfo", headers=headers, base_url=ISSUER)
        refused(answer, 401, "invalid_token")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert "error=" not in browser.get("/userinfo", base_url=ISSUER).headers["WWW-Authenticate"]
    query = browser.get(f"/userinfo?access_token={token['access_token']}", base_url=ISSUER)
    assert query.status_code == 401
    for wrong in (token["id_token"], token["access_token"][:-4] + "AAAA", "x"):
        answer = browser.get("/userinfo", headers={"Authorization": f"Bearer {wrong}"}, base_url=ISSUER)
        refused(answer, 401, "invalid_token")
    good = {"Authorization": f"bearer {token['access_token']}"}
    assert browser.post("/userinfo", headers=good, base_url=ISSUER).status_code == 200
    house.clock.step(minutes=11)
    refused(browser.get("/userinfo", headers=good, base_url=ISSUER), 401, "invalid_token")


# --- metadata --------------------------------------------------------------------------------------------------------


def test_metadata_says_what_is_served_under_both_names(house: House) -> None:
    browser = house.browser()
    documents = [
        browser.get(f"/.well-known/{name}", base_url=ISSUER).get_json()
        for name in ("openid-configuration", "oauth-authorization-server")
    ]
    assert documents[0] == documents[1]
    assert documents[0]["issuer"] == ISSUER
    for name, url in documents[0].items():
        if name.endswith(("_endpoint", "_uri")):
            assert browser.get(url.removeprefix(ISSUER), base_url=ISSUER).status_code != 404, name


def test_published_keys_are_public_and_distinct(house: House) -> None:
    answer = house.browser().get("/jwks", base_url=ISSUER)
    keys = answer.get_json()["keys"]
    assert len({key["kid"] for key in keys}) == len(keys) > 2
    assert not any({"d", "p", "q", "dp", "dq", "qi", "k"} & key.keys() for key in keys)
    assert {key["use"] for key in keys} == {"sig", "enc"}
    assert all(key["alg"] and key["kid"] for key in keys)


def test_published_keys_may_be_kept_as_long_as_a_rotation_waits_and_are_not_sent_twice(house: House) -> None:
    browser = house.browser()
    first = browser.get("/jwks", base_url=ISSUER)
    assert first.cache_control.max_age == JWKS_MAX_AGE.total_seconds()
    again = browser.get("/jwks", base_url=ISSUER, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]


def test_the_agent_is_told_whom_to_trust(house: House) -> None:
    document = house.browser().get("/.well-known/card-agent", base_url=ISSUER).get_json()
    assert document.keys() == {"issuer", "agent_root", "statement", "issuer_keys"}
    policy = house.ports.policy
    assert len(document["issuer_keys"]) == len(policy.anchors) + len(policy.sign_anchors)


def test_health_is_told_without_secrets(house: House) -> None:
    browser = house.browser()
    assert browser.get("/healthz", base_url=ISSUER).get_json() == {"status": "ok"}
    ready = browser.get("/readyz", base_url=ISSUER).get_json()
    assert (ready["status"], ready["keys"]) == ("ready", "good")
    assert 80 < ready["request_statement_days_left"] <= 90
    house.clock.step(days=91)
    assert browser.get("/readyz", base_url=ISSUER).status_code == 503  # no agent would believe our requests


def test_a_store_that_does_not_answer_is_told_as_try_later_and_nothing_is_lost(house: House) -> None:
    browser = house.browser()
    code = house.login(browser)["code"]
    with contextlib.closing(sqlite3.connect(house.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        down = house.token(code)
        refused(down, 503, "temporarily_unavailable")
        assert int(down.headers["Retry-After"]) > 0
        page = house.authorize(browser)
        assert (page.status_code, Page(page.text).texts["error-code"]) == (503, "BROKER-003")
        assert browser.get("/healthz", base_url=ISSUER).status_code == 200
    assert house.token(code).status_code == 200
