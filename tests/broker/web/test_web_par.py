"""Pushed authorization requests (RFC 9126), and the negative cases of the official suite about them."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from broker.flows.par import LIFETIME, PUSHES_OF_PUBLIC
from broker.jose import public_jwk, thumbprint
from broker.oidc.client import AuthMethod, GrantType, SecurityProfile
from tests.broker.web.house import ISSUER, REDIRECT_URI, House, Page, returned
from tests.broker.web.program import Program, register
from tests.broker.web.pushing import error_code, log_in, push, pushed, visit

FAPI2: dict[str, Any] = {"profile": SecurityProfile.FAPI2, "dpop_bound_tokens": True}


@pytest.fixture
def fapi(house: House) -> Program:
    return register(house, "pushing-bank", **FAPI2)


def test_a_pushed_request_brings_a_name_of_256_bits_for_five_minutes(fapi: Program) -> None:
    answer = push(fapi)
    told = answer.get_json()
    assert (answer.status_code, told["expires_in"]) == (201, int(LIFETIME.total_seconds()))
    assert answer.headers["Cache-Control"] == "no-store"
    assert told["request_uri"].startswith("urn:ietf:params:oauth:request_uri:")
    assert len(told["request_uri"].rpartition(":")[2]) == 43
    assert pushed(fapi) != pushed(fapi)


def test_a_login_by_a_pushed_request_ends_with_a_code_and_its_own_state(fapi: Program) -> None:
    told = returned(log_in(fapi, fapi.house.browser(), pushed(fapi, state="pushed-state")))
    assert told.keys() == {"code", "state", "iss"}
    assert (told["state"], told["iss"]) == ("pushed-state", ISSUER)
    assert fapi.token(told["code"], dpop=fapi.proof()).status_code == 200


def test_what_stands_beside_a_pushed_request_does_not_count(fapi: Program) -> None:
    browser = fapi.house.browser()
    answer = visit(fapi, pushed(fapi), browser, state="other", redirect_uri="https://evil.example/", prompt="none")
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith(f"{ISSUER}/login/")


def test_a_request_uri_may_be_visited_several_times_before_its_login_completes(fapi: Program) -> None:
    request_uri = pushed(fapi)
    for _ in range(3):
        assert visit(fapi, request_uri).status_code == 303
    assert returned(log_in(fapi, fapi.house.browser(), request_uri))["code"]


def test_n28_an_unsigned_request_without_par_fails(fapi: Program) -> None:
    answer = fapi.house.authorize(fapi.house.browser(), client_id=fapi.client.client_id)
    told = returned(answer)
    assert told["error"] == "invalid_request"
    assert "code" not in told


def test_n29_a_request_uri_is_dead_once_its_login_completed(fapi: Program) -> None:
    request_uri = pushed(fapi)
    browser = fapi.house.browser()
    assert "code" in returned(log_in(fapi, browser, request_uri))
    assert error_code(visit(fapi, request_uri, browser)) == "OAUTH-022"
    assert error_code(visit(fapi, request_uri)) == "OAUTH-022"


def test_n29_of_two_logins_by_one_request_uri_one_gets_a_code(fapi: Program) -> None:
    house, request_uri = fapi.house, pushed(fapi)
    first, second = house.browser(), house.browser()
    waiting = house.get(second, visit(fapi, request_uri, second).headers["Location"])
    assert "code" in returned(log_in(fapi, first, request_uri))
    page = house.get(second, house.answer(waiting).headers["Location"])
    assert (page.status_code, Page(page.text).texts["error-code"]) == (400, "OAUTH-022")


def test_n29_of_two_consents_by_one_request_uri_one_gives_a_code(fapi: Program) -> None:
    """The other is told so, and not sent round in a circle to try again."""
    house, request_uri = fapi.house, pushed(fapi)
    asked = []
    for browser in (house.browser(), house.browser()):
        login = house.get(browser, visit(fapi, request_uri, browser).headers["Location"])
        asked.append((browser, house.get(browser, house.answer(login).headers["Location"])))
    pages = [house.submit(browser, page, "consent-form", decision="approve") for browser, page in asked]
    assert "code" in returned(pages[0])
    assert error_code(pages[1]) == "OAUTH-022"
    assert "retry" not in Page(pages[1].text).links
    with contextlib.closing(sqlite3.connect(house.database)) as database:
        assert database.execute("SELECT count(*) FROM codes").fetchone() == (1,)


def test_a_request_uri_is_dead_once_the_resident_went_back(fapi: Program) -> None:
    house, request_uri, browser = fapi.house, pushed(fapi), fapi.house.browser()
    login = house.get(browser, visit(fapi, request_uri, browser).headers["Location"])
    assert returned(house.submit(browser, login, "cancel-form"))["error"] == "access_denied"
    assert error_code(visit(fapi, request_uri)) == "OAUTH-022"


def test_a_request_uri_is_dead_once_the_resident_did_not_agree(fapi: Program) -> None:
    house, request_uri, browser = fapi.house, pushed(fapi), fapi.house.browser()
    login = house.get(browser, visit(fapi, request_uri, browser).headers["Location"])
    page = house.get(browser, house.answer(login).headers["Location"])
    assert returned(house.submit(browser, page, "consent-form", decision="deny"))["error"] == "access_denied"
    assert error_code(visit(fapi, request_uri)) == "OAUTH-022"


def test_a_request_uri_is_dead_once_it_was_refused_without_a_card(fapi: Program) -> None:
    request_uri = pushed(fapi, prompt="none")
    answer = visit(fapi, request_uri)
    assert answer.status_code == 303
    assert "error=login_required" in answer.headers["Location"]
    assert error_code(visit(fapi, request_uri)) == "OAUTH-022"


def test_a_request_uri_is_dead_once_another_person_came(fapi: Program) -> None:
    house, browser = fapi.house, fapi.house.browser()
    request_uri = pushed(fapi, claims='{"id_token":{"sub":{"value":"somebody"}}}')
    login = house.get(browser, visit(fapi, request_uri, browser).headers["Location"])
    told = returned(house.get(browser, house.answer(login).headers["Location"]))
    assert told["error"] == "login_required"
    assert error_code(visit(fapi, request_uri)) == "OAUTH-022"


def test_n30_a_request_uri_runs_out(fapi: Program) -> None:
    request_uri = pushed(fapi)
    fapi.house.clock.step(seconds=LIFETIME.total_seconds())
    for _ in range(2):
        assert error_code(visit(fapi, request_uri)) == "OAUTH-022"
        fapi.house.clock.step(seconds=1)


def test_a_login_that_began_in_time_may_end_later(fapi: Program) -> None:
    house, request_uri, browser = fapi.house, pushed(fapi), fapi.house.browser()
    house.clock.step(seconds=(LIFETIME - timedelta(seconds=1)).total_seconds())
    login = house.get(browser, visit(fapi, request_uri, browser).headers["Location"])
    house.clock.step(seconds=2)
    page = house.get(browser, house.answer(login).headers["Location"])
    assert "code" in returned(house.submit(browser, page, "consent-form", decision="approve"))


def test_n31_a_request_uri_is_for_its_own_client(fapi: Program, house: House) -> None:
    other = register(house, "other-bank", **FAPI2)
    assert error_code(visit(other, pushed(fapi))) == "OAUTH-022"
    assert error_code(visit(fapi, "urn:ietf:params:oauth:request_uri:unknown")) == "OAUTH-022"


@pytest.mark.parametrize("value", ["urn:ietf:params:oauth:request_uri:x", "https://bank.example/request"])
def test_n32_a_request_uri_cannot_be_pushed(fapi: Program, value: str) -> None:
    answer = push(fapi, request_uri=value)
    assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE", "PATCH"])
def test_n34_only_post_is_served(house: House, method: str) -> None:
    answer = house.browser().open("/par", method=method, base_url=ISSUER)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_n35_pkce_is_required_at_par(fapi: Program) -> None:
    answer = push(fapi, code_challenge=None)
    assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("method", ["plain", None])
def test_n36_only_s256_is_served(fapi: Program, method: str | None) -> None:
    answer = push(fapi, code_challenge_method=method)
    assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("response_type", ["code id_token", "code token", "token", "none"])
def test_n48_only_the_code_is_given(fapi: Program, response_type: str) -> None:
    answer = push(fapi, response_type=response_type)
    assert (answer.status_code, answer.get_json()["error"]) == (400, "unsupported_response_type")
    assert "code" not in answer.get_json()


def test_n50_dpop_jkt_must_be_the_key_of_the_proof(fapi: Program) -> None:
    own = thumbprint(public_jwk(fapi.dpop_key))
    other = thumbprint(public_jwk(ec.generate_private_key(ec.SECP256R1())))
    refused = push(fapi, dpop_jkt=other, proof=fapi.proof("/par"))
    assert (refused.status_code, refused.get_json()["error"]) == (400, "invalid_dpop_proof")
    assert push(fapi, dpop_jkt=own, proof=fapi.proof("/par")).status_code == 201
    assert push(fapi, dpop_jkt=own).status_code == 201


@pytest.mark.parametrize("by", ["header", "parameter"])
def test_a_code_is_bound_to_the_key_that_was_pushed(fapi: Program, by: str) -> None:
    if by == "header":
        request_uri = str(push(fapi, proof=fapi.proof("/par")).get_json()["request_uri"])
    else:
        request_uri = pushed(fapi, dpop_jkt=thumbprint(public_jwk(fapi.dpop_key)))
    code = returned(log_in(fapi, fapi.house.browser(), request_uri))["code"]
    thief = replace(fapi, dpop_key=ec.generate_private_key(ec.SECP256R1()))
    assert thief.token(code, dpop=thief.proof()).get_json()["error"] == "invalid_grant"


def test_a_proof_and_an_assertion_push_once(fapi: Program) -> None:
    assertion, proof = fapi.assertion(), fapi.proof("/par")
    assert push(fapi, client_assertion=assertion, proof=proof).status_code == 201
    again = push(fapi, client_assertion=fapi.assertion(), proof=proof)
    assert (again.status_code, again.get_json()["error"]) == (400, "invalid_dpop_proof")
    again = push(fapi, client_assertion=assertion, proof=fapi.proof("/par"))
    assert (again.status_code, again.get_json()["error"]) == (401, "invalid_client")


def test_a_refused_request_uses_up_nothing(fapi: Program) -> None:
    assertion, proof = fapi.assertion(), fapi.proof("/par")
    assert push(fapi, client_assertion=assertion, proof=proof, scope="none").status_code == 400
    assert push(fapi, client_assertion=assertion, proof=proof).status_code == 201


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uri": "https://evil.example/"}, "invalid_request"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"id_token_hint": "e30.e30.e30"}, "invalid_request"),
        ({"claims": "[]"}, "invalid_request"),
        ({"resource": "https://unknown.example/"}, "invalid_target"),
        ({"authorization_details": '[{"type":"unknown"}]'}, "invalid_authorization_details"),
        ({"dpop_jkt": "short"}, "invalid_request"),
        ({"client_id": "somebody-else"}, "invalid_client"),
    ],
)
def test_a_request_is_judged_in_full_when_it_is_pushed(
    fapi: Program, changes: dict[str, str | None], error: str
) -> None:
    answer = push(fapi, **changes)
    assert answer.get_json()["error"] == error
    assert answer.status_code == (401 if error == "invalid_client" else 400)
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_public_client_pushes_by_its_name_alone_and_not_without_bound(house: House) -> None:
    app = register(
        house, "an-app", application_type="native", auth_method=AuthMethod.NONE, requires_pushed_requests=True
    )
    bare: dict[str, str | None] = {"client_assertion": None, "client_assertion_type": None}
    assert push(app, **bare).status_code == 201
    with house.ports.store.transaction() as tx:
        for _ in range(PUSHES_OF_PUBLIC.limit):
            tx.attempts.count_up("par:an-app", window=PUSHES_OF_PUBLIC.window, now=house.clock())
    assert push(app, **bare).status_code == 429


def test_a_code_grant_must_be_registered(house: House) -> None:
    machine = register(house, "machine", grant_types=frozenset({GrantType.CLIENT_CREDENTIALS}), **FAPI2)
    assert push(machine).get_json()["error"] == "unauthorized_client"


def test_a_redirect_uri_that_is_registered_no_more_is_not_answered(fapi: Program) -> None:
    request_uri = pushed(fapi)
    with contextlib.closing(sqlite3.connect(fapi.house.database)) as database, database:
        database.execute(
            "UPDATE clients SET metadata = replace(metadata, ?, ?) WHERE client_id = ?",
            (REDIRECT_URI, "https://bank.example/new", fapi.client.client_id),
        )
    assert error_code(visit(fapi, request_uri)) == "OAUTH-003"


def test_reloads_of_one_request_uri_are_bounded(fapi: Program) -> None:
    request_uri = pushed(fapi)
    answers = [visit(fapi, request_uri) for _ in range(31)]
    assert [answer.status_code for answer in answers] == [303] * 30 + [429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 300
