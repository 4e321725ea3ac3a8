"""The catalogue and the error classes are one table, complete in both languages."""

from __future__ import annotations

import re
from dataclasses import astuple

import pytest

from cardreader.errors import Answer, CardAbsent, CardError, answer_for, catalogue, leaves

ROWS = sorted(catalogue().values(), key=lambda row: row.code)


def test_every_error_has_a_row_and_every_row_an_error() -> None:
    assert {error.__name__ for error in leaves()} == set(catalogue())


def test_codes_and_screens_are_unique() -> None:
    assert len({row.code for row in ROWS}) == len(ROWS)
    assert len({row.id for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code)
def test_a_row_is_complete_in_both_languages(row: Answer) -> None:
    assert re.fullmatch(r"(CARD|AGENT)-\d{3}", row.code)
    assert all(word.strip() for word in (*astuple(row.ja), *astuple(row.en), row.cause))
    assert re.search("[\u3040-\u30ff\u4e00-\u9fff]", row.ja.title)
    assert row.en.title.isascii() or "–" in row.en.title
    assert row.http == 200 or 400 <= row.http <= 599  # giving up is no fault
    assert row.pin_try_used in ("no", "yes", "unknown")


def test_an_error_finds_its_row() -> None:
    assert answer_for(CardAbsent("x")).code == "CARD-003"


def test_only_the_pin_itself_may_cost_a_try() -> None:
    costly = {row.exception for row in ROWS if row.code.startswith("CARD-") and row.pin_try_used != "no"}
    pin = {"PINRejected", "PINBlocked", "PINOutcomeUnknown"}
    password = {"SignPasswordRejected", "SignPasswordBlocked", "SignPasswordOutcomeUnknown"}
    hpki = {"HPKIPINRejected", "HPKIPINBlocked"}
    assert costly == pin | password | hpki
    assert all(issubclass(error, CardError) for error in leaves())
