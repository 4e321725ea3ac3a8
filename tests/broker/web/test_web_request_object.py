"""Request objects by value, by reference and pushed (OIDC Core §6, RFC 9101), and the suite's negative cases."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from werkzeug.test import TestResponse

from broker.flows.ports import KeyUse
from broker.flows.request_object import FETCHES
from broker.jose import public_jwk
from broker.jwe import encrypt_compact
from broker.oidc.client import SecurityProfile
from tests.broker.web.house import ISSUER, REDIRECT_URI, House, Page, returned
from tests.broker.web.program import Program, register
from tests.broker.web.pushing import error_code, log_in, push, visit

BY_REFERENCE = "https://bank.example/request.jwt#v1"
LONG = "x" * 384


def request_object(program: Program, *, key: Any = None, alg: str = "ES256", **changes: Any) -> str:
    """A good request in a signed object, changed; None leaves a member out."""
    now = int(program.house.clock().timestamp())
    claims: dict[str, Any] = {
        **program.house.parameters(client_id=program.client.client_id),
        "iss": program.client.client_id,
        "aud": ISSUER,
        "nbf": now,
        "exp": now + 300,
        **changes,
    }
    present = {name: value for name, value in claims.items() if value is not None}
    secret: Any = "" if alg == "none" else key or program.key
    return jwt.encode(present, secret, algorithm=alg, headers={"typ": "oauth-authz-req+jwt"})


@pytest.fixture
def bank(house: House) -> Program:
    return register(house, "signing-bank", redirect_uris=(REDIRECT_URI,), request_uris=(BY_REFERENCE,))


@pytest.fixture
def fapi(house: House) -> Program:
    return register(
        house,
        "signing-fapi-bank",
        profile=SecurityProfile.FAPI2,
        dpop_bound_tokens=True,
        requires_signed_requests=True,
    )


def ask(program: Program, **parameters: str | None) -> TestResponse:
    """What OIDC Core §6.1 wants beside an object, changed."""
    beside = {
        "client_id": program.client.client_id,
        "response_type": "code",
        "scope": "openid",
        "redirect_uri": REDIRECT_URI,
        **parameters,
    }
    query = {name: value for name, value in beside.items() if value is not None}
    return program.house.browser().get("/authorize", query_string=query, base_url=ISSUER)


def finish(program: Program, answer: TestResponse) -> dict[str, str]:
    """The login that `answer` began, by a browser that takes its cookie along."""
    house, browser = program.house, program.house.browser()
    for cookie in answer.headers.getlist("Set-Cookie"):
        name, _, value = cookie.partition(";")[0].partition("=")
        browser.set_cookie(name, value, domain="localhost")
    page = house.get(browser, house.answer(house.get(browser, answer.headers["Location"])).headers["Location"])
    return returned(house.submit(browser, page, "consent-form", decision="approve"))


def test_what_is_inside_wins_and_the_rest_is_taken_from_beside(bank: Program) -> None:
    answer = ask(bank, request=request_object(bank, state="inside", nonce=None), state="outside", nonce="beside")
    told = finish(bank, answer)
    assert told["state"] == "inside"
    tokens = bank.token(told["code"]).get_json()
    assert jwt.decode(tokens["id_token"], options={"verify_signature": False})["nonce"] == "beside"


def test_long_values_are_never_truncated(bank: Program) -> None:
    told = finish(bank, ask(bank, request=request_object(bank, state=LONG, nonce=LONG)))
    assert told["state"] == LONG
    tokens = bank.token(told["code"]).get_json()
    assert jwt.decode(tokens["id_token"], options={"verify_signature": False})["nonce"] == LONG


def test_an_object_may_be_encrypted_to_us(bank: Program) -> None:
    keys = bank.house.ports.keys
    (alg, *_) = keys.algorithms(KeyUse.REQUEST_ENCRYPTION)
    token = encrypt_compact(
        request_object(bank, state="sealed").encode(),
        jwks=keys.jwks(KeyUse.REQUEST_ENCRYPTION),
        alg=alg,
        enc="A128CBC-HS256",
        cty="oauth-authz-req+jwt",
    )
    assert finish(bank, ask(bank, request=token))["state"] == "sealed"
    broken = f"{token[:-4]}AAAA"
    assert returned(ask(bank, request=broken))["error"] == "invalid_request_object"


def test_n13_a_redirect_uri_inside_wins_and_nothing_goes_to_the_one_outside(bank: Program) -> None:
    good = ask(bank, request=request_object(bank), redirect_uri="https://evil.example/callback")
    assert good.status_code == 303
    assert good.headers["Location"].startswith(f"{ISSUER}/login/")
    bad = ask(bank, request=request_object(bank, redirect_uri="https://evil.example/callback"))
    assert bad.status_code == 400
    assert not {"Location", "Refresh"} & set(bad.headers.keys())


def test_n14_an_unsigned_object_by_value_is_declined_by_name(bank: Program) -> None:
    assert returned(ask(bank, request=request_object(bank, alg="none")))["error"] == "request_not_supported"


def test_n14_also_for_a_client_without_keys(house: House) -> None:
    client = register(house, "secretive", auth_method="client_secret_basic", secret_digest=b"x" * 32, jwks=None)
    answer = ask(client, request=request_object(client, alg="none"))
    assert returned(answer)["error"] == "request_not_supported"


def publish(program: Program, document: bytes) -> list[str]:
    """Put `document` at the client's registered address; what is asked for from now on."""
    documents: Any = program.house.ports.documents
    documents.published[BY_REFERENCE.partition("#")[0]] = document
    asked: list[str] = documents.asked
    return asked


def test_n15_an_unsigned_object_by_reference_is_declined_by_name(bank: Program) -> None:
    publish(bank, request_object(bank, alg="none").encode())
    assert returned(ask(bank, request_uri=BY_REFERENCE))["error"] == "request_uri_not_supported"


def test_a_signed_object_is_fetched_from_its_registered_address(bank: Program) -> None:
    asked = publish(bank, request_object(bank, state="fetched").encode() + b"\n")
    assert finish(bank, ask(bank, request_uri=BY_REFERENCE))["state"] == "fetched"
    assert asked == [BY_REFERENCE.partition("#")[0]]


@pytest.mark.parametrize(
    "uri",
    [
        "https://bank.example/request.jwt",
        "https://bank.example/request.jwt#v2",
        "https://bank.example/request.jwt?x#v1",
        "https://evil.example/request.jwt#v1",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
    ],
)
def test_an_address_that_is_not_registered_is_never_asked(bank: Program, uri: str) -> None:
    asked = publish(bank, request_object(bank).encode())
    assert returned(ask(bank, request_uri=uri))["error"] == "invalid_request_uri"
    assert asked == []


def test_a_client_without_request_uris_and_the_fapi2_profile_have_none(house: House, fapi: Program) -> None:
    plain = register(house, "plain-bank")
    assert returned(ask(plain, request_uri=BY_REFERENCE))["error"] == "request_uri_not_supported"
    assert returned(ask(fapi, request_uri=BY_REFERENCE))["error"] == "invalid_request"


@pytest.mark.parametrize("document", [None, b"", b"\xff\xfe", b"x" * 40_000, b"<html>"])
def test_what_cannot_be_fetched_or_is_no_object_is_refused(bank: Program, document: bytes | None) -> None:
    if document is not None:
        publish(bank, document)
    error = returned(ask(bank, request_uri=BY_REFERENCE))["error"]
    assert error in {"invalid_request_uri", "invalid_request_object"}


def test_how_often_a_client_is_asked_is_bounded(bank: Program) -> None:
    asked = publish(bank, b"")
    with bank.house.ports.store.transaction() as tx:
        for _ in range(FETCHES.limit):
            tx.attempts.count_up("request_uri:signing-bank", window=FETCHES.window, now=bank.house.clock())
    answer = ask(bank, request_uri=BY_REFERENCE)
    assert (answer.status_code, asked) == (429, [])
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_both_ways_at_once_are_refused(bank: Program) -> None:
    both = ask(bank, request=request_object(bank), request_uri=BY_REFERENCE)
    assert returned(both)["error"] == "invalid_request"
    pushed = ask(bank, request=request_object(bank), request_uri="urn:ietf:params:oauth:request_uri:x")
    assert returned(pushed)["error"] == "invalid_request"


def test_a_faulty_object_is_told_to_nobody_unless_the_address_beside_it_is_proved(bank: Program) -> None:
    broken = request_object(bank, key=ec.generate_private_key(ec.SECP256R1()))
    assert returned(ask(bank, request=broken, state="s"))["error"] == "invalid_request_object"
    assert error_code(ask(bank, request=broken, redirect_uri=None))
    assert error_code(ask(bank, request=broken, redirect_uri="https://evil.example/"))


def test_silence_asked_for_inside_is_kept(bank: Program) -> None:
    answer = ask(bank, request=request_object(bank, prompt="none"))
    assert answer.status_code == 303
    assert dict(parse_qsl(urlsplit(answer.headers["Location"]).query))["error"] == "login_required"


# --- pushed, under FAPI 2.0 Message Signing --------------------------------------------------------------------------


def push_object(program: Program, token: str, **beside: str | None) -> TestResponse:
    bare: dict[str, str | None] = dict.fromkeys(program.house.parameters())
    return push(program, **{**bare, "request": token, **beside})


def refused(answer: TestResponse) -> str:
    assert answer.status_code == 400
    assert answer.headers["Cache-Control"] == "no-store"
    return str(answer.get_json()["error"])


def test_a_signed_request_is_pushed_and_logs_in(fapi: Program) -> None:
    answer = push_object(fapi, request_object(fapi, state="signed"))
    assert answer.status_code == 201
    told = returned(log_in(fapi, fapi.house.browser(), answer.get_json()["request_uri"]))
    assert told["state"] == "signed"


def test_n33_a_request_uri_inside_an_object_is_refused(fapi: Program) -> None:
    token = request_object(fapi, request_uri="urn:ietf:params:oauth:request_uri:x")
    assert refused(push_object(fapi, token)) == "invalid_request_object"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"nbf": None},
        {"exp": -300},
        {"exp": 70 * 60},
        {"nbf": -70 * 60},
        {"aud": "https://other.example"},
        {"aud": None},
        {"iss": None},
        {"iss": "somebody-else"},
    ],
    ids=str,
)
def test_n55_an_object_says_when_and_for_whom_it_is(fapi: Program, changes: dict[str, Any]) -> None:
    now = int(fapi.house.clock().timestamp())
    moved: dict[str, Any] = {name: now + value if isinstance(value, int) else value for name, value in changes.items()}
    assert refused(push_object(fapi, request_object(fapi, **moved))) == "invalid_request_object"


def test_n55_a_clock_some_seconds_ahead_and_several_audiences_pass(fapi: Program) -> None:
    now = int(fapi.house.clock().timestamp())
    assert push_object(fapi, request_object(fapi, nbf=now + 8)).status_code == 201
    assert push_object(fapi, request_object(fapi, aud=[ISSUER, "https://other.example"])).status_code == 201


def test_n56_only_good_signatures_of_this_client_count(fapi: Program, bank: Program) -> None:
    rsa_key = rsa.generate_private_key(65537, 2048)
    other = request_object(fapi, key=bank.key)
    good = request_object(fapi)
    head, body, signature = good.split(".")
    flipped = f"{head}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    for token in (request_object(fapi, key=rsa_key, alg="RS256"), request_object(fapi, alg="none"), other, flipped):
        assert refused(push_object(fapi, token)) == "invalid_request_object"
    assert push_object(fapi, good).status_code == 201


def test_n56_rs256_is_refused_even_with_a_registered_key(house: House) -> None:
    key = rsa.generate_private_key(65537, 2048)
    jwks = {"keys": [public_jwk(key)]}
    strict = register(house, "rsa-bank", profile=SecurityProfile.FAPI2, dpop_bound_tokens=True, jwks=jwks)
    for alg, status in (("RS256", 400), ("PS256", 201)):
        token = request_object(strict, key=key, alg=alg)
        assert push_object(strict, token, client_assertion=strict.assertion(key=key, alg="PS256")).status_code == status
    plain = register(house, "oidc-rsa-bank", jwks=jwks)
    assert ask(plain, request=request_object(plain, key=key, alg="RS256")).status_code == 303


def test_n56_an_unsigned_request_of_a_signing_client_is_refused(fapi: Program, house: House) -> None:
    assert refused(push(fapi)) == "invalid_request"
    strict = register(house, "strict-bank", requires_signed_requests=True)
    assert returned(house.authorize(house.browser(), client_id="strict-bank"))["error"] == "invalid_request"
    token = request_object(strict, state=None)
    told = finish(strict, ask(strict, request=token, state="outside"))
    assert "state" not in told


def test_n57_what_stands_only_outside_is_not_used(fapi: Program) -> None:
    answer = push_object(fapi, request_object(fapi, state=None, nonce=None), state="outside", nonce="outside")
    told = returned(log_in(fapi, fapi.house.browser(), answer.get_json()["request_uri"]))
    assert told.keys() == {"code", "iss"}
    tokens = fapi.token(told["code"], dpop=fapi.proof()).get_json()
    assert "nonce" not in jwt.decode(tokens["id_token"], options={"verify_signature": False})


def test_n57_a_different_value_inside_is_the_one_that_counts(fapi: Program) -> None:
    answer = push_object(fapi, request_object(fapi, state="inside", nonce=LONG), state="outside", nonce="outside")
    told = returned(log_in(fapi, fapi.house.browser(), answer.get_json()["request_uri"]))
    assert told["state"] == "inside"
    tokens = fapi.token(told["code"], dpop=fapi.proof()).get_json()
    assert jwt.decode(tokens["id_token"], options={"verify_signature": False})["nonce"] == LONG


def test_an_object_of_another_client_is_refused(fapi: Program, bank: Program) -> None:
    token = request_object(fapi, client_id="signing-bank", iss="signing-bank")
    assert refused(push_object(fapi, token)) == "invalid_request_object"
    assert Page(visit(bank, "urn:ietf:params:oauth:request_uri:x").text).texts["error-code"] == "OAUTH-022"
