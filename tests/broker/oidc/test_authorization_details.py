"""Rich authorization requests: RFC 9396."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import InvalidAuthorizationDetails
from broker.oidc import mandate_question
from broker.oidc.authorization_details import (
    MAX_DETAILS,
    MAX_LENGTH,
    TYPES,
    Detail,
    DetailType,
    from_json,
    narrow,
    narrower,
    parse,
    to_json,
)

# RFC 9396 §2, figure 1 (its second object) and figure 2.
ACCOUNT = {
    "type": "account_information",
    "actions": ["list_accounts", "read_balances", "read_transactions"],
    "locations": ["https://example.com/accounts"],
}
PAYMENT = {
    "type": "payment_initiation",
    "actions": ["initiate", "status", "cancel"],
    "locations": ["https://example.com/payments"],
    "instructedAmount": {"currency": "EUR", "amount": "123.50"},
    "creditorName": "Merchant A",
    "creditorAccount": {"iban": "DE02100100109307118603"},
    "remittanceInformationUnstructured": "Ref Number Merchant",
}


def check_payment(detail: Mapping[str, Any]) -> None:
    amount = detail.get("instructedAmount")
    if not isinstance(amount, dict) or set(amount) != {"currency", "amount"}:
        raise InvalidAuthorizationDetails("instructedAmount")


def anything(_detail: Mapping[str, Any]) -> None:
    return


REGISTRY = {"account_information": DetailType(check=anything), "payment_initiation": DetailType(check=check_payment)}
BOTH = frozenset(REGISTRY)


def ask(*details: Any, allowed: frozenset[str] = BOTH) -> tuple[Detail, ...]:
    return parse(json.dumps(details), allowed=allowed, types=REGISTRY)


def test_the_examples_of_rfc9396_are_understood() -> None:
    details = ask(ACCOUNT, PAYMENT)
    assert [detail.type for detail in details] == ["account_information", "payment_initiation"]
    assert [detail.members for detail in details] == [ACCOUNT, PAYMENT]


def test_the_order_of_members_makes_no_difference_and_a_twin_is_one() -> None:
    turned = dict(reversed(PAYMENT.items()))
    assert list(turned) != list(PAYMENT)
    assert ask(PAYMENT, turned) == ask(PAYMENT)


def test_a_type_nobody_serves_is_refused() -> None:
    assert set(TYPES) == {mandate_question.TYPE}
    with pytest.raises(InvalidAuthorizationDetails, match="not served"):
        parse(json.dumps([ACCOUNT]), allowed=BOTH)
    with pytest.raises(InvalidAuthorizationDetails, match="not served"):
        ask({"type": "openid"}, allowed=BOTH | {"openid"})


def test_a_type_the_client_is_not_registered_for_is_refused() -> None:
    with pytest.raises(InvalidAuthorizationDetails, match="not registered"):
        ask(ACCOUNT, PAYMENT, allowed=frozenset({"account_information"}))


def test_the_check_of_its_type_is_asked() -> None:
    with pytest.raises(InvalidAuthorizationDetails, match="instructedAmount"):
        ask(ACCOUNT, {**PAYMENT, "instructedAmount": {"currency": "EUR"}})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        "[]",
        '"x"',
        "[1]",
        "[null]",
        "[[]]",
        "[{}]",
        '[{"type":null}]',
        '[{"type":1}]',
        '[{"type":""}]',
        '[{"type":["account_information"]}]',
        '[{"type":"account_information","type":"account_information"}]',
        '[{"type":"account_information","actions":"read"}]',
        '[{"type":"account_information","actions":[]}]',
        '[{"type":"account_information","actions":[1]}]',
        '[{"type":"account_information","actions":[""]}]',
        '[{"type":"account_information","locations":{}}]',
        '[{"type":"account_information","datatypes":null}]',
        '[{"type":"account_information","privileges":[null]}]',
        '[{"type":"account_information","identifier":7}]',
        '[{"type":"account_information","x":NaN}]',
        '[{"type":"account_information","x":"\\udc00"}]',
        '[{"type":"account_information","x":' + "[" * 20 + "]" * 20 + "}]",
        '[{"type":"account_information"}',
        "\ud800",
    ],
)
def test_a_malformed_parameter_is_refused(text: str) -> None:
    with pytest.raises(InvalidAuthorizationDetails):
        parse(text, allowed=BOTH, types=REGISTRY)


def test_size_and_number_are_bounded() -> None:
    many = [{"type": "account_information", "identifier": str(number)} for number in range(MAX_DETAILS + 1)]
    assert len(ask(*many[1:])) == MAX_DETAILS
    for details in (many, [{**ACCOUNT, "actions": ["a" * 513]}], [{**ACCOUNT, "actions": [str(n) for n in range(33)]}]):
        with pytest.raises(InvalidAuthorizationDetails):
            ask(*details)
    with pytest.raises(InvalidAuthorizationDetails, match="octets"):
        parse(json.dumps([ACCOUNT]) + " " * MAX_LENGTH, allowed=BOTH, types=REGISTRY)
    grown = '[{"type":"account_information","x":[' + ",".join(["1e15"] * 1500) + "]}]"
    assert len(grown) < MAX_LENGTH
    with pytest.raises(InvalidAuthorizationDetails, match="octets"):
        parse(grown, allowed=BOTH, types=REGISTRY)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "actions", "locations", "x", "identifier"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=4))
def test_any_json_is_understood_or_refused_with_our_error(given: list[Any]) -> None:
    try:
        details = ask(*given)
    except InvalidAuthorizationDetails:
        return
    assert from_json(to_json(details)) == details


def test_details_are_stored_and_read_back_as_they_were() -> None:
    details = ask(ACCOUNT, PAYMENT)
    assert from_json(to_json(details)) == details
    assert json.loads(to_json(details)) == [ACCOUNT, PAYMENT]
    assert (to_json(()), from_json("")) == ("", ())


# --- narrowing -------------------------------------------------------------------------------------------------------

GRANTED = ask(ACCOUNT, PAYMENT)


def test_without_asking_everything_granted_is_had() -> None:
    assert narrow(GRANTED, (), types=REGISTRY) == GRANTED


@pytest.mark.parametrize(
    "asked",
    [
        [ACCOUNT],
        [{**ACCOUNT, "actions": ["read_balances"]}],
        [{**ACCOUNT, "actions": ["read_transactions", "list_accounts"]}, PAYMENT],
        [{**PAYMENT, "actions": ["status"]}],
    ],
    ids=str,
)
def test_less_may_be_asked_for(asked: list[dict[str, Any]]) -> None:
    assert narrow(GRANTED, ask(*asked), types=REGISTRY) == ask(*asked)


@pytest.mark.parametrize(
    "asked",
    [
        [{**ACCOUNT, "actions": ["read_balances", "write"]}],
        [{**ACCOUNT, "locations": ["https://elsewhere.example"]}],
        [{**ACCOUNT, "datatypes": ["x"]}],
        [{"type": "account_information"}],  # without its lists it may mean everything
        [{"type": "account_information", "actions": ["read_balances"]}],
        [{**PAYMENT, "instructedAmount": {"currency": "EUR", "amount": "9999.00"}}],
        [{**PAYMENT, "creditorName": "Merchant B"}],
        [{**PAYMENT, "extra": True}],
        [ACCOUNT, {**PAYMENT, "creditorName": "Merchant B"}],
    ],
    ids=str,
)
def test_more_or_other_may_not(asked: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidAuthorizationDetails, match="more than was granted"):
        narrow(GRANTED, ask(*asked), types=REGISTRY)


def test_nothing_grows_out_of_nothing() -> None:
    assert narrow((), (), types=REGISTRY) == ()
    with pytest.raises(InvalidAuthorizationDetails):
        narrow((), ask(ACCOUNT), types=REGISTRY)


def test_a_type_that_is_no_longer_served_covers_nothing() -> None:
    with pytest.raises(InvalidAuthorizationDetails):
        narrow(GRANTED, ask(ACCOUNT), types={})


def test_a_type_may_have_its_own_rule() -> None:
    def cheaper(granted: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
        return float(asked["instructedAmount"]["amount"]) <= float(granted["instructedAmount"]["amount"])

    types = {**REGISTRY, "payment_initiation": DetailType(check=check_payment, covers=cheaper)}
    less = ask({**PAYMENT, "instructedAmount": {"currency": "EUR", "amount": "1.00"}})
    assert narrow(GRANTED, less, types=types) == less
    with pytest.raises(InvalidAuthorizationDetails):
        narrow(GRANTED, less, types=REGISTRY)


NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3, unique=True)


@given(NAMES, NAMES, NAMES)
def test_narrowing_is_a_partial_order(one: list[str], two: list[str], three: list[str]) -> None:
    first, second, third = ({"type": "t", "actions": actions} for actions in (one, two, three))
    assert narrower(first, first)
    assert narrower(first, second) is (set(two) <= set(one))
    if narrower(first, second) and narrower(second, third):
        assert narrower(first, third)
