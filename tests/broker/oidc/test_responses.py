"""Response modes and JARM: OAuth 2.0 Multiple Response Types, Form Post Response Mode, JARM, RFC 9207."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import InvalidRequest
from broker.ids import ClientID
from broker.oidc.responses import (
    JARM_LIFETIME,
    SUPPORTED,
    ResponseMode,
    choose,
    jarm_claims,
    modes_of,
    plain,
    refusal,
    signed,
    success,
)

# The values of JARM §2.1.1 and §2.3.1.
ISSUER = "https://accounts.example.com"
CLIENT = ClientID("s6BhdRkqt3")
CODE = "PyyFaux2o7Q0YfXBU32jhw.5FXSQpvr8akv9CeRDSd0QA"
STATE = "S8NJ7uqk5fY4EjNvP_G_FtyJu6pUsvH9jsYni9dMAJw"
CALLBACK = "https://client.example.com/cb"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_the_claims_are_those_of_the_jarm_example() -> None:
    values = success(code=CODE, state=STATE)
    claims = jarm_claims(values, issuer=ISSUER, client_id=CLIENT, now=NOW)
    assert claims == {
        "iss": ISSUER,
        "aud": "s6BhdRkqt3",
        "exp": int(NOW.timestamp()) + 300,
        "code": CODE,
        "state": STATE,
    }


def test_an_error_goes_into_the_jwt_as_well() -> None:
    values = refusal(error="access_denied", description="the resident cancelled", state=STATE)
    claims = jarm_claims(values, issuer=ISSUER, client_id=CLIENT, now=NOW)
    assert claims.keys() == {"iss", "aud", "exp", "error", "error_description", "state"}
    assert (claims["error"], claims["state"]) == ("access_denied", STATE)


def test_a_signed_answer_lives_ten_minutes_at_most() -> None:
    assert timedelta(0) < JARM_LIFETIME <= timedelta(minutes=10)


def test_what_was_not_sent_is_not_echoed() -> None:
    assert success(code=CODE, state=None) == {"code": CODE}
    assert "state" not in refusal(error="x", description="y", state=None)


@pytest.mark.parametrize(
    ("asked", "mode"),
    [
        (None, ResponseMode.QUERY),
        ("query", ResponseMode.QUERY),
        ("form_post", ResponseMode.FORM_POST),
        ("jwt", ResponseMode.QUERY_JWT),
        ("query.jwt", ResponseMode.QUERY_JWT),
        ("form_post.jwt", ResponseMode.FORM_POST_JWT),
    ],
)
def test_a_mode_is_chosen(asked: str | None, mode: ResponseMode) -> None:
    assert choose(asked) is mode
    assert (asked or "query") in SUPPORTED
    with pytest.raises(InvalidRequest):
        choose(asked, frozenset(ResponseMode) - {mode})


@pytest.mark.parametrize("asked", ["", "fragment", "fragment.jwt", "web_message", "QUERY", "query jwt", "None"])
def test_a_mode_that_is_not_served_is_refused(asked: str) -> None:
    with pytest.raises(InvalidRequest):
        choose(asked)
    assert asked not in SUPPORTED


def test_no_form_is_posted_to_a_scheme_of_an_app() -> None:
    assert modes_of(private_use_address=True, signed_only=False) == {ResponseMode.QUERY, ResponseMode.QUERY_JWT}
    assert modes_of(private_use_address=False, signed_only=False) == set(ResponseMode)


def test_a_client_registered_for_signed_answers_gets_no_others() -> None:
    modes = modes_of(private_use_address=False, signed_only=True)
    assert modes == {ResponseMode.QUERY_JWT, ResponseMode.FORM_POST_JWT}
    with pytest.raises(InvalidRequest):
        choose(None, modes)
    assert choose("jwt", modes) is ResponseMode.QUERY_JWT


def test_a_plain_answer_names_the_issuer_and_a_signed_one_only_inside() -> None:
    answer = plain(ResponseMode.QUERY, CALLBACK, success(code=CODE, state=STATE), issuer=ISSUER)
    assert dict(parse_qsl(urlsplit(answer.location).query)) == {"code": CODE, "state": STATE, "iss": ISSUER}
    jarm = signed(ResponseMode.QUERY_JWT, CALLBACK, "eyJ.e30.sig")
    assert jarm.location == f"{CALLBACK}?response=eyJ.e30.sig"
    assert dict(jarm.parameters) == {"response": "eyJ.e30.sig"}


def test_a_posted_answer_leaves_the_address_alone() -> None:
    values = success(code=CODE, state=STATE)
    for answer in (
        plain(ResponseMode.FORM_POST, CALLBACK, values, issuer=ISSUER),
        signed(ResponseMode.FORM_POST_JWT, CALLBACK, "eyJ.e30.sig"),
    ):
        assert answer.mode.posted
        assert answer.location == CALLBACK
        assert CODE not in repr(answer)


def test_a_mode_and_what_it_carries_go_together() -> None:
    with pytest.raises(ValueError, match="JWT"):
        plain(ResponseMode.QUERY_JWT, CALLBACK, {}, issuer=ISSUER)
    with pytest.raises(ValueError, match="JWT"):
        signed(ResponseMode.FORM_POST, CALLBACK, "eyJ.e30.sig")


@given(state=st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=400))
def test_a_state_comes_back_as_it_was_beside_what_the_address_had(state: str) -> None:
    answer = plain(ResponseMode.QUERY, f"{CALLBACK}?tenant=1", success(code=CODE, state=state), issuer=ISSUER)
    query = parse_qsl(urlsplit(answer.location).query, keep_blank_values=True)
    assert query == [("tenant", "1"), ("code", CODE), ("state", state), ("iss", ISSUER)]
