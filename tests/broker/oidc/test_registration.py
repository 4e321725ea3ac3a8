"""Client metadata: what is read, stored and told back, and what a client that registers itself is held to."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import InvalidClientMetadata, InvalidRedirectURI
from broker.ids import ClientID, SectorID
from broker.jose import public_jwk
from broker.oidc.client import AuthMethod, Client, GrantType, SecurityProfile
from broker.oidc.registration import MEMBERS, metadata, parse
from broker.oidc.registration_rules import check_update, completed, judge, stays_vetted

ME, OWN = ClientID("me"), SectorID("own")
SIGNING_KEY, ENCRYPTION_KEY = (public_jwk(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
JWKS = {"keys": [{**SIGNING_KEY, "kid": "one"}, {**ENCRYPTION_KEY, "kid": "two", "use": "enc"}]}
GOOD: dict[str, Any] = {
    "client_name": "見本銀行",
    "redirect_uris": ["https://rp.example/cb"],
    "token_endpoint_auth_method": "private_key_jwt",
    "jwks": JWKS,
}
SIGNING = ["ES256", "PS256", "EdDSA", "RS256"]
SERVED: dict[str, Any] = {
    "grant_types_supported": [grant.value for grant in GrantType],
    "scopes_supported": ["openid", "offline_access"],
    "token_endpoint_auth_methods_supported": [method.value for method in AuthMethod],
    "token_endpoint_auth_signing_alg_values_supported": SIGNING,
    "id_token_signing_alg_values_supported": SIGNING,
    "id_token_encryption_alg_values_supported": ["RSA-OAEP-256", "ECDH-ES"],
    "id_token_encryption_enc_values_supported": ["A128CBC-HS256", "A256GCM"],
    "userinfo_signing_alg_values_supported": SIGNING,
    "request_object_signing_alg_values_supported": SIGNING,
    "authorization_signing_alg_values_supported": SIGNING,
    "backchannel_token_delivery_modes_supported": ["poll", "ping"],
    "authorization_details_types_supported": ["sign"],
}
FULL: dict[str, Any] = GOOD | {
    "post_logout_redirect_uris": ["https://rp.example/out"],
    "grant_types": ["authorization_code", "refresh_token", "urn:openid:params:grant-type:ciba"],
    "scope": "offline_access openid",
    "id_token_signed_response_alg": "PS256",
    "id_token_encrypted_response_alg": "ECDH-ES",
    "userinfo_signed_response_alg": "ES256",
    "request_object_signing_alg": "EdDSA",
    "request_uris": ["https://rp.example/request#hash"],
    "default_max_age": 0,
    "default_acr_values": ["aal3"],
    "initiate_login_uri": "https://rp.example/start",
    "backchannel_logout_uri": "https://rp.example/logout",
    "backchannel_logout_session_required": True,
    "backchannel_token_delivery_mode": "ping",
    "backchannel_client_notification_endpoint": "https://rp.example/ciba",
    "authorization_details_types": ["sign"],
    "logo_uri": "https://rp.example/logo.png",
    "policy_uri": "https://rp.example/policy",
    "tos_uri": "https://rp.example/terms",
    "contacts": ["ops@rp.example"],
}


def judged(
    members: dict[str, Any],
    *,
    profile: SecurityProfile = SecurityProfile.OIDC,
    loopback: bool = False,
    secret: bytes | None = None,
    before: Client | None = None,
) -> Client:
    return judge(
        members,
        client_id=ME,
        profile=profile,
        sector=OWN,
        vetted=False,
        secret_digest=secret,
        served=SERVED,
        loopback=loopback,
        before=before,
    )


@pytest.mark.parametrize("members", [GOOD, FULL], ids=["few", "all"])
def test_what_is_told_back_is_what_was_registered_and_makes_the_same_client(members: dict[str, Any]) -> None:
    client = judged(members)
    told = metadata(client)
    assert {name: told[name] for name in members} == members
    assert told["response_types"] == ["code"]
    assert told.keys() <= MEMBERS
    stored = json.loads(json.dumps(told))
    assert parse(stored, client_id=ME, profile=SecurityProfile.OIDC, sector=OWN) == client


def test_a_logo_is_told_back_and_an_unknown_member_is_not() -> None:
    told = metadata(judged(GOOD | {"logo_uri": "https://rp.example/logo.png", "frontend_colour": "blue"}))
    assert told["logo_uri"] == "https://rp.example/logo.png"
    assert "frontend_colour" not in told


def test_a_member_that_is_null_was_not_given() -> None:
    assert judged(GOOD | {"subject_type": None, "scope": None, "response_types": None}) == judged(GOOD)


def test_a_client_without_codes_has_no_response_type() -> None:
    members = {**GOOD, "grant_types": ["client_credentials"], "redirect_uris": [], "response_types": []}
    assert metadata(judged(members))["response_types"] == []


@pytest.mark.parametrize(
    "change",
    [
        {"response_types": ["code", "id_token"]},
        {"response_types": ["token"]},
        {"response_types": "code"},
        {"response_types": []},
        {"grant_types": ["implicit"]},
        {"grant_types": ["password"]},
        {"grant_types": [["authorization_code"]]},
        {"grant_types": {}},
        {"grant_types": ["refresh_token"]},
        {"subject_type": "public"},
        {"subject_type": ["pairwise"]},
        {"scope": "openid email"},
        {"scope": ["openid"]},
        {"software_statement": "e30.e30."},
        {"id_token_signed_response_alg": "none"},
        {"id_token_signed_response_alg": "HS256"},
        {"id_token_signed_response_alg": ["ES256"]},
        {"id_token_encrypted_response_alg": "RSA1_5"},
        {"id_token_encrypted_response_enc": "A256GCM"},
        {"userinfo_signed_response_alg": "none"},
        {"request_object_signing_alg": "none"},
        {"introspection_signed_response_alg": "ES256"},
        {"token_endpoint_auth_signing_alg": "HS256"},
        {"token_endpoint_auth_method": "client_secret_jwt"},
        {"token_endpoint_auth_method": {}},
        {"token_endpoint_auth_method": "none"},
        {"jwks": {}},
        {"jwks": {"keys": JWKS["keys"][:1]}, "id_token_encrypted_response_alg": "ECDH-ES"},
        {"id_token_encrypted_response_alg": "RSA-OAEP-256"},
        {"application_type": "native", "sector_identifier_uri": "https://group.example/"},
        {"jwks": {"keys": [{**JWKS["keys"][0], "d": "AQ"}]}},
        {"jwks": JWKS, "jwks_uri": "https://rp.example/jwks"},
        {"jwks": None, "jwks_uri": "http://rp.example/jwks"},
        {"jwks": None, "jwks_uri": "http://127.0.0.1/jwks"},
        {"jwks": None, "jwks_uri": "https://user@rp.example/jwks"},
        {"jwks": None, "jwks_uri": "https://rp.example/jwks#a"},
        {"jwks": None, "jwks_uri": "https://[::1/jwks"},
        {"jwks": None, "jwks_uri": "https:///jwks"},
        {"jwks": None, "jwks_uri": f"https://rp.example/{'x' * 500}"},
        {"jwks": None, "jwks_uri": "https://見本.example/jwks"},
        {"initiate_login_uri": "http://rp.example/start"},
        {"logo_uri": "http://rp.example/logo.png"},
        {"logo_uri": "data:image/png;base64,AA"},
        {"policy_uri": "javascript:alert(1)"},
        {"tos_uri": "http://rp.example/terms"},
        {"client_uri": "ftp://rp.example/"},
        {"backchannel_logout_uri": "http://rp.example/logout"},
        {"request_uris": ["http://rp.example/request"]},
        {"request_uris": ["https://rp.example/request", ""]},
        {"post_logout_redirect_uris": ["http://127.0.0.1/out"]},
        {"authorization_details_types": ["payment"]},
        {"resources": ["https://api.example/"]},
        {"contacts": "ops@rp.example"},
        {"contacts": ["a"] * 33},
        {"client_name": "a\u202eb"},
        {"client_name": ""},
        {"default_max_age": -1},
        {"default_max_age": True},
        {"backchannel_token_delivery_mode": "poll"},
        {"grant_types": ["authorization_code", "urn:openid:params:grant-type:ciba"]},
        {"tls_client_auth_subject_dn": "CN=rp"},
    ],
    ids=lambda change: json.dumps(change)[:50],
)
def test_what_is_not_served_or_not_in_order_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidClientMetadata):
        judged({**GOOD, **change})


def test_n08_a_start_of_login_by_plain_http_is_refused_even_in_the_sandbox() -> None:
    for uri in ("http://rp.example/start", "http://127.0.0.1/start"):
        with pytest.raises(InvalidClientMetadata, match="initiate_login_uri"):
            judged(GOOD | {"initiate_login_uri": uri}, loopback=True)


@pytest.mark.parametrize(
    "uris",
    [
        [],
        ["https://rp.example/cb#part"],
        ["https://rp.example/cb#"],
        ["http://rp.example/cb"],
        ["http://127.0.0.1/cb"],
        ["com.example.app:/cb"],
        ["https://user@rp.example/cb"],
        ["https://rp.example/cb", "https://rp.example/*\u3000"],
        [f"https://rp.example/{each}" for each in range(17)],
    ],
)
def test_n06_a_redirect_uri_with_a_fragment_or_to_nowhere_safe_is_refused(uris: list[str]) -> None:
    with pytest.raises(InvalidRedirectURI):
        judged(GOOD | {"redirect_uris": uris})


def test_loopback_is_for_native_clients_and_for_the_sandbox() -> None:
    native = {"application_type": "native", "redirect_uris": ["http://127.0.0.1/cb", "com.example.app:/cb"]}
    assert judged(GOOD | native).native
    assert judged(GOOD | native | {"token_endpoint_auth_method": "none", "jwks": None}).public
    sandbox = {"redirect_uris": ["http://127.0.0.2:8001/cb"], "backchannel_logout_uri": "http://127.0.0.2:8001/out"}
    assert judged(GOOD | sandbox, loopback=True).backchannel_logout_uri == "http://127.0.0.2:8001/out"


def test_what_an_administrator_granted_stays_and_so_does_what_is_served_no_longer() -> None:
    before = replace(judged(GOOD), resources=("https://api.example/",), introspection_alg="ES384")
    assert judged(metadata(before), before=before) == before
    more: tuple[dict[str, Any], ...] = (
        {"resources": ["https://api.example/", "https://b.example/"]},
        {"introspection_signed_response_alg": "ES512"},
    )
    for change in more:
        with pytest.raises(InvalidClientMetadata):
            judged(metadata(before) | change, before=before)


@pytest.mark.parametrize(
    "change",
    [
        {"token_endpoint_auth_method": "client_secret_basic", "jwks": None},
        {"token_endpoint_auth_method": "none", "application_type": "native", "jwks": None},
        {"id_token_signed_response_alg": "RS256"},
        {"token_endpoint_auth_signing_alg": "RS256"},
        {"request_object_signing_alg": "RS256"},
        {"dpop_bound_access_tokens": False},
    ],
    ids=lambda change: json.dumps(change)[:50],
)
def test_fapi2_takes_no_secret_no_rs256_and_no_unbound_token(change: dict[str, Any]) -> None:
    secret = bytes(32) if "secret" in json.dumps(change) else None
    with pytest.raises(InvalidClientMetadata, match="fapi2"):
        judged({**GOOD, **change}, profile=SecurityProfile.FAPI2, secret=secret)
    assert judged(GOOD, profile=SecurityProfile.FAPI2).dpop_bound_tokens


def test_what_is_left_out_is_what_rfc7591_says() -> None:
    oidc = completed({"redirect_uris": []}, profile=SecurityProfile.OIDC, served=SERVED)
    assert (oidc["token_endpoint_auth_method"], oidc["scope"]) == ("client_secret_basic", "openid")
    refreshing = completed(
        GOOD | {"grant_types": ["authorization_code", "refresh_token"]}, profile=SecurityProfile.OIDC, served=SERVED
    )
    assert (refreshing["token_endpoint_auth_method"], refreshing["scope"]) == (
        "private_key_jwt",
        "openid offline_access",
    )
    assert "token_endpoint_auth_method" not in completed({}, profile=SecurityProfile.FAPI2, served=SERVED)


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": None},
        {"client_id": "other"},
        {"client_id": ["me"]},
        {"registration_access_token": "token"},
        {"registration_client_uri": "https://op.example/"},
        {"client_secret_expires_at": 0},
        {"client_id_issued_at": None},
    ],
)
def test_an_update_names_its_client_and_nothing_that_is_ours(change: dict[str, Any]) -> None:
    check_update({**GOOD, "client_id": "me"}, ME)
    with pytest.raises(InvalidClientMetadata):
        check_update({**GOOD, "client_id": "me", **change}, ME)


def test_the_operators_word_holds_for_a_name_at_its_places() -> None:
    before = replace(judged(GOOD), vetted=True)
    assert stays_vetted(before, replace(before, redirect_uris=("https://rp.example/other",)))
    assert not stays_vetted(before, replace(before, name="別の銀行"))
    assert not stays_vetted(before, replace(before, redirect_uris=(*before.redirect_uris, "https://evil.example/cb")))
    assert not stays_vetted(before, replace(before, client_uri="https://api.other.example/"))
    assert not stays_vetted(replace(before, vetted=False), before)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
WORDS = st.sampled_from(
    ["", "none", "RS256", "openid", "code", "native", "https://rp.example/", "http://[", "https://a:b/", "poll", "*"]
)


@given(
    members=st.dictionaries(
        st.sampled_from(sorted(MEMBERS | {"software_statement"})),
        JSON | WORDS | st.lists(WORDS, max_size=3) | st.just(JWKS),
        max_size=8,
    ),
    profile=st.sampled_from(SecurityProfile),
    good=st.booleans(),
)
def test_malformed_metadata_are_refused_in_our_own_words_or_make_a_client_that_can_be_stored(
    members: dict[str, Any], profile: SecurityProfile, good: bool
) -> None:
    given = completed(GOOD | members if good else members, profile=profile, served=SERVED)
    try:
        client = judged(given, profile=profile)
    except (InvalidClientMetadata, InvalidRedirectURI):
        return
    stored = json.loads(json.dumps(metadata(client)))
    assert parse(stored, client_id=ME, profile=profile, sector=OWN) == client
