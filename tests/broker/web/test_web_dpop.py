"""Sender-constrained tokens over HTTP: cases 49 and 51 to 54 of the official suite, nonces, and client certificates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from werkzeug.test import TestResponse

from broker.jose import b64url, public_jwk
from broker.oidc.client import AuthMethod, SecurityProfile
from tests.broker.web.house import ISSUER, House
from tests.broker.web.program import HEADER, Program, register
from tests.broker.web.test_web_client_authentication import certificate, handed

PROOF_ERRORS = {"invalid_dpop_proof", "invalid_request", "invalid_grant"}


@pytest.fixture
def strict(house: House) -> Program:
    return register(house, "strict", profile=SecurityProfile.FAPI2, dpop_bound_tokens=True)


def refused(answer: TestResponse, status: int, *errors: str) -> None:
    body = answer.get_json()
    assert answer.status_code == status, body
    assert body["error"] in errors, body


def bound(program: Program, **grant: Any) -> str:
    answer = program.token(program.grant(**grant), dpop=program.proof())
    assert answer.status_code == 200, answer.text
    assert answer.get_json()["token_type"] == "DPoP"
    return str(answer.get_json()["access_token"])


def test_a_bound_token_opens_userinfo_with_a_proof_by_its_key(strict: Program) -> None:
    token = bound(strict)
    answer = strict.userinfo(token, scheme="DPoP", dpop=strict.proof("/userinfo", method="GET", access_token=token))
    assert answer.status_code == 200
    assert answer.get_json().keys() == {"sub"}
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["cnf"].keys() == {"jkt"}


def test_n49_a_fapi2_client_without_a_proof_gets_no_token(strict: Program) -> None:
    code = strict.grant()
    refused(strict.token(code), 400, "invalid_dpop_proof")
    assert strict.token(code, dpop=strict.proof()).status_code == 200  # what was missing cost nothing


def test_n49_a_client_bound_to_certificates_gets_no_token_without_one(make_house: Callable[..., House]) -> None:
    house = make_house(client_certificate_header=HEADER)
    program = register(house, "mtls", profile=SecurityProfile.FAPI2, certificate_bound_tokens=True)
    code = program.grant()
    refused(program.token(code), 400, "invalid_request")
    key, other = (certificate(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
    token = program.token(code, headers=handed(key)).get_json()["access_token"]
    assert jwt.decode(token, options={"verify_signature": False})["cnf"].keys() == {"x5t#S256"}
    browser = house.browser()
    for shown, status in ((handed(key), 200), (handed(other), 401), ([], 401), ([(HEADER, "broken")], 401)):
        headers = [("Authorization", f"Bearer {token}"), *shown]
        answer = browser.get("/userinfo", headers=headers, base_url=ISSUER)
        assert answer.status_code == status, answer.text


def test_n51_a_code_bound_to_a_key_is_redeemed_with_that_key_alone(strict: Program) -> None:
    jkt = strict.token(strict.grant(), dpop=strict.proof()).get_json()["access_token"]
    jkt = jwt.decode(jkt, options={"verify_signature": False})["cnf"]["jkt"]
    other = strict.proof(key=ec.generate_private_key(ec.SECP256R1()))
    refused(strict.token(strict.grant(jkt=jkt), dpop=other), 400, *PROOF_ERRORS)
    assert strict.token(strict.grant(jkt=jkt), dpop=strict.proof()).status_code == 200


def private_jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    return public_jwk(key) | {"d": b64url(key.private_numbers().private_value.to_bytes(32, "big"))}


BAD: dict[str, Callable[[Program], str]] = {
    "n52 not a jwt": lambda program: "garbage",
    "n52 no typ": lambda program: program.proof(header={"typ": None}),
    "n52 wrong typ": lambda program: program.proof(header={"typ": "JWT"}),
    "n52 no jwk": lambda program: program.proof(header={"jwk": None}),
    "n52 no jti": lambda program: program.proof(jti=None),
    "n52 no htm": lambda program: program.proof(htm=None),
    "n52 no htu": lambda program: program.proof(htu=None),
    "n52 no iat": lambda program: program.proof(iat=None),
    "n53 none": lambda program: program.proof(alg="none"),
    "n53 private key": lambda program: program.proof(header={"jwk": private_jwk(program.dpop_key)}),
    "n53 bad signature": lambda program: program.proof()[:-6] + "AAAAAA",
    "n53 htm": lambda program: program.proof(htm="PUT"),
    "n53 htu": lambda program: program.proof(htu=f"{ISSUER}/userinfo"),
    "n53 an hour old": lambda program: program.proof(iat=int(program.house.clock().timestamp()) - 3600),
    "n53 an hour ahead": lambda program: program.proof(iat=int(program.house.clock().timestamp()) + 3600),
    "n53 other key": lambda program: program.proof(header={"jwk": public_jwk(ec.generate_private_key(ec.SECP256R1()))}),
    "htu is no text": lambda program: program.proof(htu=7),
}


@pytest.mark.parametrize("case", BAD)
def test_n52_n53_a_proof_that_breaks_one_rule_is_refused_and_costs_no_code(strict: Program, case: str) -> None:
    code = strict.grant()
    refused(strict.token(code, dpop=BAD[case](strict)), 400, "invalid_dpop_proof")
    assert strict.token(code, dpop=strict.proof()).status_code == 200


def test_n52_two_proofs_are_refused(strict: Program) -> None:
    two = [("DPoP", strict.proof()), ("DPoP", strict.proof())]
    refused(strict.token(strict.grant(), headers=two), 400, "invalid_dpop_proof")


def test_n53_rs256_signs_no_proof(strict: Program) -> None:
    weak = strict.proof(key=rsa.generate_private_key(65537, 2048), alg="RS256")
    refused(strict.token(strict.grant(), dpop=weak), 400, "invalid_dpop_proof")


def test_n53_a_proof_works_once(strict: Program) -> None:
    proof, code = strict.proof(), strict.grant()
    assert strict.token(strict.grant(), dpop=proof).status_code == 200
    refused(strict.token(code, dpop=proof), 400, "invalid_dpop_proof")
    assert strict.token(code, dpop=strict.proof()).status_code == 200  # the refused proof took no code with it


@pytest.mark.parametrize("case", ["no ath", "wrong ath", "no proof", "bearer", "other key", "used", "method"])
def test_n53_userinfo_refuses_a_bound_token_without_its_own_proof(strict: Program, case: str) -> None:
    token = bound(strict)
    good = strict.proof("/userinfo", method="GET", access_token=token)
    changed: dict[str, dict[str, Any]] = {
        "no ath": {"access_token": None},
        "wrong ath": {"access_token": token + "x"},
        "other key": {"key": ec.generate_private_key(ec.SECP256R1())},
        "method": {"method": "POST"},
    }
    proof = good
    if case in changed:
        proof = strict.proof("/userinfo", **{"method": "GET", "access_token": token} | changed[case])
    if case == "used":
        assert strict.userinfo(token, scheme="DPoP", dpop=good).status_code == 200
    answer = strict.userinfo(
        token, scheme="Bearer" if case == "bearer" else "DPoP", dpop=None if case == "no proof" else proof
    )
    refused(answer, 401, "invalid_token" if case in {"bearer", "other key"} else "invalid_dpop_proof")
    scheme, _, challenge = answer.headers["WWW-Authenticate"].partition(" ")
    assert scheme == ("Bearer" if case == "bearer" else "DPoP")
    assert f'error="{answer.get_json()["error"]}"' in challenge
    if case != "bearer":
        assert 'algs="ES256 PS256 EdDSA"' in challenge


def test_a_bearer_token_is_not_shown_as_a_bound_one(house: House) -> None:
    program = register(house, "plain")
    token = program.token(program.grant()).get_json()["access_token"]
    proof = program.proof("/userinfo", method="GET", access_token=token)
    refused(program.userinfo(token, scheme="DPoP", dpop=proof), 401, "invalid_token")
    assert program.userinfo(token).status_code == 200


def test_n54_other_spellings_of_the_same_request_pass(strict: Program) -> None:
    spellings = [
        f"{ISSUER}/token?a=b",
        f"{ISSUER}/token#x",
        "http://LOCALHOST:8000/token",
        "HTTP://localhost:8000/token",
    ]
    for htu in spellings:
        assert strict.token(strict.grant(), dpop=strict.proof(htu=htu)).status_code == 200, htu
    assert strict.token(strict.grant(), dpop=strict.proof(extra={"x": [1]})).status_code == 200
    shouted = strict.token(strict.grant(), headers=[("DPOP", strict.proof())])
    assert shouted.status_code == 200
    token = bound(strict)
    for scheme in ("dpop", "DPOP", "DPoP"):
        proof = strict.proof("/userinfo", method="GET", access_token=token)
        assert strict.userinfo(token, scheme=scheme, dpop=proof).status_code == 200


def test_n54_a_default_port_may_be_written_or_not(
    make_house: Callable[..., House],
) -> None:
    house = make_house(issuer="http://localhost")
    strict = register(house, "strict", profile=SecurityProfile.FAPI2, dpop_bound_tokens=True)
    for htu in ("http://localhost:80/token", "http://localhost/token", "http://localhost:/token"):
        assertion = strict.assertion(aud="http://localhost")
        answer = strict.token(strict.grant(), dpop=strict.proof(htu=htu), client_assertion=assertion)
        assert answer.status_code == 200, answer.text


# --- nonces ----------------------------------------------------------------------------------------------------------


def test_where_nonces_are_required_the_answer_brings_the_one_to_use(make_house: Callable[..., House]) -> None:
    house = make_house(policy={"requires_dpop_nonce": True})
    strict = register(house, "strict", profile=SecurityProfile.FAPI2, dpop_bound_tokens=True)
    code = strict.grant()
    first = strict.token(code, dpop=strict.proof())
    refused(first, 400, "use_dpop_nonce")
    nonce = first.headers["DPoP-Nonce"]
    refused(strict.token(code, dpop=strict.proof(nonce="A" * 43)), 400, "use_dpop_nonce")
    old = int(house.clock().timestamp()) - 3600
    answer = strict.token(code, dpop=strict.proof(nonce=nonce, iat=old))  # with a nonce our clock judges, not theirs
    assert answer.status_code == 200
    assert answer.headers["DPoP-Nonce"]
    token = answer.get_json()["access_token"]
    at_userinfo = strict.userinfo(
        token, scheme="DPoP", dpop=strict.proof("/userinfo", method="GET", access_token=token)
    )
    refused(at_userinfo, 401, "use_dpop_nonce")
    assert 'error="use_dpop_nonce"' in at_userinfo.headers["WWW-Authenticate"]
    nonce = at_userinfo.headers["DPoP-Nonce"]
    good = strict.proof("/userinfo", method="GET", access_token=token, nonce=nonce)
    assert strict.userinfo(token, scheme="DPoP", dpop=good).status_code == 200
    house.clock.step(minutes=4)
    late = strict.proof("/userinfo", method="GET", access_token=token, nonce=nonce)
    refused(strict.userinfo(token, scheme="DPoP", dpop=late), 401, "use_dpop_nonce")


def test_who_sends_no_proof_is_told_no_nonce(house: House) -> None:
    program = register(house, "plain")
    assert "DPoP-Nonce" not in program.token(program.grant()).headers


def test_a_public_client_may_bind_its_tokens_to_a_key(house: House) -> None:
    app = register(house, "app", auth_method=AuthMethod.NONE, application_type="native")
    answer = app.token(app.grant(), dpop=app.proof(), authenticated=False, client_id="app")
    assert answer.get_json()["token_type"] == "DPoP"
