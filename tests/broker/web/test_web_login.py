"""The way of a login through the pages."""

from __future__ import annotations

from tests.broker.web.house import House


def test_a_card_on_the_reader_ends_in_a_code_that_the_bank_turns_into_tokens(house: House) -> None:
    browser = house.browser()
    back = house.login(browser)
    assert back["state"] == "a-state"
    assert back["iss"] == "http://localhost:8000"
    answer = house.token(back["code"])
    assert answer.status_code == 200, answer.text
