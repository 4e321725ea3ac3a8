"""A login on a host whose clock went back."""

from __future__ import annotations

from tests.broker.web.house import House, Page


def test_clock_set_back_by_days_lets_nobody_in_until_it_is_right_again(house: House) -> None:
    assert house.login(house.browser(), "hanako")["code"]
    house.clock.step(days=-2)
    refused = house.answer(house.login_page(house.browser()), "hanako")
    assert (refused.status_code, Page(refused.text).texts["error-code"]) == (503, "BROKER-020")
    house.clock.step(days=2)
    assert house.login(house.browser(), "hanako")["code"]
