"""User codes and what a device may ask for (RFC 8628)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import InvalidScope, ProofElsewhere, UnauthorizedClient
from broker.ids import ClientID, SectorID
from broker.letters import ALPHABET
from broker.oidc.client import AuthMethod, Client, GrantType, SecurityProfile
from broker.oidc.device import LENGTH, judge, mint_number, mint_user_code, read_number, read_user_code, shown


def television(**members: Any) -> Client:
    values: dict[str, Any] = {
        "client_id": ClientID("tv"),
        "name": "テレビ",
        "vetted": True,
        "profile": SecurityProfile.OIDC,
        "sector": SectorID("tv"),
        "application_type": "native",
        "auth_method": AuthMethod.NONE,
        "grant_types": frozenset({GrantType.DEVICE_CODE}),
    } | members
    return Client(**values)


@given(st.binary(min_size=16, max_size=16))
def test_a_user_code_is_eight_letters_that_can_be_read_aloud(octets: bytes) -> None:
    code = mint_user_code(lambda _: octets)
    assert len(code) == LENGTH
    assert set(code) <= set(ALPHABET)
    assert read_user_code(shown(code)) == (code, None)
    assert read_user_code(shown(code, "47")) == (code, "47")


def test_user_codes_use_every_letter_in_every_place() -> None:
    codes = [mint_user_code(os.urandom) for _ in range(2000)]
    assert all({code[place] for code in codes} == set(ALPHABET) for place in range(LENGTH))


@pytest.mark.parametrize(
    "typed",
    [
        "WDJB-MJHT",
        "wdjb-mjht",
        "wdjbmjht",
        " W D J B  M J H T ",
        "ＷＤＪＢ－ＭＪＨＴ",
        "ｗｄｊｂーｍｊｈｔ",
        "wdjb\u3000mjht",
        "WDJB\u2010MJHT",
        "WDJB\u2212MJHT",
        "WDJB\u2014MJHT",
    ],
)
def test_what_a_person_means_is_understood(typed: str) -> None:
    assert read_user_code(typed) == ("WDJBMJHT", None)


@pytest.mark.parametrize("typed", ["WDJB-MJHT-47", "wdjbmjht47", "ｗｄｊｂーｍｊｈｔー４７", " WDJB MJHT 47 "])
def test_a_number_behind_the_code_is_read_with_it(typed: str) -> None:
    assert read_user_code(typed) == ("WDJBMJHT", "47")
    assert read_number(typed[-3:]) in {"47", None}


def test_numbers_have_two_digits_and_are_all_used() -> None:
    assert {mint_number(os.urandom) for _ in range(5000)} == {str(number) for number in range(10, 100)}


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "WDJB",
        "WDJBMJHTX",
        "WDJB-MJHA",
        "WDJB-MJH1",
        "WDJB-MJHT-4",
        "47",
        "ΒDJBMJHT",
        "WDJB MJHT" * 20,
        "\x00" * 8,
        "ÆDJBMJHT",
    ],
)
def test_what_cannot_be_a_code_is_none(typed: str) -> None:
    assert read_user_code(typed) is None


@given(st.text(max_size=80))
def test_any_text_is_a_code_or_none(typed: str) -> None:
    read = read_user_code(typed)
    if read is not None:
        code, number = read
        assert len(code) == LENGTH
        assert set(code) <= set(ALPHABET)
        assert number is None or read_number(number) == number


def test_a_device_learns_that_it_is_the_same_person_and_nothing_more() -> None:
    request = judge({"scope": "openid unknown"}, television(scope=frozenset({"openid", "name", "address"})))
    assert request.scope == {"openid"}
    assert request.prompt == {"consent"}
    assert not request.redirect_uri


@pytest.mark.parametrize(
    ("parameters", "members", "error"),
    [
        ({}, {}, InvalidScope),
        ({"scope": "name"}, {}, InvalidScope),
        ({"scope": "openid name"}, {}, ProofElsewhere),
        ({"scope": "openid profile"}, {}, ProofElsewhere),
        ({"scope": "openid age_over_20"}, {}, ProofElsewhere),
        ({"scope": "OpenID"}, {}, InvalidScope),
        (
            {"scope": "openid"},
            {"grant_types": frozenset({GrantType.AUTHORIZATION_CODE}), "redirect_uris": ("https://tv.example/",)},
            UnauthorizedClient,
        ),
    ],
)
def test_other_requests_of_devices_are_refused(
    parameters: dict[str, str], members: dict[str, Any], error: type[Exception]
) -> None:
    ask: Callable[[], Any] = lambda: judge(parameters, television(**members))  # noqa: E731 -- named for the reader
    with pytest.raises(error):
        ask()
