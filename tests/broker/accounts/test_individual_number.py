"""What could be a 個人番号 is found, however it is spelt; what cannot be one is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.accounts.individual_number import check_digit, holds_one, is_bare

PRINTED = "123456789018"
"""The specimen of the Digital Agency's guides."""


def test_the_check_digit_is_that_of_the_printed_specimen() -> None:
    assert check_digit(PRINTED[:11]) == int(PRINTED[11])


@pytest.mark.parametrize(
    "text",
    [
        PRINTED,
        f"番号は{PRINTED}です",
        "1234 5678 9018",
        "1234-5678-9018",
        "１２３４５６７８９０１８",
        "１２３４−５６７８−９０１８",
        "1234\u30005678\u30009018",
        "12345\u200b6789018",
        "١٢٣٤٥٦٧٨٩٠١٨",
        "1.2.3.4.5.6.7.8.9.0.1.8",
        f"12-{PRINTED}",
        f"{PRINTED} 2026-11-21",
        f"a{PRINTED}b",
    ],
)
def test_a_number_is_found_however_it_is_spelt(text: str) -> None:
    assert holds_one(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0012345",
        "123456789019",  # another check digit
        f"{PRINTED}0",  # a 法人番号 has thirteen digits
        f"9{PRINTED}",
        "12345678901",
        "2026-11-21 10:15",
        "北海道",
    ],
)
def test_what_cannot_be_one_is_left_alone(text: str) -> None:
    assert not holds_one(text)


@pytest.mark.parametrize(("text", "bare"), [("123456789012", True), ("1234 5678 9012", True), ("A23456789012", False)])
def test_twelve_bare_digits_are_told_whatever_their_check_digit(text: str, bare: bool) -> None:
    assert is_bare(text) is bare


@given(st.text(alphabet="0123456789", min_size=11, max_size=11))
def test_of_eleven_digits_exactly_one_twelfth_makes_a_number(eleven: str) -> None:
    assert [digit for digit in "0123456789" if holds_one(eleven + digit)] == [str(check_digit(eleven))]


@given(st.text(max_size=200))
def test_any_text_is_judged(text: str) -> None:
    assert holds_one(text) in {True, False}
