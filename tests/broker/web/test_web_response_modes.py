"""How the answer travels: query, form_post, and signed by JARM; refusals in the same mode."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from broker.flows.ports import KeyUse
from broker.jose import parse_claims, protected_header, public_jwk, verify_jws
from broker.jwe import ENCRYPTIONS, decrypt_compact
from broker.oidc.client import Encryption
from tests.broker.web.house import ISSUER, REDIRECT_URI, House, Page
from tests.broker.web.program import Program, register

CLAIMS = {"iss", "aud", "exp", "state"}


def answered(program: Program, browser: FlaskClient | None = None, **changes: str | None) -> TestResponse:
    """The page that brings the client its code."""
    house = program.house
    browser = browser or house.browser()
    page = house.consent_page(browser, client_id=program.client.client_id, **changes)
    if "consent-form" in Page(page.text).forms:
        page = house.submit(browser, page, "consent-form", decision="approve")
    assert page.status_code == 200
    return page


def posted(page: TestResponse) -> dict[str, str]:
    """The fields of the form that goes to the client, and only there."""
    form = Page(page.text).forms["return-form"]
    assert (form["method"], form["action"]) == ("post", REDIRECT_URI)
    assert "Refresh" not in page.headers
    fields: dict[str, str] = form["fields"]
    return fields


def carried(page: TestResponse) -> dict[str, str]:
    url = page.headers["Location"] if page.status_code == 303 else Page(page.text).links["continue-link"]
    assert url.startswith(f"{REDIRECT_URI}?")
    return dict(parse_qsl(urlsplit(url).query, strict_parsing=True))


def opened(house: House, token: str, client_id: str, *, alg: str = "ES256") -> dict[str, Any]:
    jwks = house.ports.keys.jwks(KeyUse.ID_TOKEN)
    claims = parse_claims(verify_jws(token, jwks=jwks, algorithms=(alg,)))
    assert jwt.get_unverified_header(token)["kid"]
    assert (claims["iss"], claims["aud"]) == (ISSUER, client_id)
    assert 0 < claims["exp"] - house.clock().timestamp() <= 600
    return claims


@pytest.fixture
def bank(house: House) -> Program:
    return register(house, "answered-bank")


def test_a_form_brings_the_code_by_script_or_by_button(bank: Program) -> None:
    page = answered(bank, response_mode="form_post")
    fields = posted(page)
    assert fields.keys() == {"code", "state", "iss"}
    assert (fields["state"], fields["iss"]) == ("a-state", ISSUER)
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "form-action http://127.0.0.2:8001;" in policy
    assert page.headers["Referrer-Policy"] == "origin"
    assert '<button id="continue"' in page.text
    assert '<script src="/assets/return.js"></script>' in page.text
    assert page.text.count("<script") == 1
    script = bank.house.browser().get("/assets/return.js", base_url=ISSUER)
    assert 'getElementById("return-form").submit()' in script.text
    assert (script.status_code, script.mimetype) == (200, "text/javascript")
    script.close()
    assert bank.token(fields["code"]).status_code == 200


def test_a_page_that_posts_nothing_carries_no_script(bank: Program) -> None:
    page = answered(bank)
    assert "<script" not in page.text
    assert "script-src" not in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize("text", ['"><script>alert(1)</script>', "'\"&<>", "%0d%0a", "</form>"])
def test_no_state_breaks_out_of_the_form(bank: Program, text: str) -> None:
    fields = posted(
        bank.house.authorize(
            bank.house.browser(), client_id="answered-bank", response_mode="form_post", state=text, scope=None
        )
    )
    assert fields["state"] == text
    assert fields["error"] == "invalid_scope"


@pytest.mark.parametrize("mode", ["jwt", "query.jwt"])
def test_a_signed_answer_is_one_value_in_the_query(bank: Program, mode: str) -> None:
    told = carried(answered(bank, response_mode=mode))
    assert told.keys() == {"response"}
    claims = opened(bank.house, told["response"], "answered-bank")
    assert claims.keys() == CLAIMS | {"code"}
    assert claims["state"] == "a-state"
    assert bank.token(claims["code"]).status_code == 200


def test_a_signed_answer_can_be_posted(bank: Program) -> None:
    fields = posted(answered(bank, response_mode="form_post.jwt"))
    assert fields.keys() == {"response"}
    assert opened(bank.house, fields["response"], "answered-bank").keys() == CLAIMS | {"code"}


def test_a_refusal_goes_the_way_that_was_asked_for(bank: Program) -> None:
    house = bank.house

    def refused(mode: str, **changes: str | None) -> TestResponse:
        return house.authorize(house.browser(), client_id="answered-bank", response_mode=mode, **changes)

    assert posted(refused("form_post", scope=None))["error"] == "invalid_scope"
    signed = opened(house, carried(refused("jwt", scope=None))["response"], "answered-bank")
    assert signed.keys() == CLAIMS | {"error", "error_description"}
    assert signed["error"] == "invalid_scope"
    silent = refused("query.jwt", prompt="none")
    assert silent.status_code == 303
    assert opened(house, carried(silent)["response"], "answered-bank")["error"] == "login_required"
    assert posted(refused("form_post", prompt="none"))["error"] == "login_required"
    assert carried(refused("fragment", scope=None))["error"] == "invalid_request"
    assert carried(refused("fragment.jwt"))["error"] == "invalid_request"


def test_going_back_is_told_the_same_way(bank: Program) -> None:
    house, browser = bank.house, bank.house.browser()
    login = house.login_page(browser, client_id="answered-bank", response_mode="form_post.jwt")
    fields = posted(house.submit(browser, login, "cancel-form"))
    assert opened(house, fields["response"], "answered-bank")["error"] == "access_denied"


def test_a_session_answers_signed_as_well(bank: Program) -> None:
    browser = bank.house.browser()
    answered(bank, browser)
    silent = bank.house.authorize(browser, client_id="answered-bank", prompt="none", response_mode="jwt")
    assert silent.status_code == 303
    assert opened(bank.house, carried(silent)["response"], "answered-bank")["code"]


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_a_signed_answer_is_encrypted_where_the_client_wants_it(house: House, kind: str) -> None:
    key: Any = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    alg = "RSA-OAEP-256" if kind == "rsa" else "ECDH-ES"
    sealed = {**public_jwk(key), "use": "enc", "alg": alg, "kid": "enc-1"}
    signing = ec.generate_private_key(ec.SECP256R1())
    bank = register(
        house,
        "sealed-bank",
        jwks={"keys": [public_jwk(signing), sealed]},
        authorization_response_encryption=Encryption(alg=alg),
    )
    response = carried(answered(bank, response_mode="jwt"))["response"]
    assert protected_header(response.partition(".")[0])["cty"] == "JWT"
    inner = decrypt_compact(response, key=key, algorithms=[alg], encryptions=ENCRYPTIONS).decode()
    assert opened(house, inner, "sealed-bank")["code"]


def test_an_answer_that_cannot_be_encrypted_is_not_sent_open(house: House) -> None:
    bank = register(house, "keyless-bank", authorization_response_encryption=Encryption(alg="RSA-OAEP-256"))
    answer = house.authorize(house.browser(), client_id="keyless-bank", response_mode="jwt", scope=None)
    assert answer.status_code == 503
    assert not {"Location", "Refresh"} & set(answer.headers.keys())
    assert bank.client.authorization_response_encryption is not None


def test_a_private_scheme_is_never_posted_to(house: House) -> None:
    app = register(house, "an-app", application_type="native", redirect_uris=("com.example.app:/callback",))
    asked = {"client_id": app.client.client_id, "redirect_uri": "com.example.app:/callback"}
    for mode in ("form_post", "form_post.jwt"):
        answer = house.authorize(house.browser(), **asked, response_mode=mode)
        url = Page(answer.text).links["continue-link"]
        assert url.startswith("com.example.app:/callback?error=invalid_request")


def test_the_metadata_name_the_modes_that_are_served(house: House) -> None:
    told = house.browser().get("/.well-known/openid-configuration", base_url=ISSUER).get_json()
    assert set(told["response_modes_supported"]) == {"query", "form_post", "jwt", "query.jwt", "form_post.jwt"}
    assert set(told["authorization_signing_alg_values_supported"]) == set(house.ports.keys.algorithms(KeyUse.ID_TOKEN))
    assert told["pushed_authorization_request_endpoint"] == f"{ISSUER}/par"
    assert told["require_request_uri_registration"] is True
    assert not [name for name, value in told.items() if value in (None, [], "")]
