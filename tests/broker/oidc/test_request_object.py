"""Request objects: the numbers are those of the conformance suite's negatives (RFC 9101, OIDC Core §6, FAPI 2.0)."""

from __future__ import annotations

import functools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from broker import jose
from broker.errors import InvalidRequest, InvalidRequestObject, ProtocolError, RequestNotSupported
from broker.ids import ClientID
from broker.oidc import request_object
from broker.oidc.request_object import CIBA_MEMBERS, check_claims, merge, parameters, verify

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ISSUER = "https://login.example.jp"
CLIENT = ClientID("bank")
SECONDS = int(NOW.timestamp())
GOOD: dict[str, Any] = {
    "iss": "bank",
    "aud": ISSUER,
    "exp": SECONDS + 300,
    "nbf": SECONDS,
    "client_id": "bank",
    "response_type": "code",
    "redirect_uri": "https://bank.example/callback",
    "scope": "openid",
}


class Key:
    """A key behind the Signer port."""

    def __init__(self, alg: str, kid: str) -> None:
        self.alg, self.kid = alg, kid
        self.key = rsa_key() if alg[0] in "RP" else ec.generate_private_key(ec.SECP256R1())

    def sign(self, data: bytes, /) -> bytes:
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            return jose.raw_ecdsa(self.key.sign(data, ec.ECDSA(hashes.SHA256())), algorithm="ES256")
        if self.alg == "RS256":
            return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())

    @property
    def jwk(self) -> dict[str, str]:
        return {**jose.public_jwk(self.key), "kid": self.kid, "use": "sig"}


@functools.cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@functools.cache
def key(alg: str = "ES256", owner: str = "bank") -> Key:
    return Key(alg, f"{owner}-{alg}")


def jwks() -> dict[str, Any]:
    return {"keys": [key(alg).jwk for alg in ("ES256", "PS256", "RS256")]}


def signed(claims: dict[str, Any] = GOOD, alg: str = "ES256", typ: str | None = request_object.TYPE) -> str:
    return jose.sign_jws(claims, signer=key(alg), typ=typ)


def unsigned() -> str:
    head = jose.b64url(json.dumps({"alg": "none"}).encode())
    return f"{head}.{jose.b64url(json.dumps(GOOD).encode())}."


def check(claims: dict[str, Any], *, fapi: bool = True) -> None:
    check_claims(claims, client_id=CLIENT, issuer=ISSUER, now=NOW, fapi=fapi)


def but(**changed: Any) -> dict[str, Any]:
    return {name: value for name, value in {**GOOD, **changed}.items() if value is not None}


# --- the signature ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typ", [request_object.TYPE, "application/oauth-authz-req+jwt", "OAuth-AuthZ-Req+JWT", "JWT", None]
)
def test_a_signed_object_is_read(typ: str | None) -> None:
    for fapi in (True, False):
        claims = verify(signed(typ=typ), jwks=jwks(), fapi=fapi)
        check(claims, fapi=fapi)
        assert claims == GOOD


@pytest.mark.parametrize(
    "typ", ["at+jwt", "dpop+jwt", "logout+jwt", "token-introspection+jwt", "client-authentication+jwt", ""]
)
def test_a_jwt_made_for_something_else_is_refused(typ: str) -> None:
    with pytest.raises(InvalidRequestObject, match="another type"):
        verify(signed(typ=typ), jwks=jwks(), fapi=True)


def test_14_an_unsigned_object_is_declined_by_name_and_never_ignored() -> None:
    with pytest.raises(RequestNotSupported):
        verify(unsigned(), jwks=jwks(), fapi=False)


def test_56_rs256_serves_the_oidc_profile_only() -> None:
    assert verify(signed(alg="RS256"), jwks=jwks(), fapi=False) == GOOD
    with pytest.raises(InvalidRequestObject, match="algorithm"):
        verify(signed(alg="RS256"), jwks=jwks(), fapi=True)
    assert verify(signed(alg="PS256"), jwks=jwks(), fapi=True) == GOOD


def test_56_alg_none_is_no_request_object_under_fapi() -> None:
    with pytest.raises(InvalidRequestObject):
        verify(unsigned(), jwks=jwks(), fapi=True)


def test_56_a_broken_signature_is_refused() -> None:
    token = signed()
    with pytest.raises(InvalidRequestObject):
        verify(f"{token[:-4]}{'AAAA' if token[-4:] != 'AAAA' else 'BBBB'}", jwks=jwks(), fapi=True)


def test_56_another_clients_key_is_refused() -> None:
    token = jose.sign_jws(GOOD, signer=key("ES256", "clinic"), typ=request_object.TYPE)
    same_name = Key("ES256", "bank-ES256")
    for forged in (token, jose.sign_jws(GOOD, signer=same_name, typ=request_object.TYPE)):
        with pytest.raises(InvalidRequestObject):
            verify(forged, jwks=jwks(), fapi=True)


def test_only_the_registered_algorithm_passes_where_one_is_registered() -> None:
    assert verify(signed(alg="PS256"), jwks=jwks(), fapi=True, registered_alg="PS256") == GOOD
    for registered in ("ES256", "RS256", "none"):
        with pytest.raises(InvalidRequestObject):
            verify(signed(alg="PS256"), jwks=jwks(), fapi=True, registered_alg=registered)


@given(
    st.text(max_size=60) | st.just("." * 5000) | st.binary(max_size=40).map(lambda data: f"{jose.b64url(data)}.e30.AA")
)
def test_what_is_no_object_is_refused_with_our_error(token: str) -> None:
    for fapi in (True, False):
        with pytest.raises(ProtocolError):
            verify(token, jwks=jwks(), fapi=fapi)


# --- what it says about itself ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claims",
    [
        but(exp=None),
        but(nbf=None),
        but(exp=SECONDS - 1),
        but(exp=SECONDS),
        but(exp=SECONDS + 70 * 60),
        but(exp=SECONDS + 60 * 60 + 1),
        but(nbf=SECONDS - 70 * 60),
        but(nbf=SECONDS - 60 * 60 - 1),
        but(nbf=SECONDS + 11),
        but(nbf=SECONDS + 70),
        but(iat=SECONDS + 11),
        but(aud=None),
        but(aud=f"{ISSUER}/"),
        but(aud=f"{ISSUER}/par"),
        but(aud=["https://other.example"]),
        but(aud=[]),
        but(aud=[ISSUER, 7]),
        but(aud={"a": ISSUER}),
        but(iss=None),
        but(iss="clinic"),
        but(iss=["bank"]),
        but(client_id=None),
        but(client_id="clinic"),
        but(jti=7),
        but(jti=""),
        but(jti="x" * 257),
    ],
)
def test_55_dates_audience_and_client_are_judged_under_fapi(claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestObject):
        check(claims)


@pytest.mark.parametrize(
    "claims",
    [
        but(nbf=SECONDS + 8),
        but(nbf=SECONDS + 10),
        but(iat=SECONDS + 8),
        but(aud=[ISSUER, "https://other.example"]),
        but(aud=[ISSUER]),
        but(nbf=SECONDS - 3599.5, exp=SECONDS + 0.5),
        but(exp=SECONDS + 60 * 60),
        but(sub="somebody"),
        but(jti="1"),
    ],
    ids=str,
)
def test_55_a_small_skew_and_a_second_audience_pass(claims: dict[str, Any]) -> None:
    check(claims)


def test_the_oidc_profile_asks_for_less_and_believes_nothing_wrong() -> None:
    check({"response_type": "code", "scope": "openid"}, fapi=False)
    for wrong in (
        but(iss="clinic"),
        but(client_id="clinic"),
        but(aud="https://other.example"),
        but(exp=SECONDS - 1),
        but(nbf=SECONDS + 60),
        but(iat=SECONDS + 60),
    ):
        with pytest.raises(InvalidRequestObject):
            check(wrong, fapi=False)
    check(but(exp=SECONDS + 86_400), fapi=False)


def test_32_33_an_object_holds_no_other_request() -> None:
    for name in ("request", "request_uri"):
        for fapi in (True, False):
            with pytest.raises(InvalidRequestObject, match="inside"):
                check(but(**{name: "urn:ietf:params:oauth:request_uri:x"}), fapi=fapi)


def test_42_an_object_that_could_pass_as_a_client_assertion_is_refused() -> None:
    for fapi in (True, False):
        with pytest.raises(InvalidRequestObject, match="assertion"):
            check(but(sub="bank"), fapi=fapi)


@pytest.mark.parametrize("missing", sorted(CIBA_MEMBERS))
def test_58_a_backchannel_request_object_says_all_about_itself(missing: str) -> None:
    whole = {**GOOD, "iat": SECONDS, "jti": "1"}
    check_claims(whole, client_id=CLIENT, issuer=ISSUER, now=NOW, fapi=False, required=CIBA_MEMBERS)
    del whole[missing]
    with pytest.raises(InvalidRequestObject, match=missing):
        check_claims(whole, client_id=CLIENT, issuer=ISSUER, now=NOW, fapi=False, required=CIBA_MEMBERS)


@given(ahead=st.integers(-8_000, 8_000), life=st.integers(0, 8_000))
def test_under_fapi_an_object_is_good_for_an_hour_of_its_own_and_no_more(ahead: int, life: int) -> None:
    claims = but(nbf=SECONDS + ahead, exp=SECONDS + ahead + life)
    good = -3600 <= ahead <= 10 and life <= 3600 and ahead + life > 0
    if good:
        check(claims)
    else:
        with pytest.raises(InvalidRequestObject):
            check(claims)


# --- its parameters --------------------------------------------------------------------------------------------------


def test_parameters_are_what_a_query_would_have_said() -> None:
    claims = but(
        max_age=0,
        claims={"id_token": {"acr": {"essential": True}}},
        authorization_details=[{"type": "t"}],
        resource=["https://a.example", "https://b.example"],
        state="s" * 384,
        nonce="n" * 384,
        jti="1",
        iat=SECONDS,
        sub="x",
        registration={"unknown": "object"},
        extra="foobar",
        login_hint="",
    )
    assert parameters(claims) == {
        "client_id": "bank",
        "response_type": "code",
        "redirect_uri": "https://bank.example/callback",
        "scope": "openid",
        "max_age": "0",
        "claims": '{"id_token":{"acr":{"essential":true}}}',
        "authorization_details": '[{"type":"t"}]',
        "resource": "https://a.example https://b.example",
        "state": "s" * 384,  # 57: long ones are never cut
        "nonce": "n" * 384,
        "extra": "foobar",
    }
    assert parameters({"max_age": "60", "resource": "https://a.example"}) == {
        "max_age": "60",
        "resource": "https://a.example",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"claims": "{}"},
        {"claims": []},
        {"authorization_details": {}},
        {"authorization_details": "[]"},
        {"max_age": -1},
        {"max_age": 1.5},
        {"max_age": True},
        {"max_age": None},
        {"max_age": [1]},
        {"max_age": 10**9},
        {"resource": 1},
        {"resource": ["https://a.example", None]},
        {"resource": "https://a.example https://b.example"},
        {"state": 1},
        {"nonce": None},
        {"redirect_uri": ["https://bank.example/callback"]},
        {"scope": ["openid"]},
        {"client_id": 1},
        {"prompt": {}},
    ],
    ids=str,
)
def test_a_member_of_the_wrong_shape_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestObject):
        parameters(wrong)


OUTSIDE = {"client_id": "bank", "response_type": "code", "scope": "openid"}


def test_13_a_redirect_uri_inside_wins_over_one_outside() -> None:
    outside = {**OUTSIDE, "redirect_uri": "https://attacker.example/", "request": "…"}
    for only in (True, False):
        request = merge(outside, parameters(GOOD), client_id=CLIENT, object_only=only)
        assert request["redirect_uri"] == "https://bank.example/callback"
        assert "request" not in request


def test_15_57_under_fapi_nothing_outside_counts() -> None:
    outside = {**OUTSIDE, "state": "outside", "nonce": "outside", "prompt": "none", "code_challenge": "x"}
    request = merge(outside, parameters(but(nonce="inside")), client_id=CLIENT, object_only=True)
    assert request == {**parameters(GOOD), "nonce": "inside"}
    assert "state" not in request


def test_under_oidc_core_what_the_object_leaves_out_comes_from_beside_it() -> None:
    outside = {**OUTSIDE, "state": "outside", "nonce": "outside"}
    inside = parameters({"nonce": "inside", "scope": "openid name"})
    request = merge(outside, inside, client_id=CLIENT, object_only=False)
    assert request == {**OUTSIDE, "state": "outside", "nonce": "inside", "scope": "openid name"}


@pytest.mark.parametrize(
    "outside",
    [
        {"client_id": "bank", "scope": "openid"},
        {"client_id": "bank", "response_type": "code"},
        {**OUTSIDE, "scope": "name"},
        {**OUTSIDE, "response_type": "code id_token"},
    ],
    ids=str,
)
def test_under_oidc_core_response_type_and_scope_stand_outside_as_well(outside: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        merge(outside, parameters(GOOD), client_id=CLIENT, object_only=False)
    assert merge(outside, parameters(GOOD), client_id=CLIENT, object_only=True) == parameters(GOOD)


def test_another_client_id_outside_is_refused() -> None:
    for only in (True, False):
        with pytest.raises(InvalidRequest):
            merge({**OUTSIDE, "client_id": "clinic"}, parameters(GOOD), client_id=CLIENT, object_only=only)


def test_an_hour_is_an_hour() -> None:
    assert timedelta(hours=1) == request_object.MAX_LIFETIME
