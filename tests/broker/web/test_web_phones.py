"""A phone's certificate beside the card's: accepted where the operator says so, never told as more than it proves."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import jwt
import pytest

from broker.jpki.profile import accepted_profiles
from sandbox.ca import PHONE_POLICIES
from tests.broker.web.house import House, Page

POLICIES = {kind: policy.dotted_string for kind, policy in PHONE_POLICIES.items()}
ALL = ("plastic", "android", "iphone")


def claims(house: House, card: str) -> dict[str, object]:
    token = house.token(house.login(house.browser(), card)["code"]).get_json()["id_token"]
    told: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return told


def refusal(house: House, card: str) -> tuple[int, str]:
    page = house.answer(house.login_page(house.browser()), card)
    return page.status_code, Page(page.text).texts["error-code"]


def kinds(house: House) -> list[str]:
    with closing(sqlite3.connect(house.database)) as connection:
        return [kind for (kind,) in connection.execute("SELECT kind FROM credentials ORDER BY kind")]


def test_amr_and_acr_say_what_each_kind_proves_and_the_kind_is_recorded(make_house: Callable[..., House]) -> None:
    house = make_house(profiles=accepted_profiles(ALL, POLICIES))
    card = claims(house, "hanako")
    assert (card["acr"], card["amr"]) == ("aal3", ["hwk", "pin", "sc", "mfa"])
    for phone in ("hanakoandroid", "taroiphone"):
        told = claims(house, phone)
        assert (told["acr"], told["amr"]) == ("aal2", ["hwk", "mfa"])
    assert kinds(house) == ["android", "iphone", "plastic"]


def test_a_phone_that_nothing_joined_to_the_card_has_an_account_of_its_own(make_house: Callable[..., House]) -> None:
    house = make_house(profiles=accepted_profiles(ALL, POLICIES))
    assert claims(house, "hanako")["sub"] != claims(house, "hanakoandroid")["sub"]


def test_no_phone_logs_in_by_default_though_its_authority_is_an_anchor(house: House) -> None:
    assert refusal(house, "hanakoandroid") == (403, "AUTH-012")
    assert claims(house, "hanako")["acr"] == "aal3"


@pytest.mark.parametrize(
    ("accepted", "refused"), [(("plastic", "android"), "taroiphone"), (("android",), "hanako"), (("iphone",), "taro")]
)
def test_a_kind_that_is_not_accepted_is_refused(
    make_house: Callable[..., House], accepted: tuple[str, ...], refused: str
) -> None:
    policies = {kind: POLICIES[kind] for kind in accepted if kind in POLICIES}
    assert refusal(make_house(profiles=accepted_profiles(accepted, policies)), refused) == (403, "AUTH-012")
