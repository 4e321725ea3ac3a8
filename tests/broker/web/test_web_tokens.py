"""What comes of a code: once, for its own client, with its verifier; cases 16, 17, 37, 47 and 59, and resources."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from broker.flows.ports import KeyUse
from broker.flows.secret import digest
from broker.flows.token import GRANTS
from broker.jose import public_jwk, verify_jws
from broker.jwe import decrypt_compact
from broker.keys.live import open_keys
from broker.keys.rotation import create
from broker.oidc.client import Encryption, GrantType
from tests.broker.web.house import ISSUER, PASSPHRASE, VERIFIER, House
from tests.broker.web.program import Program, register

API = "https://api.example/v1"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


def refused(answer: TestResponse, status: int, error: str) -> None:
    body = answer.get_json()
    assert (answer.status_code, body["error"]) == (status, error), body


def payload(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


@pytest.fixture
def program(house: House) -> Program:
    return register(house)


def test_n16_of_a_code_redeemed_twice_the_second_time_is_refused(program: Program) -> None:
    code = program.grant()
    assert program.token(code).status_code == 200
    refused(program.token(code), 400, "invalid_grant")


def test_n17_a_code_replayed_half_a_minute_later_ends_the_token_it_brought(program: Program) -> None:
    code = program.grant()
    token = program.token(code).get_json()["access_token"]
    assert program.userinfo(token).status_code == 200
    program.house.clock.step(seconds=30)
    refused(program.token(code), 400, "invalid_grant")
    refused(program.userinfo(token), 401, "invalid_token")


@pytest.mark.parametrize("verifier", [None, "x" * 43, VERIFIER[:-1], VERIFIER + "A", ""])
def test_n37_a_code_without_its_verifier_brings_nothing(program: Program, verifier: str | None) -> None:
    refused(program.token(program.grant(), code_verifier=verifier), 400, "invalid_grant")


def test_n47_a_code_is_dead_after_a_minute(program: Program) -> None:
    code = program.grant()
    program.house.clock.step(seconds=62)
    refused(program.token(code), 400, "invalid_grant")


def test_an_id_token_says_who_how_and_for_whom(program: Program) -> None:
    answer = program.token(program.grant()).get_json()
    assert answer.keys() == {"access_token", "token_type", "expires_in", "scope", "id_token"}
    claims = payload(answer["id_token"])
    assert claims.keys() == {"iss", "sub", "aud", "iat", "exp", "auth_time", "acr", "amr", "nonce", "sid"}
    assert (claims["iss"], claims["aud"], claims["nonce"]) == (ISSUER, "program", "a-nonce")


# --- claims ----------------------------------------------------------------------------------------------------------

UNKNOWN: dict[str, dict[str, Any]] = {
    "unknown": {
        "id_token": {"verified_claims": {"verification": {"trust_framework": None}, "claims": {"no_such": None}}}
    },
    "essential": {
        "id_token": {
            "verified_claims": {
                "verification": {"trust_framework": None},
                "claims": {"no_such": {"essential": True}},
            }
        }
    },
    "special characters": {
        "id_token": {"verified_claims": {"verification": {"trust_framework": None}, "claims": {"x/%&=#+ 表": None}}}
    },
    "random value": {
        "id_token": {
            "verified_claims": {
                "verification": {"trust_framework": None},
                "claims": {"given_name": None, "family_name": {"value": "r4nd0m"}},
            }
        }
    },
    "plain": {"id_token": {"no_such_claim": {"essential": True}}, "userinfo": {"nor_this": None}},
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_n59_claims_that_nobody_can_serve_are_absent_and_nothing_fails(program: Program, case: str) -> None:
    answer = program.token(program.grant(claims=json.dumps(UNKNOWN[case]))).get_json()
    assert "verified_claims" not in payload(answer["id_token"])
    assert "no_such_claim" not in payload(answer["id_token"])
    assert program.userinfo(answer["access_token"]).get_json().keys() == {"sub"}


def test_n59_what_is_asked_for_in_one_place_stands_in_no_other(program: Program) -> None:
    asked = {"id_token": {"acr": None}, "userinfo": {"auth_time": {"essential": True}}}
    answer = program.token(program.grant(claims=json.dumps(asked))).get_json()
    told = program.userinfo(answer["access_token"]).get_json()
    assert told.keys() == {"sub", "auth_time"}
    assert told["sub"] == payload(answer["id_token"])["sub"]
    other = {"userinfo": {"acr": {"value": "another"}, "amr": None}}
    answer = program.token(program.grant(claims=json.dumps(other))).get_json()
    assert program.userinfo(answer["access_token"]).get_json().keys() == {"sub", "amr"}


# --- userinfo --------------------------------------------------------------------------------------------------------


def test_userinfo_takes_no_token_in_a_form_or_query(program: Program) -> None:
    token = program.token(program.grant()).get_json()["access_token"]
    browser = program.house.browser()
    refused(browser.post("/userinfo", data={"access_token": token}, base_url=ISSUER), 401, "invalid_token")
    refused(browser.get(f"/userinfo?access_token={token}", base_url=ISSUER), 401, "invalid_token")
    both = {"Authorization": f"Bearer {token}"}
    refused(
        browser.post("/userinfo", data={"access_token": token}, headers=both, base_url=ISSUER), 400, "invalid_request"
    )
    assert browser.post("/userinfo", headers=both, base_url=ISSUER).status_code == 200


def test_userinfo_is_signed_and_encrypted_as_the_client_is_registered(house: House) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    encryption = Encryption(alg="ECDH-ES+A128KW", enc="A256GCM")
    recipient = public_jwk(key) | {"use": "enc", "kid": "e"}
    kinds = ((None, None), ("ES256", None), ("ES256", encryption), (None, encryption))
    for number, (alg, encrypted) in enumerate(kinds):
        members: dict[str, Any] = {"userinfo_alg": alg, "userinfo_encryption": encrypted}
        program = _with_recipient(house, f"client-{number}", recipient, **members)
        answer = program.userinfo(program.token(program.grant()).get_json()["access_token"])
        assert answer.status_code == 200
        if alg is None and encrypted is None:
            assert answer.content_type == "application/json"
            continue
        assert answer.content_type == "application/jwt"
        data = answer.data
        if encrypted:
            data = decrypt_compact(data, key=key, algorithms=[encrypted.alg], encryptions=[encrypted.enc])
        if alg is None:
            assert json.loads(data).keys() == {"sub"}
            continue
        claims = json.loads(verify_jws(data, jwks=house.ports.keys.jwks(KeyUse.ID_TOKEN), algorithms=[alg]))
        assert claims.keys() == {"iss", "aud", "sub"}
        assert (claims["iss"], claims["aud"]) == (ISSUER, program.client.client_id)


def _with_recipient(house: House, client_id: str, recipient: dict[str, str], **members: Any) -> Program:
    key = ec.generate_private_key(ec.SECP256R1())
    signing = public_jwk(key) | {"use": "sig", "kid": "s"}
    program = register(house, client_id, jwks={"keys": [signing, recipient]}, **members)
    program.key = key
    return program


def test_an_id_token_is_encrypted_to_the_clients_encryption_key_and_no_other(house: House) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    encryption = Encryption(alg="ECDH-ES", enc="A128CBC-HS256")
    program = _with_recipient(
        house, "sealed", public_jwk(key) | {"use": "enc", "kid": "e"}, id_token_encryption=encryption
    )
    token = program.token(program.grant()).get_json()["id_token"]
    opened = decrypt_compact(token, key=key, algorithms=["ECDH-ES"], encryptions=["A128CBC-HS256"])
    assert payload(opened.decode())["aud"] == "sealed"
    without = register(house, "no-key", id_token_encryption=encryption)
    refused(without.token(without.grant()), 503, "temporarily_unavailable")  # its only key signs


@pytest.mark.parametrize("alg", ["PS256", "EdDSA", "RS256"])
def test_an_id_token_is_signed_with_the_clients_algorithm(
    make_house: Callable[..., House], tmp_path: Path, alg: str
) -> None:
    folder = tmp_path / "keys"
    house = make_house()
    create(
        folder, PASSPHRASE, issuer=ISSUER, now=house.clock(), agent_root_out=tmp_path / "root.json",
        algorithms=("ES256", alg),
    )  # fmt: skip
    house = make_house(keys_of=open_keys(folder, PASSPHRASE))
    program = register(house, id_token_alg=alg)
    answer = program.token(program.grant()).get_json()
    jwks = house.browser().get("/jwks", base_url=ISSUER).get_json()
    assert json.loads(verify_jws(answer["id_token"], jwks=jwks, algorithms=[alg]))["aud"] == "program"


@pytest.mark.parametrize(
    "members",
    [{"id_token_alg": "PS256"}, {"id_token_encryption": Encryption(alg="ECDH-ES")}],
    ids=["no key to sign with", "no key to encrypt to"],
)
def test_an_id_token_that_cannot_be_made_costs_no_code(house: House, members: dict[str, Any]) -> None:
    program = register(house, **members)
    code = program.grant()
    refused(program.token(code), 503, "temporarily_unavailable")
    with house.ports.store.transaction() as tx:
        assert tx.codes.used(digest(code)) is None


# --- resources -------------------------------------------------------------------------------------------------------


def test_a_token_for_another_resource_server_is_a_jwt_for_it_alone(house: House) -> None:
    program = register(house, resources=(API, "urn:x:other"))
    code = program.grant(resources=(API, "urn:x:other"))
    answer = program.token(code, resource=API).get_json()
    claims = payload(answer["access_token"])
    assert claims["aud"] == API
    assert claims["acr"] == "aal3"
    assert claims.keys() >= {"iss", "exp", "sub", "client_id", "iat", "jti", "scope", "auth_time", "amr"}
    assert jwt.get_unverified_header(answer["access_token"])["typ"] == "at+jwt"
    refused(program.userinfo(answer["access_token"]), 401, "invalid_token")
    both = payload(program.token(program.grant(resources=(API, "urn:x:other"))).get_json()["access_token"])
    assert both["aud"] == [API, "urn:x:other"]


def test_a_grant_for_resources_reaches_userinfo_by_the_issuers_name(house: House) -> None:
    program = register(house, resources=(API,))
    token = program.token(program.grant(resources=(API,)), resource=ISSUER).get_json()["access_token"]
    assert program.userinfo(token).status_code == 200


@pytest.mark.parametrize("resource", [API, "not a uri", "https://api.example/#x", "https://other.example/"])
def test_a_resource_beyond_the_grant_is_refused(house: House, resource: str) -> None:
    program = register(house, resources=(API,))
    refused(program.token(program.grant(), resource=resource), 400, "invalid_target")


# --- clients on their own --------------------------------------------------------------------------------------------


def own(house: House, **members: Any) -> Program:
    return register(
        house, "machine", grant_types=frozenset({GrantType.CLIENT_CREDENTIALS}), redirect_uris=(), **members
    )


def test_a_client_gets_a_token_of_its_own_without_anything_personal(house: House) -> None:
    program = own(house, scope=frozenset({"openid", "offline_access", "accounts:read", "accounts:write"}))
    answer = program.post("/token", grant_type="client_credentials").get_json()
    assert answer.keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert answer["scope"] == "accounts:read accounts:write"
    claims = payload(answer["access_token"])
    assert (claims["sub"], claims["client_id"], claims["aud"]) == ("machine", "machine", ISSUER)
    refused(program.userinfo(answer["access_token"]), 403, "insufficient_scope")
    narrow = program.post("/token", grant_type="client_credentials", scope="accounts:read").get_json()
    assert narrow["scope"] == "accounts:read"
    for scope in ("openid", "accounts:read openid", "other", "a  b", '"'):
        refused(program.post("/token", grant_type="client_credentials", scope=scope), 400, "invalid_scope")


def test_a_clients_own_token_is_for_the_resources_it_names(house: House) -> None:
    program = own(house, scope=frozenset({"x"}), resources=(API, "urn:x:other"))
    form = [("grant_type", "client_credentials"), ("resource", API), ("resource", "urn:x:other")]
    form += [("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")]
    form += [("client_assertion", program.assertion())]
    answer = house.browser().post("/token", data=MultiDict(form), base_url=ISSUER).get_json()
    assert payload(answer["access_token"])["aud"] == [API, "urn:x:other"]
    refused(program.post("/token", grant_type="client_credentials", resource="urn:z"), 400, "invalid_target")


def test_a_grant_that_the_client_is_not_registered_for_is_refused(program: Program) -> None:
    refused(program.post("/token", grant_type="client_credentials"), 400, "unauthorized_client")


def test_no_token_is_exchanged_while_there_is_no_policy(house: House) -> None:
    program = register(house, grant_types=frozenset({GrantType.TOKEN_EXCHANGE}), redirect_uris=(), resources=(API,))
    kind = "urn:ietf:params:oauth:token-type:access_token"
    good: dict[str, Any] = {"grant_type": EXCHANGE, "subject_token": "x", "subject_token_type": kind}
    refused(program.post("/token", **good), 400, "unauthorized_client")
    refused(program.post("/token", **good, resource=API), 400, "invalid_target")
    refused(program.post("/token", **good, audience="somebody"), 400, "invalid_target")
    for broken in (
        {"subject_token": None},
        {"subject_token_type": "urn:x"},
        {"actor_token": "y"},
        {"requested_token_type": "urn:x"},
    ):
        refused(program.post("/token", **{**good, **broken}), 400, "invalid_request")


def test_a_host_whose_clock_went_back_issues_nothing(house: House) -> None:
    program = own(house, scope=frozenset({"x"}))
    with house.ports.store.transaction() as tx:
        tx.clock.raise_to(house.clock())
    house.clock.step(minutes=-5)
    refused(program.post("/token", grant_type="client_credentials"), 503, "temporarily_unavailable")
    house.clock.step(minutes=5)
    assert program.post("/token", grant_type="client_credentials").status_code == 200


def test_the_metadata_name_every_grant_that_is_served_and_no_other(house: House) -> None:
    document = house.browser().get("/.well-known/openid-configuration", base_url=ISSUER).get_json()
    assert set(document["grant_types_supported"]) == set(GRANTS) - {GrantType.CIBA}  # that needs an approver's channel
    assert "none" in document["revocation_endpoint_auth_methods_supported"]
    assert "none" not in document["introspection_endpoint_auth_methods_supported"]
    assert not {"tls_client_auth", "self_signed_tls_client_auth"} & set(
        document["token_endpoint_auth_methods_supported"]
    )
