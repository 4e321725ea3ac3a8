"""A client asks for a resident who is not at its pages (CIBA): case 58 of the official suites, and our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jwt
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from broker.errors import InteractionUnknown
from broker.flows import ciba
from broker.flows.ciba import MAX_NOTIFICATIONS, announce_all
from broker.oidc.client import GrantType, SecurityProfile
from tests.broker.web.house import BANK, ISSUER, House, Page, Pings
from tests.broker.web.program import JWT_BEARER, Program, name, register

CIBA = GrantType.CIBA.value
ENDPOINT = "https://bank.example/ciba"


@pytest.fixture
def pings() -> Pings:
    return Pings()


@pytest.fixture
def house(make_house: Callable[..., House], pings: Pings) -> House:
    return make_house(policy={"approver_channel": "tests"}, pings=pings)


def member(house: House, client_id: str = "counter", **members: Any) -> Program:
    values: dict[str, Any] = {
        "grant_types": frozenset({GrantType.AUTHORIZATION_CODE, GrantType.CIBA}),
        "ciba_delivery_mode": "poll",
        "redirect_uris": (f"{BANK}/callback",),
    } | members
    return register(house, client_id, **values)


@pytest.fixture
def counter(house: House) -> Program:
    """Polls, and does not sign."""
    return member(house)


@pytest.fixture
def strict(house: House) -> Program:
    """Signs, as FAPI-CIBA wants."""
    return member(house, "strict", profile=SecurityProfile.FAPI2, dpop_bound_tokens=True)


def id_token(program: Program, resident: str = "hanako") -> str:
    """Of an earlier login at this client."""
    proof = program.proof() if program.client.dpop_bound_tokens else None
    return str(program.token(program.grant(resident=resident), dpop=proof).get_json()["id_token"])


def sub(program: Program, resident: str = "hanako") -> str:
    return str(jwt.decode(id_token(program, resident), options={"verify_signature": False})["sub"])


def signed(program: Program, *, key: Any = None, alg: str = "ES256", **changes: Any) -> str:
    """A signed request of good claims, changed; None leaves one out."""
    now = int(program.house.clock().timestamp())
    claims: dict[str, Any] = {
        "iss": program.client.client_id,
        "aud": ISSUER,
        "iat": now,
        "nbf": now,
        "exp": now + 300,
        "jti": name(),
        "scope": "openid",
        "binding_message": "1234",
    } | changes
    secret: Any = "" if alg == "none" else key or program.key
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, secret, algorithm=alg)


def ask(program: Program, **form: Any) -> TestResponse:
    return program.post("/backchannel_authentication", **form)


def begun(program: Program, **form: Any) -> str:
    values = {"scope": "openid", **({} if "id_token_hint" in form else {"login_hint": sub(program)})} | form
    answer = ask(program, **values)
    assert answer.status_code == 200, answer.text
    return str(answer.get_json()["auth_req_id"])


def poll(program: Program, auth_req_id: str, **form: Any) -> TestResponse:
    proof = [("DPoP", program.proof())] if program.client.dpop_bound_tokens else []
    return program.post("/token", headers=proof, grant_type=CIBA, auth_req_id=auth_req_id, **form)


def refused(answer: TestResponse, error: str, status: int = 400) -> None:
    assert (answer.status_code, answer.get_json()["error"]) == (status, error), answer.text
    assert answer.headers["Cache-Control"] == "no-store"


def open_login(house: House, auth_req_id: str) -> tuple[FlaskClient, TestResponse]:
    """What an approver channel does: the resident's browser at the login page."""
    opened = ciba.approve(auth_req_id, ports=house.ports)
    browser = house.browser()
    browser.set_cookie(f"jpki-broker-login-{opened.interaction_id[:12]}", opened.browser_secret, domain="localhost")
    return browser, house.get(browser, f"/login/{opened.interaction_id}")


def answer(house: House, auth_req_id: str, *, decision: str = "approve", resident: str = "hanako") -> TestResponse:
    browser, login = open_login(house, auth_req_id)
    page = house.get(browser, house.answer(login, resident).headers["Location"])
    if "consent-form" not in Page(page.text).forms:
        return page
    return house.submit(browser, page, "consent-form", decision=decision)


# --- the whole story -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hint", ["login_hint", "id_token_hint"])
def test_a_client_gets_tokens_after_the_resident_approved_elsewhere(house: House, counter: Program, hint: str) -> None:
    known = {"login_hint": sub, "id_token_hint": id_token}[hint](counter)
    started = ask(counter, scope="openid", **{hint: known})
    body = started.get_json()
    assert started.headers["Cache-Control"] == "no-store"
    assert body.keys() == {"auth_req_id", "expires_in", "interval"}
    assert (body["expires_in"], body["interval"]) == (300, 5)
    assert len(body["auth_req_id"]) == 43
    refused(poll(counter, body["auth_req_id"]), "authorization_pending")
    page = answer(house, body["auth_req_id"])
    assert "elsewhere-title" in Page(page.text).texts
    house.clock.step(seconds=5)
    tokens = poll(counter, body["auth_req_id"])
    assert tokens.status_code == 200, tokens.text
    claims = jwt.decode(tokens.get_json()["id_token"], options={"verify_signature": False})
    assert claims["sub"] == sub(counter)
    assert (claims["aud"], claims["acr"]) == ("counter", "aal2")
    assert "sid" not in claims
    refused(poll(counter, body["auth_req_id"]), "invalid_grant")
    assert counter.userinfo(tokens.get_json()["access_token"]).status_code == 200


def test_a_signed_request_brings_bound_tokens(house: House, strict: Program) -> None:
    started = ask(strict, request=signed(strict, login_hint=sub(strict)))
    assert started.status_code == 200, started.text
    auth_req_id = started.get_json()["auth_req_id"]
    answer(house, auth_req_id)
    tokens = poll(strict, auth_req_id)
    assert tokens.get_json()["token_type"] == "DPoP"


def test_the_resident_sees_the_words_that_the_client_shows(house: House, counter: Program) -> None:
    auth_req_id = begun(counter, binding_message="ＡＢ-42 <b>")
    browser, login = open_login(house, auth_req_id)
    assert Page(login.text).texts["binding-message"] == "ＡＢ-42 <b>"
    page = house.get(browser, house.answer(login).headers["Location"])
    assert Page(page.text).texts["binding-message"] == "ＡＢ-42 <b>"
    assert "<b>" not in page.text


# --- case 58 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["iss", "aud", "exp", "nbf", "iat", "jti"])
def test_n58_a_signed_request_without_a_claim_is_refused(strict: Program, missing: str) -> None:
    changes: dict[str, Any] = {missing: None}
    request = signed(strict, login_hint="somebody", **changes)
    refused(ask(strict, request=request), "invalid_request")


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "other"},
        {"aud": "https://other.example"},
        {"aud": f"{ISSUER}/token"},
        {"exp": 1},
        {"nbf": 4_000_000_000, "exp": 4_000_000_100},
        {"jti": 5},
        {"scope": 7},
        {"sub": "strict"},
        {"request": "x"},
    ],
)
def test_n58_a_signed_request_with_a_wrong_claim_is_refused(strict: Program, wrong: dict[str, Any]) -> None:
    refused(ask(strict, request=signed(strict, login_hint="somebody", **wrong)), "invalid_request")


def test_n58_a_signed_request_of_more_than_an_hour_is_refused(strict: Program) -> None:
    now = int(strict.house.clock().timestamp())
    refused(ask(strict, request=signed(strict, login_hint="x", nbf=now, exp=now + 3601)), "invalid_request")
    assert ask(strict, request=signed(strict, login_hint="x", nbf=now, exp=now + 3600)).status_code == 200


def test_n58_an_unsigned_or_strangely_signed_request_is_refused(house: House, strict: Program) -> None:
    other = register(house, "other")
    refused(ask(strict, request=signed(strict, alg="none", login_hint="x")), "invalid_request")
    refused(ask(strict, request=signed(strict, key=other.key, login_hint="x")), "invalid_request")
    refused(ask(strict, request="a.b.c"), "invalid_request")
    refused(ask(strict, scope="openid", login_hint="x"), "invalid_request")
    refused(ask(strict, request=signed(strict, login_hint="x"), scope="openid"), "invalid_request")


@pytest.mark.parametrize("hints", [{}, {"login_hint": "a", "id_token_hint": "b"}, {"login_hint_token": "c"}])
def test_n58_two_hints_or_none_are_refused(counter: Program, hints: dict[str, str]) -> None:
    refused(ask(counter, scope="openid", **hints), "invalid_request")


def test_n58_two_hints_in_a_signed_request_are_refused(strict: Program) -> None:
    request = signed(strict, login_hint="a", id_token_hint=id_token(strict))
    refused(ask(strict, request=request), "invalid_request")


def test_n58_another_clients_auth_req_id_is_invalid_grant(house: House, counter: Program) -> None:
    auth_req_id = begun(counter)
    answer(house, auth_req_id)
    other = member(house, "other")
    refused(poll(other, auth_req_id), "invalid_grant")
    assert poll(counter, auth_req_id).status_code == 200


@pytest.mark.parametrize("way", ["channel", "page", "login"])
def test_n58_when_the_resident_denies_it_is_access_denied(house: House, counter: Program, way: str) -> None:
    auth_req_id = begun(counter)
    if way == "channel":
        ciba.deny(auth_req_id, ports=house.ports)
    elif way == "page":
        answer(house, auth_req_id, decision="deny")
    else:
        browser, login = open_login(house, auth_req_id)
        house.submit(browser, login, "cancel-form")
    refused(poll(counter, auth_req_id), "access_denied")
    with pytest.raises(InteractionUnknown):
        ciba.approve(auth_req_id, ports=house.ports)


def test_n58_a_request_that_ran_out_is_expired_token(house: House, counter: Program) -> None:
    auth_req_id = begun(counter, requested_expiry="30")
    house.clock.step(seconds=30)
    refused(poll(counter, auth_req_id), "expired_token")
    with pytest.raises(InteractionUnknown):
        ciba.approve(auth_req_id, ports=house.ports)


# --- what nobody may learn -------------------------------------------------------------------------------------------


def test_somebody_unknown_looks_like_somebody_silent(house: House, counter: Program) -> None:
    known, unknown = sub(counter), "nobody-here"
    answers = [ask(counter, scope="openid", login_hint=hint) for hint in (known, unknown)]
    bodies = [answer.get_json() for answer in answers]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert bodies[0].keys() == bodies[1].keys()
    assert bodies[0]["expires_in"] == bodies[1]["expires_in"]
    for body in bodies:
        refused(poll(counter, body["auth_req_id"]), "authorization_pending")
    for body in bodies:
        refused(poll(counter, body["auth_req_id"]), "slow_down")
    with pytest.raises(InteractionUnknown):
        ciba.approve(bodies[1]["auth_req_id"], ports=house.ports)
    house.clock.step(seconds=300)
    for body in bodies:
        refused(poll(counter, body["auth_req_id"]), "expired_token")


def test_another_clients_name_for_a_resident_names_nobody(house: House, counter: Program) -> None:
    other = member(house, "other")
    with pytest.raises(InteractionUnknown):
        ciba.approve(begun(counter, login_hint=sub(other)), ports=house.ports)
    refused(ask(counter, scope="openid", id_token_hint=id_token(other)), "invalid_request")


@pytest.mark.parametrize("hint", ["x", "a.b.c"])
def test_a_hint_that_is_no_id_token_of_ours_is_refused(counter: Program, hint: str) -> None:
    refused(ask(counter, scope="openid", id_token_hint=hint), "invalid_request")
    forged = jwt.encode({"iss": ISSUER, "aud": "counter", "sub": "x"}, counter.key, algorithm="ES256")
    refused(ask(counter, scope="openid", id_token_hint=forged), "invalid_request")


def test_only_the_person_it_is_about_can_approve(house: House, counter: Program) -> None:
    auth_req_id = begun(counter)
    page = answer(house, auth_req_id, resident="taro")
    assert "consent-form" not in Page(page.text).forms
    assert poll(counter, auth_req_id).status_code == 400


# --- the rest of the rules -------------------------------------------------------------------------------------------


def test_without_an_approver_channel_it_is_off(make_house: Callable[..., House]) -> None:
    house = make_house()
    counter = member(house)
    assert ask(counter, scope="openid", login_hint="x").status_code == 404
    refused(poll(counter, "x"), "unsupported_grant_type")
    document = house.browser().get("/.well-known/openid-configuration", base_url=ISSUER).get_json()
    assert CIBA not in document["grant_types_supported"]
    assert not [member for member in document if member.startswith("backchannel_auth")]


def test_metadata_say_what_is_served(house: House) -> None:
    document = house.browser().get("/.well-known/openid-configuration", base_url=ISSUER).get_json()
    assert document["backchannel_authentication_endpoint"] == f"{ISSUER}/backchannel_authentication"
    assert document["backchannel_token_delivery_modes_supported"] == ["poll", "ping"]
    assert document["backchannel_user_code_parameter_supported"] is False
    assert CIBA in document["grant_types_supported"]


def test_clients_that_are_not_registered_for_it_or_prove_nothing_are_refused(house: House, counter: Program) -> None:
    refused(ask(register(house, "plain"), scope="openid", login_hint="x"), "unauthorized_client")
    refused(poll(register(house, "plain2"), "x"), "unauthorized_client")
    refused(
        ask(counter, authenticated=False, scope="openid", login_hint="x", client_id="counter"), "invalid_client", 401
    )
    once = counter.assertion()
    form = {"scope": "openid", "login_hint": "x", "client_assertion_type": JWT_BEARER, "client_assertion": once}
    assert ask(counter, **form).status_code == 200
    refused(ask(counter, **form), "invalid_client", 401)


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"scope": "name"}, "invalid_scope"),
        ({"binding_message": "x" * 65}, "invalid_binding_message"),
        ({"binding_message": "a\u202eb"}, "invalid_binding_message"),
        ({"binding_message": "a\nb"}, "invalid_binding_message"),
        ({"requested_expiry": "0"}, "invalid_request"),
        ({"requested_expiry": "-5"}, "invalid_request"),
        ({"requested_expiry": "soon"}, "invalid_request"),
    ],
)
def test_other_bad_requests_are_refused_by_name(counter: Program, form: dict[str, str], error: str) -> None:
    refused(ask(counter, **({"scope": "openid", "login_hint": "x"} | form)), error)


def test_a_client_may_ask_for_more_time_within_bounds(counter: Program) -> None:
    for asked, given in (("1", 1), ("599", 599), ("86400", 600)):
        body = ask(counter, scope="openid", login_hint="x", requested_expiry=asked).get_json()
        assert body["expires_in"] == given


def test_one_person_is_not_worn_down_by_questions(counter: Program) -> None:
    statuses = [ask(counter, scope="openid", login_hint="x").status_code for _ in range(21)]
    assert statuses == [200] * 20 + [429]
    assert ask(counter, scope="openid", login_hint="y").status_code == 200


# --- ping ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pinged(house: House) -> Program:
    return member(house, "pinged", ciba_delivery_mode="ping", ciba_notification_endpoint=ENDPOINT)


@pytest.mark.parametrize("decision", ["approve", "deny"])
def test_a_client_is_told_that_there_is_an_answer(house: House, pinged: Program, pings: Pings, decision: str) -> None:
    auth_req_id = begun(pinged, client_notification_token="a-token-of-the-client")
    assert pings.got == []
    answer(house, auth_req_id, decision=decision)
    assert pings.got == [(ENDPOINT, auth_req_id, "a-token-of-the-client")]
    assert announce_all(house.ports) == {"told": 0, "failed": 0}
    assert (poll(pinged, auth_req_id).status_code == 200) is (decision == "approve")


def test_a_client_that_does_not_hear_is_told_again_a_few_times(house: House, pinged: Program, pings: Pings) -> None:
    auth_req_id = begun(pinged, client_notification_token="a-token", requested_expiry="600")
    pings.answers = False
    answer(house, auth_req_id)
    for _ in range(MAX_NOTIFICATIONS + 2):
        announce_all(house.ports)
    assert pings.tries == MAX_NOTIFICATIONS
    assert poll(pinged, auth_req_id).status_code == 200, "it may ask all the same"


def test_a_later_try_reaches_the_client(house: House, pinged: Program, pings: Pings) -> None:
    auth_req_id = begun(pinged, client_notification_token="a-token")
    pings.answers = False
    answer(house, auth_req_id)
    pings.answers = True
    assert announce_all(house.ports) == {"told": 1, "failed": 0}
    assert pings.got == [(ENDPOINT, auth_req_id, "a-token")]


@pytest.mark.parametrize("token", [None, "has space", "x" * 1025, "ü"])
def test_ping_needs_a_token_that_can_be_a_bearer_token(pinged: Program, token: str | None) -> None:
    form = {"scope": "openid", "login_hint": "x", "client_notification_token": token}
    refused(ask(pinged, **form), "invalid_request")
