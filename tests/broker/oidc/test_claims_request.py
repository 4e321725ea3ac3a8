"""The `claims` parameter, rule by rule: OIDC Core §5.5."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import InvalidRequest, LoginRequired, UnmetAuthenticationRequirements
from broker.oidc.claims_request import (
    MAX_CLAIMS,
    MAX_LENGTH,
    NOTHING,
    ClaimsRequest,
    Place,
    check_acr,
    check_subject,
    from_json,
    parse,
    preferred_acr,
    required_acr,
    required_subjects,
    scope_of,
    select,
    to_json,
    wanted,
)
from broker.oidc.constraint import ANYTHING, Constraint

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OPENID = frozenset({"openid"})
# The example of OIDC Core §5.5, with our claims in place of those that no card has.
EXAMPLE = {
    "userinfo": {
        "name": {"essential": True},
        "nickname": None,
        "email": {"essential": True},
        "picture": None,
        "http://example.info/claims/groups": None,
    },
    "id_token": {"auth_time": {"essential": True}, "acr": {"values": ["urn:mace:incommon:iap:silver"]}},
}


def ask(value: Any) -> ClaimsRequest:
    return parse(json.dumps(value))


def test_the_example_of_oidc_core_is_understood_and_unknown_claims_kept_out() -> None:
    request = ask(EXAMPLE)
    assert dict(request.userinfo) == {"name": Constraint(essential=True), "nickname": Constraint()}
    assert dict(request.id_token) == {
        "auth_time": Constraint(essential=True),
        "acr": Constraint(values=('"urn:mace:incommon:iap:silver"',)),
    }


def test_an_empty_request_asks_for_nothing() -> None:
    for text in ("{}", '{"userinfo":{}}', '{"other":1}', '{"id_token":{"unknown":null}}'):
        assert parse(text) == NOTHING
    assert to_json(NOTHING) == ""
    assert from_json("") is NOTHING


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "1",
        '"x"',
        "{",
        "{}{}",
        '{"userinfo":null}',
        '{"userinfo":[]}',
        '{"userinfo":"name"}',
        '{"id_token":true}',
        '{"userinfo":{"name":true}}',
        '{"userinfo":{"name":"essential"}}',
        '{"userinfo":{"name":[]}}',
        '{"userinfo":{"unknown":0}}',
        '{"userinfo":{"name":{"essential":"yes"}}}',
        '{"userinfo":{"name":{"essential":1}}}',
        '{"userinfo":{"name":{"essential":null}}}',
        '{"userinfo":{"name":{"value":"a","values":["a"]}}}',
        '{"userinfo":{"name":{"values":"a"}}}',
        '{"userinfo":{"name":{"values":[]}}}',
        '{"userinfo":{"name":{"values":{}}}}',
        '{"userinfo":{"name":{"values":null}}}',
        '{"userinfo":{"name":null,"name":null}}',
        '{"userinfo":{},"userinfo":{}}',
        '{"userinfo":{"name":{"value":NaN}}}',
        '{"userinfo":{"name":{"value":1e999}}}',
        '{"userinfo":{"name":{"value":"\\ud800"}}}',
        '{"userinfo":{"name":{"value":' + "[" * 20 + "]" * 20 + "}}}",
        '{"userinfo":{"name":{"max_age":-1}}}',
        '{"userinfo":{"name":{"max_age":"1"}}}',
        '{"userinfo":{"name":{"max_age":true}}}',
        '{"userinfo":{"name":{"purpose":"ab"}}}',
        '{"userinfo":{"name":{"purpose":7}}}',
        '{"id_token":{"sub":{"value":7}}}',
        '{"id_token":{"sub":{"value":""}}}',
        '{"id_token":{"sub":{"values":["a",null]}}}',
        '{"id_token":{"sub":{"value":"' + "a" * 256 + '"}}}',
        '{"id_token":{"acr":{"values":["aal3",3]}}}',
        "\ud800",
    ],
)
def test_a_malformed_request_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse(text)


def test_size_and_number_are_bounded() -> None:
    ask({"userinfo": {f"c{number}": None for number in range(MAX_CLAIMS)}})
    with pytest.raises(InvalidRequest):
        ask({"userinfo": {f"c{number}": None for number in range(MAX_CLAIMS + 1)}})
    with pytest.raises(InvalidRequest):
        ask({"userinfo": {"name": {"values": [str(number) for number in range(33)]}}})
    with pytest.raises(InvalidRequest, match="octets"):
        parse("{}" + " " * MAX_LENGTH)
    grown = '{"userinfo":{"name":{"value":[' + ",".join(["1e15"] * 1500) + "]}}}"
    assert len(grown) < MAX_LENGTH
    with pytest.raises(InvalidRequest, match="octets"):
        parse(grown)


VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
SAID = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "essential": st.booleans(),
        "values": st.lists(VALUES, min_size=1, max_size=3),
        "max_age": st.integers(0, 10**9),
        "purpose": st.sampled_from(["開設", "口座を開くため"]).filter(lambda text: len(text) > 2),
        "unknown": VALUES,
    },
)
ASKED = st.dictionaries(st.sampled_from(["name", "address", "auth_time", "unknown"]), SAID, max_size=4)


@given(userinfo=ASKED, id_token=ASKED)
def test_a_request_is_stored_and_read_back_as_it_was(userinfo: dict[str, Any], id_token: dict[str, Any]) -> None:
    request = ask({"userinfo": userinfo, "id_token": id_token})
    stored = to_json(request)
    assert from_json(stored) == request
    assert to_json(from_json(stored)) == stored
    assert "unknown" not in stored


@given(
    st.recursive(
        VALUES,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "userinfo",
                        "id_token",
                        "name",
                        "sub",
                        "acr",
                        "verified_claims",
                        "value",
                        "values",
                        "verification",
                        "claims",
                        "evidence",
                        "trust_framework",
                        "check_details",
                        "type",
                        "essential",
                        "purpose",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=25,
    )
)
def test_any_json_is_understood_or_refused_with_our_error(value: Any) -> None:
    try:
        request = ask(value)
    except InvalidRequest:
        return
    assert from_json(to_json(request)) == request


def test_a_value_is_kept_by_its_kind() -> None:
    request = ask({"userinfo": {"address": {"value": {"b": 1, "a": 2}}, "gender": {"value": 1}}})
    assert request.userinfo["address"].admits({"a": 2, "b": 1}, now=NOW)
    for other in (True, "1", [1], 2, None):
        assert not request.userinfo["gender"].admits(other, now=NOW)
    assert json.loads(to_json(request))["userinfo"]["gender"] == {"value": 1}


# --- scopes and places -----------------------------------------------------------------------------------------------


def test_a_scope_stands_for_its_claims_in_userinfo_only() -> None:
    assert wanted(NOTHING, OPENID, Place.USERINFO) == {"sub"}
    for scope, claims in (
        ("name", {"name"}),
        ("address", {"address"}),
        ("birthdate", {"birthdate"}),
        ("gender", {"gender"}),
        ("profile", {"name", "birthdate", "gender"}),
        ("sign", set()),
        ("offline_access", set()),
    ):
        assert wanted(NOTHING, OPENID | {scope}, Place.USERINFO) == {"sub"} | claims
        assert wanted(NOTHING, OPENID | {scope}, Place.ID_TOKEN) == {"sub"}
    assert wanted(NOTHING, frozenset({"sign"}), Place.USERINFO) == frozenset()


def test_a_claim_asked_for_by_name_stands_where_it_was_asked_for() -> None:
    request = ask({"id_token": {"name": None, "auth_time": None}, "userinfo": {"gender": None}})
    scope = OPENID | {"name", "gender"}
    assert wanted(request, scope, Place.ID_TOKEN) == {"sub", "name", "auth_time"}
    assert wanted(request, scope, Place.USERINFO) == {"sub", "name", "gender"}


def test_naming_a_claim_opens_no_side_door_around_the_scope() -> None:
    request = ask({"id_token": {"address": {"essential": True}}, "userinfo": {"birthdate": None, "acr": None}})
    assert scope_of(request, OPENID) == {"openid", "address", "birthdate"}
    assert wanted(request, OPENID, Place.ID_TOKEN) == {"sub"}
    assert wanted(request, OPENID, Place.USERINFO) == {"sub", "acr"}
    assert scope_of(NOTHING, OPENID | {"profile"}) == {"openid", "profile"}


def test_verified_claims_need_the_scopes_of_their_claims_too() -> None:
    element = {"verification": {"trust_framework": None}, "claims": {"name": None, "nickname": None}}
    assert scope_of(ask({"userinfo": {"verified_claims": element}}), OPENID) == {"openid", "name"}


def test_a_claim_with_another_value_than_asked_for_is_absent_and_never_null() -> None:
    request = ask({"userinfo": {"gender": {"value": "male"}, "name": {"values": ["山田花子", "x"]}, "address": None}})
    values = {"gender": "female", "name": "山田花子", "address": None, "birthdate": "1990-04-01"}
    assert select(request, Place.USERINFO, values, now=NOW) == {"name": "山田花子", "birthdate": "1990-04-01"}
    assert select(request, Place.ID_TOKEN, {"gender": "female"}, now=NOW) == {"gender": "female"}


# --- who may answer, and how strongly --------------------------------------------------------------------------------


def test_nobody_but_the_subject_asked_for_may_answer() -> None:
    request = ask({"id_token": {"sub": {"value": "a"}}})
    assert required_subjects(request) == {"a"}
    check_subject(request, "a")
    with pytest.raises(LoginRequired):
        check_subject(request, "b")
    check_subject(NOTHING, "b")
    check_subject(ask({"id_token": {"sub": None}}), "b")


def test_two_places_that_ask_for_different_people_get_nobody() -> None:
    request = ask({"id_token": {"sub": {"values": ["a", "b"]}}, "userinfo": {"sub": {"values": ["b", "c"]}}})
    assert required_subjects(request) == {"b"}
    check_subject(request, "b")
    contrary = ask({"id_token": {"sub": {"value": "a"}}, "userinfo": {"sub": {"value": "c"}}})
    for subject in ("a", "c"):
        with pytest.raises(LoginRequired):
            check_subject(contrary, subject)


def test_an_essential_aal3_without_a_card_is_unmet() -> None:
    for said in ({"value": "aal3"}, {"values": ["aal3"]}, {"values": ["aal4", "aal3"]}):
        request = ask({"id_token": {"acr": {"essential": True, **said}}})
        check_acr(request, {"aal3"})
        for reached in ({None}, {"aal2"}, set[str | None]()):
            with pytest.raises(UnmetAuthenticationRequirements):
                check_acr(request, reached)


def test_a_voluntary_acr_is_a_wish() -> None:
    request = ask({"id_token": {"acr": {"values": ["aal4", "aal3"]}}})
    assert preferred_acr(request) == ("aal4", "aal3")
    assert required_acr(request) is None
    check_acr(request, {None})
    check_acr(NOTHING, {None})
    without_value = ask({"id_token": {"acr": {"essential": True}}})
    assert required_acr(without_value) is None
    assert preferred_acr(without_value) == ()
    assert ask({"id_token": {"acr": None}}).id_token["acr"] is ANYTHING
