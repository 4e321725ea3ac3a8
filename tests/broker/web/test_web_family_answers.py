"""A service asks whether a parent may act for the child: yes while both cards' certificates are good, or no."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest
from werkzeug.test import TestResponse

from broker.delegation.rendering import FONTS
from broker.flows import family_mandates
from broker.flows.account_orders import Action, add_operator, confirm, order
from broker.oidc.client import GrantType, Right
from broker.oidc.mandate_question import TYPE
from tests.broker.web.familyhouse import Family, at_the_office, family_at, subject_at
from tests.broker.web.house import House, Page
from tests.broker.web.linkhouse import Service, service
from tests.broker.web.mandatehouse import equip, work
from tests.broker.web.test_web_mandate_answers import ACCESS_TOKEN, DECISION, EXCHANGE, tokens

VIEW: dict[str, Any] = {"type": TYPE, "actions": ["view_record"]}


def clinic_at(house: House, name: str = "clinic") -> Service:
    return service(
        house,
        name,
        vetted=True,
        rights=frozenset({Right.FAMILY_MANDATES, Right.MANDATE_QUESTIONS}),
        authorization_details_types=frozenset({TYPE}),
        grant_types=frozenset({GrantType.AUTHORIZATION_CODE, GrantType.REFRESH_TOKEN, GrantType.TOKEN_EXCHANGE}),
        scope=frozenset({"openid", "offline_access"}),
    )


@pytest.fixture
def acting(house: House, tmp_path: Path) -> Family:
    """A guardian's power that holds."""
    if not all(font.exists() for font in FONTS):
        pytest.skip("missing: fonts-ipaexfont-gothic, fonts-ipamj-mincho")
    equip(house, tmp_path)
    family = family_at(house, clinic_at(house))
    assert family.confirm().status_code == 200
    work(house)
    assert family.guardian.state(family.path) == "有効"
    return family


def asked(
    family: Family, *, at: Service | None = None, resident: str = "hanako", scope: str = "openid", **members: Any
) -> dict[str, Any]:
    """The answer to one question, with the tokens that came with it."""
    told = tokens((at or family.clinic).program, VIEW | members, resident=resident, scope=scope, claims=None)
    (answer,) = told["authorization_details"]
    return {**answer, "tokens": told}


def test_a_parent_acts_for_the_child_and_the_token_says_who_is_who(acting: Family) -> None:
    child, parent = subject_at(acting.clinic, "mirai"), subject_at(acting.clinic, "hanako")
    answer = asked(acting)
    assert (answer["decision"], answer["principal"]) == ("allow", child)
    assert "mandate" not in answer, "no number that two services could compare"
    told = answer["tokens"]
    claims = jwt.decode(told["id_token"], options={"verify_signature": False})
    assert claims["sub"] == parent, "the login stays the parent's own"
    assert "act" not in claims
    swapped = acting.clinic.program.post(
        "/token",
        grant_type=EXCHANGE,
        subject_token=answer["decision_id"],
        subject_token_type=DECISION,
        actor_token=told["access_token"],
        actor_token_type=ACCESS_TOKEN,
    )
    assert swapped.status_code == 200, swapped.text
    token = jwt.decode(swapped.get_json()["access_token"], options={"verify_signature": False})
    assert (token["sub"], token["act"]) == (child, {"sub": parent})

    for person in (acting.guardian, acting.child):
        shown = Page(person.get(acting.path).text).texts["decisions"]
        assert "記録を見ること" in shown, "both see that it was used"
        assert "認めた" in shown


@pytest.mark.parametrize(
    "members", [{"actions": ["write_record"]}, {"identifier": "somebody-else"}, {"mandate": "x" * 24}]
)
def test_another_act_or_another_child_is_refused_without_a_reason(acting: Family, members: dict[str, Any]) -> None:
    answer = asked(acting, **members)
    assert answer["decision"] == "deny"
    assert not {"principal", "reason"} & answer.keys()


def test_another_service_and_another_person_hear_no(acting: Family) -> None:
    assert asked(acting, at=clinic_at(acting.house, "pharmacy"))["decision"] == "deny"
    assert asked(acting, resident="taro")["decision"] == "deny"


def test_after_the_child_has_ended_it_neither_a_new_answer_nor_a_refresh_nor_an_exchange_says_yes(
    acting: Family,
) -> None:
    program = acting.clinic.program
    answer = asked(acting, scope="openid offline_access")
    told = answer["tokens"]

    def refreshed() -> dict[str, Any]:
        again = program.post("/token", grant_type="refresh_token", refresh_token=told["refresh_token"])
        assert again.status_code == 200, again.text
        (detail,) = again.get_json()["authorization_details"]
        return dict(detail)

    def exchanged() -> TestResponse:
        return program.post(
            "/token",
            grant_type=EXCHANGE,
            subject_token=answer["decision_id"],
            subject_token_type=DECISION,
            actor_token=told["access_token"],
            actor_token_type=ACCESS_TOKEN,
        )

    assert (answer["decision"], refreshed()["decision"]) == ("allow", "allow")
    assert "refresh_token" not in exchanged().get_json(), "what acts for the child lives a minute"
    assert acting.child.press(acting.path, "revoke-form").status_code == 303
    after = refreshed()
    assert (after["decision"], "principal" in after) == ("deny", False), "the parent's own login goes on"
    assert (exchanged().status_code, exchanged().get_json()["error"]) == (400, "invalid_request")
    assert asked(acting)["decision"] == "deny"


def test_a_renewed_card_of_the_child_is_a_no_and_the_page_says_what_to_do(acting: Family, tmp_path: Path) -> None:
    assert asked(acting)["decision"] == "allow"
    assert "新しくなったとき" in Page(acting.guardian.get(acting.path).text).texts["renewed"]
    at_the_office(acting.house, tmp_path / "renewed", "mirai", "renewal")
    assert asked(acting)["decision"] == "deny"
    assert acting.guardian.state(acting.path) == "有効", "it stands until somebody ends it, and is good for nothing"


def test_without_a_word_on_the_childs_certificate_the_answer_is_no(
    acting: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock stands where the child's certificate has run out and the parent's has not: the source is not asked."""
    seen: list[str] = []

    def nothing_is_known(numbers: Any, **_: Any) -> None:
        seen.extend(numbers)

    monkeypatch.setattr(family_mandates, "ask", nothing_is_known)
    assert asked(acting)["decision"] == "deny"
    assert seen == [acting.number]


def test_a_word_that_is_older_than_a_minute_counts_no_more(acting: Family) -> None:
    house = acting.house
    family_mandates.ask((acting.number,), ports=house.ports)
    with house.ports.store.transaction() as tx:
        principal = family_mandates.principal_of(tx, acting.number)
    assert principal is not None
    with house.ports.store.transaction() as tx:
        assert family_mandates.may_act(tx, acting.number, principal, now=house.clock())
    house.clock.step(minutes=2)
    with house.ports.store.transaction() as tx:
        assert not family_mandates.may_act(tx, acting.number, principal, now=house.clock())


def test_a_protection_notice_is_no_at_once(acting: Family) -> None:
    ports = acting.house.ports
    secrets = {name: add_operator(name, ports=ports) for name in ("aoki", "baba")}
    with ports.store.transaction() as tx:
        child = family_mandates.principal_of(tx, acting.number)
    assert child is not None
    assert asked(acting)["decision"] == "allow"
    placed = order(child, Action.PROTECT, by="aoki", secret=secrets["aoki"], reason="支援措置", ports=ports)
    confirm(placed.order_id, by="baba", secret=secrets["baba"], ports=ports)
    assert asked(acting)["decision"] == "deny"
