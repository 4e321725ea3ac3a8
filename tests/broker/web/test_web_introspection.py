"""Asking about tokens and ending them: RFC 7662, RFC 9701, RFC 7009."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from werkzeug.test import TestResponse

from broker.flows.ports import KeyUse
from broker.jose import public_jwk, verify_jws
from broker.jwe import decrypt_compact
from broker.oidc.client import AuthMethod, Encryption, GrantType
from tests.broker.web.house import House
from tests.broker.web.program import Program, register
from tests.broker.web.test_web_refresh import begin, events, offline, public, refresh

API = "https://api.example/v1"
JWT = "application/token-introspection+jwt"


def refused(answer: TestResponse, status: int, error: str) -> None:
    body = answer.get_json()
    assert (answer.status_code, body["error"]) == (status, error), body


def ask(program: Program, token: str | None, *, accept: str = "application/json", **form: Any) -> TestResponse:
    return program.post("/introspect", headers=[("Accept", accept)], token=token, **form)


def end(program: Program, token: str | None, **form: Any) -> TestResponse:
    if program.client.public:
        form = {"authenticated": False, "client_id": program.client.client_id} | form
    return program.post("/revoke", token=token, **form)


@pytest.fixture
def program(house: House) -> Program:
    return offline(house)


def test_a_client_learns_what_its_own_tokens_say(program: Program) -> None:
    first = begin(program)
    told = ask(program, first["access_token"]).get_json()
    said = jwt.decode(first["access_token"], options={"verify_signature": False})
    assert told["active"] is True
    assert {name: told[name] for name in said if name in told} == said
    assert (told["token_type"], told["acr"], told["scope"]) == ("Bearer", "aal3", "accounts offline_access openid")
    refreshing = ask(program, first["refresh_token"]).get_json()
    assert refreshing.keys() == {"active", "sub", "client_id", "scope", "iat", "exp"}
    assert refreshing["exp"] - refreshing["iat"] == 90 * 86400


def test_nobody_else_learns_anything(program: Program) -> None:
    first = begin(program)
    other = register(program.house, "other", vetted=False, client_uri="http://localhost:8000")
    for token in (first["access_token"], first["refresh_token"], "unknown", "a.b.c", first["id_token"]):
        assert ask(other, token).get_json() == {"active": False}
    refused(ask(program, None), 400, "invalid_request")
    refused(ask(program, first["access_token"], client_assertion=None), 401, "invalid_client")
    app = public(program.house)
    anonymous = app.post("/introspect", authenticated=False, client_id="app", token=first["access_token"])
    refused(anonymous, 401, "invalid_client")


def test_a_resource_server_learns_of_tokens_for_it(house: House) -> None:
    program = register(house, resources=(API, "urn:x:y"))
    server = register(house, "server", client_uri="https://api.example/", grant_types=frozenset())
    stranger = register(house, "stranger-server", client_uri="https://other.example/", grant_types=frozenset())
    token = program.token(program.grant(resources=(API,))).get_json()["access_token"]
    told = ask(server, token).get_json()
    assert (told["active"], told["aud"], told["client_id"]) == (True, API, "program")
    assert ask(stranger, token).get_json() == {"active": False}
    for_another = program.token(program.grant(resources=("urn:x:y",))).get_json()["access_token"]
    assert ask(server, for_another).get_json() == {"active": False}


def test_a_token_that_ended_is_not_active(program: Program) -> None:
    house = program.house
    first = begin(program)
    house.clock.step(minutes=11)
    assert ask(program, first["access_token"]).get_json() == {"active": False}
    assert ask(program, first["refresh_token"]).get_json()["active"] is True
    house.clock.step(days=90)
    assert ask(program, first["refresh_token"]).get_json() == {"active": False}


def test_a_bound_token_says_to_which_key(house: House) -> None:
    program = register(house)
    token = program.token(program.grant(), dpop=program.proof()).get_json()["access_token"]
    told = ask(program, token).get_json()
    assert told["token_type"] == "DPoP"
    assert told["cnf"].keys() == {"jkt"}


def test_the_answer_is_a_jwt_for_who_accepts_one(house: House) -> None:
    program = register(house)
    token = program.token(program.grant()).get_json()["access_token"]
    answer = ask(program, token, accept=JWT)
    assert answer.content_type == JWT
    jwks = house.ports.keys.jwks(KeyUse.ID_TOKEN)
    signed = json.loads(verify_jws(answer.data, jwks=jwks, algorithms=["ES256"], typ="token-introspection+jwt"))
    assert signed.keys() == {"iss", "aud", "iat", "token_introspection"}
    assert signed["aud"] == "program"
    assert signed["token_introspection"]["active"] is True
    nothing = json.loads(verify_jws(ask(program, "x", accept=JWT).data, jwks=jwks, algorithms=["ES256"]))
    assert nothing["token_introspection"] == {"active": False}


def test_the_jwt_is_encrypted_where_the_client_registered_for_it(house: House) -> None:
    key, signing = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    program = register(
        house,
        introspection_encryption=Encryption(alg="ECDH-ES", enc="A256GCM"),
        jwks={"keys": [public_jwk(signing) | {"use": "sig", "kid": "s"}, public_jwk(key) | {"use": "enc", "kid": "e"}]},
    )
    program.key = signing
    token = program.token(program.grant()).get_json()["access_token"]
    opened = decrypt_compact(ask(program, token, accept=JWT).data, key=key)
    jwks = house.ports.keys.jwks(KeyUse.ID_TOKEN)
    assert json.loads(verify_jws(opened, jwks=jwks, algorithms=["ES256"]))["aud"] == "program"


def test_an_assertion_works_once_here_too(program: Program) -> None:
    assertion = program.assertion()
    assert ask(program, "x", client_assertion=assertion).status_code == 200
    refused(ask(program, "x", client_assertion=assertion), 401, "invalid_client")
    refused(end(program, "x", client_assertion=assertion), 401, "invalid_client")


# --- revocation ------------------------------------------------------------------------------------------------------


def test_an_access_token_is_ended_alone(program: Program) -> None:
    first = begin(program)
    answer = end(program, first["access_token"])
    assert (answer.status_code, answer.data) == (200, b"")
    refused(program.userinfo(first["access_token"]), 401, "invalid_token")
    assert events(program.house)[-1] == "token_revoked"
    assert refresh(program, first["refresh_token"]).status_code == 200
    assert end(program, first["access_token"]).status_code == 200  # again: it is ended


def test_a_refresh_token_takes_its_whole_grant_with_it(program: Program) -> None:
    first = begin(program)
    assert end(program, first["refresh_token"], token_type_hint="access_token").status_code == 200
    refused(refresh(program, first["refresh_token"]), 400, "invalid_grant")
    refused(program.userinfo(first["access_token"]), 401, "invalid_token")
    assert events(program.house).count("token_revoked") == 1


def test_nobody_ends_anothers_tokens(program: Program) -> None:
    first = begin(program)
    other = offline(program.house, "other")
    for token in (first["access_token"], first["refresh_token"]):
        refused(end(other, token), 400, "invalid_grant")
    refused(end(other, None), 400, "invalid_request")
    refused(end(program, first["access_token"], client_assertion=None), 401, "invalid_client")
    assert program.userinfo(first["access_token"]).status_code == 200
    assert end(other, "unknown").status_code == 200


def test_a_public_client_ends_its_own(house: House) -> None:
    app = public(house)
    first = begin(app, authenticated=False, client_id="app")
    assert end(app, first["refresh_token"]).status_code == 200
    refused(app.userinfo(first["access_token"]), 401, "invalid_token")


def test_a_clients_own_token_is_ended_too(house: House) -> None:
    machine = register(
        house,
        "machine",
        grant_types=frozenset({GrantType.CLIENT_CREDENTIALS}),
        redirect_uris=(),
        scope=frozenset({"x"}),
    )
    token = machine.post("/token", grant_type="client_credentials").get_json()["access_token"]
    assert ask(machine, token).get_json()["sub"] == "machine"
    assert end(machine, token).status_code == 200
    assert ask(machine, token).get_json() == {"active": False}
    assert machine.client.auth_method is AuthMethod.PRIVATE_KEY_JWT


def test_a_long_token_is_looked_at_too(house: House) -> None:
    resources = tuple(f"https://api.example/{'x' * 480}/{number}" for number in range(8))
    program = register(house, resources=resources)
    token = program.token(program.grant(resources=resources)).get_json()["access_token"]
    assert len(token) > 4096
    assert ask(program, token).get_json()["active"] is True
