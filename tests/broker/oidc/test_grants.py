"""PKCE, codes, client assertions and tokens, against numbers that RFCs print."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.accounts.session import IDLE, LIFETIME, Session, alive, serves
from broker.errors import InsufficientScope, InvalidAccessToken, InvalidClient, InvalidGrant, InvalidRequest
from broker.ids import AccountID, ClientID, CredentialID, GrantID, SessionID, Subject
from broker.oidc.claims import id_token_claims, userinfo_claims
from broker.oidc.client_authentication import MAX_LIFETIME, SKEW, check_assertion, claimed_client
from broker.oidc.consent import Consent, needed
from broker.oidc.grants import Authentication, AuthorizationCode, CodeRequest, Grant, redeem
from broker.oidc.pkce import check_challenge, check_verifier, s256
from broker.oidc.tokens import AccessToken, access_token_claims, check_access_token

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
ISSUER = "https://op.example"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
SECOND = timedelta(seconds=1)
CODE = AuthorizationCode(
    digest=b"d" * 32,
    grant=Grant(
        grant_id=GrantID("g"),
        client_id=ClientID("bank"),
        account=AccountID("a"),
        credential=CredentialID("c"),
        subject=Subject("s"),
        scope=frozenset({"openid"}),
        nonce="n",
        authentication=Authentication(time=NOW, acr="aal3", amr=("hwk", "pin")),
        session_digest=b"s" * 32,
        session_id=SessionID("sid"),
        created_at=NOW,
        expires_at=NOW + timedelta(seconds=60),
    ),
    redirect_uri="https://bank.example/cb",
    code_challenge=CHALLENGE,
    expires_at=NOW + timedelta(seconds=60),
)
ASKED = CodeRequest(client_id=ClientID("bank"), redirect_uri="https://bank.example/cb", code_verifier=VERIFIER)


def test_the_challenge_is_the_one_printed_in_rfc7636_appendix_b() -> None:
    assert s256(VERIFIER) == CHALLENGE
    check_verifier(VERIFIER, CHALLENGE)


@given(verifier=st.text(max_size=140))
def test_no_other_verifier_opens_a_challenge(verifier: str) -> None:
    if verifier != VERIFIER:
        with pytest.raises(InvalidGrant):
            check_verifier(verifier, CHALLENGE)


@pytest.mark.parametrize("length", [42, 129])
def test_a_verifier_has_43_to_128_characters(length: int) -> None:
    verifier = "a" * length
    with pytest.raises(InvalidGrant):
        check_verifier(verifier, s256(verifier))
    check_verifier("a" * 43, s256("a" * 43))
    check_verifier("a" * 128, s256("a" * 128))


@pytest.mark.parametrize(
    ("challenge", "method"),
    [
        (None, "S256"),
        (CHALLENGE, None),
        (CHALLENGE, "plain"),
        (CHALLENGE, "s256"),
        (CHALLENGE + "=", "S256"),
        ("", "S256"),
    ],
)
def test_only_a_whole_s256_challenge_is_accepted(challenge: str | None, method: str | None) -> None:
    assert check_challenge(CHALLENGE, "S256") == CHALLENGE
    with pytest.raises(InvalidRequest):
        check_challenge(challenge, method)


def test_a_code_becomes_what_it_was_issued_for() -> None:
    grant = redeem(CODE, ASKED, now=NOW)
    assert (grant.client_id, grant.subject, grant.scope, grant.nonce) == ("bank", "s", frozenset({"openid"}), "n")
    assert grant == CODE.grant


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "clinic"},
        {"redirect_uri": None},
        {"redirect_uri": "https://bank.example/cb/"},
        {"code_verifier": None},
        {"code_verifier": "x" * 43},
    ],
)
def test_a_code_request_that_differs_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidGrant):
        redeem(CODE, replace(ASKED, **changes), now=NOW)


def test_a_code_expires_at_and_not_after_its_sixtieth_second() -> None:
    assert redeem(CODE, ASKED, now=CODE.expires_at - timedelta(microseconds=1))
    with pytest.raises(InvalidGrant):
        redeem(CODE, ASKED, now=CODE.expires_at)


def test_no_secret_of_a_code_shows_in_its_representation() -> None:
    for record in (CODE, ASKED):
        assert VERIFIER not in repr(record)
        assert "dddd" not in repr(record)


# --- private_key_jwt -------------------------------------------------------------------------------------------------


def claims(**changes: object) -> dict[str, object]:
    now = int(NOW.timestamp())
    good = {"iss": "bank", "sub": "bank", "aud": ISSUER, "iat": now, "exp": now + 60, "jti": "j"} | changes
    return {name: value for name, value in good.items() if value is not None}


def judge(**changes: object) -> object:
    return check_assertion(
        claims(**changes), ClientID("bank"), audiences=frozenset({ISSUER, f"{ISSUER}/token"}), now=NOW
    )


@pytest.mark.parametrize("changes", [{}, {"aud": [ISSUER]}, {"aud": f"{ISSUER}/token"}, {"nbf": NOW.timestamp() + 8}])
def test_a_good_assertion_passes(changes: dict[str, object]) -> None:
    assert judge(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "x"}, {"iss": None}, {"sub": "x"}, {"sub": None}, {"aud": None}, {"aud": "x"}, {"aud": [ISSUER, "x"]},
        {"aud": []}, {"aud": {}}, {"aud": 1}, {"exp": None}, {"exp": "tomorrow"}, {"exp": True}, {"exp": 1e308},
        {"exp": NOW.timestamp()}, {"exp": (NOW + MAX_LIFETIME + SKEW + SECOND).timestamp()}, {"exp": float("nan")},
        {"nbf": (NOW + SKEW + SECOND).timestamp()}, {"iat": (NOW + SKEW + SECOND).timestamp()}, {"nbf": "x"},
        {"jti": None}, {"jti": ""}, {"jti": "x" * 257}, {"jti": 1},
    ],
)  # fmt: skip
def test_an_assertion_that_breaks_one_rule_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidClient):
        judge(**changes)


def test_whose_keys_to_try_is_said_by_sub_and_no_other() -> None:
    assert claimed_client({"sub": "bank"}, None) == claimed_client({"sub": "bank"}, "bank") == "bank"
    for unverified, form in (({"sub": "bank"}, "clinic"), ({}, "bank"), ({"sub": 1}, None), ({"sub": "x" * 65}, None)):
        with pytest.raises(InvalidClient):
            claimed_client(unverified, form)


# --- tokens ----------------------------------------------------------------------------------------------------------

TOKEN = AccessToken(
    jti="t",
    client_id=ClientID("bank"),
    account=AccountID("a"),
    subject=Subject("s"),
    scope=frozenset({"openid"}),
    issued_at=NOW,
    expires_at=NOW + timedelta(minutes=10),
    audience=(ISSUER,),
    grant_id=GrantID("g"),
)


def test_an_id_token_says_aal3_for_a_card_only_and_never_null() -> None:
    grant = redeem(CODE, ASKED, now=NOW)
    fresh = id_token_claims(grant, issuer=ISSUER, now=NOW)
    assert (fresh["acr"], fresh["amr"], fresh["nonce"]) == ("aal3", ["hwk", "pin"], "n")
    assert fresh["exp"] - fresh["iat"] == 300
    session = id_token_claims(
        replace(grant, nonce=None, authentication=Authentication(time=NOW)), issuer=ISSUER, now=NOW
    )
    assert session.keys() == {"iss", "sub", "aud", "iat", "exp", "auth_time", "sid"}
    assert "a" not in {fresh["sub"], session["sub"]}  # the account's own id stays inside


@pytest.mark.parametrize(
    "changes", [{"iss": "x"}, {"aud": "bank"}, {"aud": ["x"]}, {"exp": 0}, {"exp": None}, {"jti": ""}]
)
def test_an_access_token_is_for_this_issuer_and_its_time(changes: dict[str, object]) -> None:
    good = access_token_claims(TOKEN, issuer=ISSUER)
    assert check_access_token(good, issuer=ISSUER, now=NOW) == "t"
    with pytest.raises(InvalidAccessToken):
        check_access_token(good | changes, issuer=ISSUER, now=NOW)
    with pytest.raises(InvalidAccessToken):
        check_access_token(good, issuer=ISSUER, now=TOKEN.expires_at)


def test_userinfo_says_the_subject_and_needs_openid() -> None:
    assert userinfo_claims(TOKEN, None, issuer="https://op.example", now=NOW) == {"sub": "s"}
    with pytest.raises(InsufficientScope):
        userinfo_claims(replace(TOKEN, scope=frozenset({"other"})), None, issuer="https://op.example", now=NOW)


# --- consent and session ---------------------------------------------------------------------------------------------


def test_consent_is_needed_the_first_time_for_more_and_when_asked_for() -> None:
    given_before = Consent(client_id=ClientID("bank"), scope=frozenset({"openid"}), granted_at=NOW)
    openid, none = frozenset({"openid"}), frozenset[str]()
    assert needed(None, scope=openid, prompt=none)
    assert needed(given_before, scope=openid | {"name"}, prompt=none)
    assert needed(given_before, scope=openid, prompt=frozenset({"consent"}))
    assert not needed(given_before, scope=openid, prompt=none)


SESSION = Session(
    digest=b"s" * 32,
    session_id=SessionID("sid"),
    account=AccountID("a"),
    credential=CredentialID("c"),
    client_id=ClientID("bank"),
    subject=Subject("s"),
    authenticated_at=NOW,
    last_used_at=NOW,
)


def test_a_session_idles_at_most_15_minutes_and_lives_at_most_12_hours() -> None:
    assert (timedelta(minutes=15), timedelta(hours=12)) == (IDLE, LIFETIME)
    assert alive(SESSION, now=NOW + IDLE - SECOND)
    assert not alive(SESSION, now=NOW + IDLE)
    busy = replace(SESSION, last_used_at=NOW + LIFETIME - SECOND)
    assert alive(busy, now=NOW + LIFETIME - SECOND)
    assert not alive(busy, now=NOW + LIFETIME)


def test_a_session_serves_its_own_client_within_max_age_only() -> None:
    later = NOW + timedelta(minutes=5)
    assert serves(SESSION, ClientID("bank"), max_age=None, now=later)
    assert serves(SESSION, ClientID("bank"), max_age=300, now=later)
    assert not serves(SESSION, ClientID("bank"), max_age=299, now=later)
    assert not serves(SESSION, ClientID("clinic"), max_age=None, now=later)
