"""How clients prove who they are: one way at a time, read strictly (cases 38 to 45 of the official suite)."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from broker import jose
from broker.errors import InvalidClient, InvalidToken
from broker.ids import ClientID
from broker.jose import b64url
from broker.oidc.client_authentication import (
    ASSERTION_TYPE,
    MAX_LIFETIME,
    Assertion,
    AssertionPresented,
    CertificatePresented,
    NonePresented,
    Presented,
    SecretPresented,
    assertion_rules,
    check_assertion,
    check_method,
    check_secret,
    claimed_client,
    present,
)

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
ISSUER = "https://op.example"
PAR = f"{ISSUER}/par"
BANK = ClientID("bank")
ASSERTED = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": "a.b.c"}
METHODS = (
    "private_key_jwt",
    "client_secret_basic",
    "client_secret_post",
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "none",
)


def basic(credentials: str | bytes) -> str:
    data = credentials if isinstance(credentials, bytes) else credentials.encode()
    return f"Basic {base64.b64encode(data).decode()}"


def sha256(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


# --- which way -------------------------------------------------------------------------------------------------------


def test_each_way_is_recognised_and_fits_its_own_method_alone() -> None:
    ways: list[tuple[Presented, set[str]]] = [
        (present(ASSERTED, None, None), {"private_key_jwt"}),
        (present(ASSERTED | {"client_id": "bank"}, None, b"der"), {"private_key_jwt"}),
        (present({}, basic("bank:s"), None), {"client_secret_basic"}),
        (present({"client_id": "bank"}, basic("bank:s"), b"der"), {"client_secret_basic"}),
        (present({"client_id": "bank", "client_secret": "s"}, None, None), {"client_secret_post"}),
        (
            present({"client_id": "bank"}, None, b"der"),
            {"tls_client_auth", "self_signed_tls_client_auth", "none"},
        ),
        (present({"client_id": "bank"}, None, None), {"none"}),
    ]
    for presented, fitting in ways:
        for method in METHODS:
            if method in fitting:
                check_method(presented, method)
            else:
                with pytest.raises(InvalidClient):
                    check_method(presented, method)


def test_what_is_presented_is_handed_on_and_no_secret_is() -> None:
    assert present(ASSERTED, None, None) == AssertionPresented(client_id=None, assertion="a.b.c")
    posted = present({"client_id": "bank", "client_secret": "canary"}, None, None)
    assert posted == SecretPresented(client_id=BANK, method="client_secret_post", digest=sha256("canary"))
    certificate = present({"client_id": "bank"}, None, b"der")
    assert certificate == CertificatePresented(client_id=BANK, certificate=b"der")
    assert present({"client_id": "bank"}, None, None) == NonePresented(client_id=BANK)
    for presented in (posted, certificate, present(ASSERTED, None, None)):
        for hidden in ("canary", "der'", "a.b.c", repr(sha256("canary"))):
            assert hidden not in repr(presented)


SECRET = {"client_id": "bank", "client_secret": "s"}


@pytest.mark.parametrize(
    ("parameters", "header"),
    [
        (ASSERTED | SECRET, None),
        (ASSERTED, basic("bank:s")),
        (SECRET, basic("bank:s")),
        (ASSERTED | SECRET, basic("bank:s")),
        ({"client_assertion": "a.b.c"}, basic("bank:s")),
        ({"client_assertion_type": ASSERTION_TYPE} | SECRET, None),
        ({"client_secret": "s"}, basic("bank:s")),
        (ASSERTED, "Bearer x"),
    ],
)
def test_two_ways_at_once_are_refused(parameters: dict[str, str], header: str | None) -> None:
    with pytest.raises(InvalidClient, match="two ways"):
        present(parameters, header, None)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"client_secret": "s"},
        {"client_assertion": "a.b.c"},
        {"client_assertion_type": ASSERTION_TYPE},
        {
            "client_assertion": "a.b.c",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer",
        },
        {"client_assertion": "a.b.c", "client_assertion_type": ASSERTION_TYPE.upper()},
        {"client_id": ""},
        {"client_id": "a b"},
        {"client_id": "bank\n"},
        {"client_id": "b" * 65},
        {"client_id": "銀行"},
        {"client_id": "bank", "client_secret": ""},
        {"client_id": "bank", "client_secret": "x" * 257},
        {"client_id": "bank", "client_secret": "é"},
        {"client_id": "bank", "client_secret": "a\nb"},
    ],
    ids=str,
)
def test_half_a_way_is_none(parameters: dict[str, str]) -> None:
    with pytest.raises(InvalidClient):
        present(parameters, None, None)


def test_case_44_a_client_id_alone_authenticates_no_confidential_client() -> None:
    for certificate in (None, b"der"):
        for method in ("private_key_jwt", "client_secret_basic", "client_secret_post"):
            with pytest.raises(InvalidClient):
                check_method(present({"client_id": "bank"}, None, certificate), method)
    for method in ("tls_client_auth", "self_signed_tls_client_auth"):
        with pytest.raises(InvalidClient):
            check_method(present({"client_id": "bank"}, None, None), method)


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_the_credentials_printed_in_rfc6749_section_2_3_1_are_read() -> None:
    presented = present({}, "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW", None)
    assert presented == SecretPresented(
        client_id=ClientID("s6BhdRkqt3"), method="client_secret_basic", digest=sha256("gX1fBat3bV")
    )


def test_the_secret_printed_in_rfc6749_section_2_3_1_is_read_from_the_form() -> None:
    presented = present({"client_id": "s6BhdRkqt3", "client_secret": "7Fjfp0ZBr1KtDRbnfVdmIw"}, None, None)
    assert isinstance(presented, SecretPresented)
    check_secret(presented, [sha256("7Fjfp0ZBr1KtDRbnfVdmIw")])


@pytest.mark.parametrize(
    ("credentials", "secret"),
    [
        ("bank:s", "s"),
        ("bank:a%3Ab", "a:b"),
        ("bank:a:b", "a:b"),
        ("bank:a+b", "a b"),
        ("bank:a%2Bb", "a+b"),
        ("bank:100%25", "100%"),
        ("bank:%25%32%35", "%25"),
        ("ba%6Ek:~!*'()", "~!*'()"),
    ],
)
def test_basic_credentials_are_form_decoded_once(credentials: str, secret: str) -> None:
    for scheme in ("Basic ", "basic ", "BASIC  "):
        presented = present({}, scheme + basic(credentials).removeprefix("Basic "), None)
        assert presented == SecretPresented(client_id=BANK, method="client_secret_basic", digest=sha256(secret))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        "Basic\tYmFuazpz",
        "Basic YmFuazpz ",
        " Basic YmFuazpz",
        "Basic YmFuazpz\n",
        "Basic YmFuazpz, Basic YmFuazpz",
        "Bearer YmFuazpz",
        "DPoP YmFuazpz",
        "Basic YmFuazpzcw",  # no padding
        "Basic YmFuazpzcx==",  # bits set that are not read
        "Basic YmFuazpzcw===",
        "Basic YmFu azpz",
        "Basic YmFuazpz=",
        "Basic YmFuazo_Pz4-",  # base64url
        basic("bank"),
        basic(":s"),
        basic("bank:"),
        basic(b"bank:\xff"),
        basic(b"bank:%FF"),
        basic("bank:é"),
        basic("bank:%C3%A9"),  # UTF-8, but no character of a secret
        basic("bank:%"),
        basic("bank:%2"),
        basic("bank:%zz"),
        basic("bank:a\nb"),
        basic("bank:a%0Ab"),
        basic("ba nk:s"),
        basic("ba+nk:s"),
        basic("ba%00nk:s"),
        basic("bank:" + "x" * 257),
        basic("bank:" + "x" * 3000),
    ],
)
def test_basic_credentials_of_any_other_form_are_refused(header: str) -> None:
    with pytest.raises(InvalidClient):
        present({}, header, None)


def test_an_authorization_field_of_more_than_2048_characters_is_refused_unread() -> None:
    longest = "Basic " + " " * (2048 - len(basic("bank:s"))) + basic("bank:s").removeprefix("Basic ")
    assert len(longest) == 2048
    assert present({}, longest, None)
    with pytest.raises(InvalidClient, match="too long"):
        present({}, longest.replace("Basic ", "Basic  "), None)


def test_case_45_another_client_s_id_beside_the_credentials_is_refused() -> None:
    assert present({"client_id": "bank"}, basic("bank:s"), None)
    with pytest.raises(InvalidClient, match="not the one"):
        present({"client_id": "clinic"}, basic("bank:s"), None)
    with pytest.raises(InvalidClient, match="not the assertion's"):
        claimed_client({"sub": "bank"}, "clinic")


def test_a_secret_is_compared_with_each_registered_one() -> None:
    presented = present(SECRET, None, None)
    assert isinstance(presented, SecretPresented)
    check_secret(presented, [sha256("s")])
    check_secret(presented, [sha256("old"), sha256("s")])
    for registered in ([], [sha256("t")], [b"s"], [b""], [sha256("s")[:31]], [bytes(32)]):
        with pytest.raises(InvalidClient, match="secret"):
            check_secret(presented, registered)


def test_no_digest_opens_a_client_that_has_none() -> None:
    nothing = SecretPresented(client_id=BANK, method="client_secret_post", digest=bytes(32))
    with pytest.raises(InvalidClient):
        check_secret(nothing, [])


@settings(deadline=None)
@given(header=st.text(max_size=80) | st.binary(max_size=60).map(basic))
def test_whatever_an_authorization_field_holds_is_read_or_refused(header: str) -> None:
    try:
        presented = present({}, header, None)
    except InvalidClient:
        return
    assert isinstance(presented, SecretPresented)


@settings(deadline=None)
@given(
    secret=st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=256),
    raw=st.sets(st.sampled_from("-._~!*'()")),
)
def test_a_secret_comes_through_form_encoding_as_it_was(secret: str, raw: set[str]) -> None:
    encoded = "".join(
        "+" if one == " " else one if one.isalnum() or one in raw else f"%{ord(one):02X}" for one in secret
    )
    presented = present({}, basic(f"bank:{encoded}"), None)
    assert isinstance(presented, SecretPresented)
    check_secret(presented, [sha256(secret)])


# --- private_key_jwt -------------------------------------------------------------------------------------------------


@functools.cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@functools.cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@functools.cache
def edwards() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


SIGN: dict[str, Callable[[bytes], bytes]] = {
    "ES256": lambda data: jose.raw_ecdsa(ec_key().sign(data, ec.ECDSA(hashes.SHA256())), algorithm="ES256"),
    "PS256": lambda data: rsa_key().sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()),
    "RS256": lambda data: rsa_key().sign(data, padding.PKCS1v15(), hashes.SHA256()),
    "EdDSA": lambda data: edwards().sign(data),
    "none": lambda _: b"",
}


def authenticate(profile: str, *, algorithm: str = "ES256", at: datetime = NOW, **changes: object) -> Assertion:
    """The whole way of an assertion to the PAR endpoint, as a flow goes it."""
    now = NOW.timestamp()
    claims = {"iss": "bank", "sub": "bank", "aud": ISSUER, "iat": now, "exp": now + 60, "jti": "j"} | changes
    body = {name: value for name, value in claims.items() if value is not None}
    signing_input = ".".join(b64url(json.dumps(part).encode()) for part in ({"alg": algorithm}, body))
    token = f"{signing_input}.{b64url(SIGN[algorithm](signing_input.encode()))}"
    jwks = {"keys": [jose.public_jwk(key) for key in (ec_key(), rsa_key(), edwards())]}
    rules = assertion_rules(profile, issuer=ISSUER, endpoint=PAR)
    client_id = claimed_client(jose.parse_claims(jose.read_jws(token).payload), None)
    verified = jose.parse_claims(jose.verify_jws(token, jwks=jwks, algorithms=rules.algorithms))
    return check_assertion(verified, client_id, audiences=rules.audiences, audience_array=rules.audience_array, now=at)


@pytest.mark.parametrize("profile", ["fapi2", "oidc"])
@pytest.mark.parametrize("algorithm", ["ES256", "PS256", "EdDSA"])
def test_a_good_assertion_to_the_issuer_passes_in_every_profile(profile: str, algorithm: str) -> None:
    expected = Assertion(client_id=BANK, jti="j", expires_at=NOW + timedelta(seconds=60))
    assert authenticate(profile, algorithm=algorithm) == expected


@pytest.mark.parametrize("audience", [[ISSUER], [ISSUER, PAR], f"{ISSUER}/token", PAR, [PAR], f"{ISSUER}/", [], [[]]])
def test_case_38_fapi2_takes_the_issuer_as_a_string_and_nothing_else(audience: object) -> None:
    with pytest.raises(InvalidClient):
        authenticate("fapi2", aud=audience)


@pytest.mark.parametrize("audience", [ISSUER, [ISSUER], f"{ISSUER}/token", PAR, [PAR]])
def test_case_38_oidc_takes_the_issuer_the_token_endpoint_or_the_endpoint_called(audience: object) -> None:
    assert authenticate("oidc", aud=audience)


@pytest.mark.parametrize("profile", ["fapi2", "oidc"])
@pytest.mark.parametrize(
    "audience",
    [
        None, "", "https://other.example", f"{ISSUER}/", f"{ISSUER}/TOKEN", f"{ISSUER}/userinfo", ISSUER.upper(),
        [ISSUER, "https://other.example"], [ISSUER, ISSUER], [], [[ISSUER]], [{}], {}, {"aud": ISSUER}, 1, True,
    ],
    ids=str,
)  # fmt: skip
def test_case_41_an_assertion_for_anybody_else_is_refused(profile: str, audience: object) -> None:
    with pytest.raises(InvalidClient):
        authenticate(profile, aud=audience)


@pytest.mark.parametrize("profile", ["fapi2", "oidc"])
@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_case_39_a_clock_may_be_10_s_ahead_and_no_more(profile: str, claim: str) -> None:
    for ahead in (-3600, 0, 8, 10):
        assert authenticate(profile, **{claim: NOW.timestamp() + ahead})
    for ahead in (10.5, 11, 60, 61, 3600):
        with pytest.raises(InvalidClient, match="future"):
            authenticate(profile, **{claim: NOW.timestamp() + ahead})


@pytest.mark.parametrize("profile", ["fapi2", "oidc"])
def test_case_40_an_assertion_that_has_expired_is_refused(profile: str) -> None:
    for back in (300, 1, 0):
        with pytest.raises(InvalidClient, match="expired"):
            authenticate(profile, exp=NOW.timestamp() - back)
    with pytest.raises(InvalidClient, match="expired"):
        authenticate(profile, exp=None)
    with pytest.raises(InvalidClient, match="hour"):
        authenticate(profile, exp=(NOW + MAX_LIFETIME + timedelta(seconds=11)).timestamp())
    with pytest.raises(InvalidClient, match="expired"):
        authenticate(profile, at=NOW + timedelta(seconds=60))


@pytest.mark.parametrize("profile", ["fapi2", "oidc"])
@pytest.mark.parametrize("sub", [None, "", 1, ["bank"], "b" * 65])
def test_case_42_an_assertion_without_sub_is_refused(profile: str, sub: object) -> None:
    with pytest.raises(InvalidClient):
        authenticate(profile, sub=sub)


@pytest.mark.parametrize("profile", ["fapi2", "oidc"])
def test_case_45_an_assertion_in_another_s_name_is_refused(profile: str) -> None:
    for changes in ({"iss": "clinic"}, {"sub": "clinic"}, {"iss": None}):
        with pytest.raises(InvalidClient):
            authenticate(profile, **changes)


def test_case_43_rs256_is_refused_by_fapi2_and_served_by_oidc() -> None:
    assert authenticate("oidc", algorithm="RS256")
    with pytest.raises(InvalidToken, match="algorithm"):
        authenticate("fapi2", algorithm="RS256")


@pytest.mark.parametrize("profile", ["fapi2", "oidc"])
def test_case_43_an_unsigned_assertion_is_refused(profile: str) -> None:
    with pytest.raises(InvalidToken):
        authenticate(profile, algorithm="none")


@pytest.mark.parametrize("profile", ["fapi2", "oidc"])
@pytest.mark.parametrize("jti", [None, "", 1, ["j"], "x" * 257])
def test_an_assertion_needs_a_jti_that_can_be_remembered(profile: str, jti: object) -> None:
    with pytest.raises(InvalidClient, match="jti"):
        authenticate(profile, jti=jti)


def test_the_jwt_printed_in_rfc7523_section_4_is_a_grant_and_authenticates_no_client() -> None:
    printed = {
        "iss": "https://jwt-idp.example.com",
        "sub": "mailto:mike@example.com",
        "aud": "https://jwt-rp.example.net",
        "nbf": 1300815780,
        "exp": 1300819380,
        "http://claims.example.com/member": True,
    }
    at = datetime.fromtimestamp(1300815780, tz=UTC)
    audiences = frozenset({"https://jwt-rp.example.net"})
    with pytest.raises(InvalidClient, match="iss and sub"):
        check_assertion(printed, ClientID("mailto:mike@example.com"), audiences=audiences, now=at)


@pytest.mark.parametrize("profile", ["", "FAPI2", "fapi1", "none"])
def test_a_profile_that_does_not_exist_has_no_rules(profile: str) -> None:
    with pytest.raises(ValueError, match="profile"):
        assertion_rules(profile, issuer=ISSUER, endpoint=PAR)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(claim=st.sampled_from(["iss", "sub", "aud", "exp", "iat", "nbf", "jti"]), value=JSON, array=st.booleans())
def test_whatever_a_claim_holds_is_judged_or_refused(claim: str, value: object, array: bool) -> None:
    now = NOW.timestamp()
    claims = {"iss": "bank", "sub": "bank", "aud": ISSUER, "exp": now + 60, "jti": "j"} | {claim: value}
    try:
        assertion = check_assertion(claims, BANK, audiences=frozenset({ISSUER}), audience_array=array, now=NOW)
    except InvalidClient:
        return
    assert assertion.client_id == BANK
