"""What may be said about one value: OIDC Core §5.5.1, and max_age and purpose of Identity Assurance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from broker.errors import InvalidRequest
from broker.oidc.constraint import ANYTHING, Constraint, read, tell

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_null_and_an_empty_object_ask_for_whatever_there_is() -> None:
    assert read("x", None) == read("x", {}) == read("x", {"unknown": [1]}) == ANYTHING
    assert tell(ANYTHING) is None
    assert ANYTHING.admits("anything", now=NOW)
    assert not ANYTHING.restricts


@pytest.mark.parametrize("length", [3, 300])
def test_a_purpose_of_3_to_300_characters_passes(length: int) -> None:
    assert read("x", {"purpose": "口" * length}).purpose == "口" * length


@pytest.mark.parametrize(
    "purpose",
    [
        "",
        "ab",
        "a" * 301,
        7,
        ["why"],
        "line\nbreak",
        "turned \u202e round",
        "hid\u200bden",
        "tab\there",
        "\u2028\u2028\u2028",
    ],
)
def test_a_purpose_that_is_too_short_too_long_or_disguised_is_refused(purpose: object) -> None:
    with pytest.raises(InvalidRequest):
        read("x", {"purpose": purpose})


def test_a_purpose_may_hold_any_visible_text() -> None:
    text = "口座の開設　<b>&amp; 'x'"
    assert read("x", {"purpose": text}) == Constraint(purpose=text)


@pytest.mark.parametrize(
    ("value", "seconds", "young"),
    [
        ("2026-11-21T11:59:00Z", 60, True),
        ("2026-11-21T11:58:59Z", 60, False),
        ("2026-11-21T20:59:00+09:00", 60, True),
        ("2026-11-21T11:59:00", 60, True),
        ("2026-11-20", 12 * 3600 + 1, True),  # from its last second on
        ("2026-11-20", 12 * 3600, False),
        ("2026-11-21", 0, True),
        ("not a date", 10**9, False),
        (20261121, 10**9, False),
        (None, 10**9, False),
        (["2026-11-20"], 10**9, False),
        ("9999-12-31", 0, True),
        ("0001-01-01T00:00:00+14:00", 1, False),
    ],
)
def test_max_age_counts_from_the_last_second_of_what_was_said(value: object, seconds: int, young: bool) -> None:
    assert read("x", {"max_age": seconds}).admits(value, now=NOW) is young


def test_a_fraction_of_a_second_is_not_given_away() -> None:
    assert read("x", {"max_age": 59.9}).max_age == 59
    assert read("x", {"max_age": 0}).restricts
    assert NOW - timedelta(seconds=59) <= NOW
    with pytest.raises(InvalidRequest):
        read("x", {"max_age": 10**11})
