"""Acting for a child or a parent at one service: who signs, who confirms, and who ends it at once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from broker.delegation import record as records
from broker.delegation.rendering import FONTS
from broker.errors import DelegationStateRefused
from broker.flows import account_orders, family_mandates, mandate_ends, mandate_orders
from broker.flows.account_orders import Action, add_operator
from broker.ids import MandateNumber
from cardreader.errors import CertificateExpired
from tests.broker.web.familyhouse import (
    BORN,
    CHILD_FORM,
    PARENT_FORM,
    Family,
    account_of,
    at_the_office,
    clinic_at,
    draft,
    family_at,
    fill,
    subject_at,
)
from tests.broker.web.house import House, Page
from tests.broker.web.linkhouse import service
from tests.broker.web.mandatehouse import Person, equip, work


@pytest.fixture
def house_with_seal(house: House, tmp_path: Path) -> House:
    if not all(font.exists() for font in FONTS):
        pytest.skip("missing: fonts-ipaexfont-gothic, fonts-ipamj-mincho")
    equip(house, tmp_path)
    return house


@pytest.fixture
def family(house_with_seal: House) -> Family:
    return family_at(house_with_seal, clinic_at(house_with_seal))


@pytest.fixture
def acting(family: Family) -> Family:
    """The clinic has confirmed it, and it holds."""
    assert family.confirm().status_code == 200
    work(family.house)
    assert family.guardian.state(family.path) == "有効"
    return family


def test_a_guardians_power_holds_once_the_service_has_seen_the_papers_and_not_before(family: Family) -> None:
    work(family.house)
    assert family.guardian.state(family.path) == "確認を待っています"
    assert "窓口で確認" in Page(family.guardian.get(family.path).text).texts["next"]
    [waiting] = family.listed()
    assert (waiting["state"], waiting["confirmed"]) == ("accepted", False)
    assert waiting["child"] == subject_at(family.clinic, "mirai"), "the child by the clinic's own pseudonym"
    assert (waiting["child_name"], waiting["guardian_name"], waiting["relation"]) == ("例示みらい", "山田花子", "母")

    assert family.confirm().status_code == 200
    assert family.confirm().status_code == 409, "once"
    work(family.house)
    assert family.guardian.state(family.path) == family.child.state(family.path) == "有効"

    record = records.read(family.guardian.get(f"{family.path}/poa.json").data)
    assert {each.shows.value for each in record.evidence} == {
        "guardian_frame",
        "guardian_signature",
        "child_card",
        "guardianship",
        "decision",
    }
    assert BORN.encode() not in record.grant_bytes, "of the child nothing but the last day is kept"
    scope = record.grant.powers[0].scope
    assert (scope.service, scope.service_name) == (family.clinic.client_id, family.clinic.program.client.name)


@pytest.mark.parametrize("who", ["guardian", "child"])
def test_either_side_ends_it_at_once_without_the_card(acting: Family, who: str) -> None:
    person: Person = getattr(acting, who)
    assert person.press(acting.path, "revoke-form").status_code == 303
    assert acting.guardian.state(acting.path) == acting.child.state(acting.path) == "終わりました"
    assert acting.listed() == []


def test_the_service_ends_it_at_once_and_another_service_neither_sees_nor_ends_it(acting: Family) -> None:
    pharmacy = clinic_at(acting.house, "pharmacy")
    other = pharmacy.program
    assert other.post("/api/guardianships", sub=subject_at(pharmacy, "hanako")).get_json() == {"guardianships": []}
    assert other.post("/api/guardianships/end", number=acting.number).status_code == 404
    assert other.post(
        "/api/guardianships/confirm", number=acting.number, basis="family_register", birthdate=BORN
    ).status_code == (404)
    assert acting.guardian.state(acting.path) == "有効"
    assert acting.clinic.program.post("/api/guardianships/end", number=acting.number).status_code == 200
    assert acting.guardian.state(acting.path) == "終わりました"
    assert acting.clinic.program.post("/api/guardianships/end", number=acting.number).status_code == 200, "it stays so"


def test_another_guardian_of_the_child_stops_it_and_nobody_else_can(acting: Family) -> None:
    house = acting.house
    father = family_at(house, acting.clinic, guardian="taro", agent_name="見本太郎", agent_title="父")
    assert not [name for name in Page(father.guardian.get(father.path).text).forms if name.startswith("other-")], (
        "only a guardian whose own power holds"
    )
    refused = father.guardian.browser.post(
        f"{father.path}/others/{acting.number}",
        data={"csrf": Page(father.guardian.get(father.path).text).forms["me-logout"]["fields"]["csrf"]},
        headers={"Origin": house.issuer},
        base_url=house.issuer,
    )
    assert refused.status_code == 404
    assert father.confirm().status_code == 200
    work(house)
    assert father.guardian.press(father.path, "other-1").status_code == 303
    assert acting.guardian.state(acting.path) == "終わりました"
    assert father.guardian.state(father.path) == "有効"


def test_a_protection_notice_of_two_operators_ends_it_and_keeps_it_ended(acting: Family) -> None:
    house, ports = acting.house, acting.house.ports
    secrets = {name: add_operator(name, ports=ports) for name in ("aoki", "baba")}
    with ports.store.transaction() as tx:
        child = account_of(tx, acting.clinic, subject_at(acting.clinic, "mirai"))

    def notice(action: Action) -> None:
        placed = account_orders.order(child, action, by="aoki", secret=secrets["aoki"], reason="支援措置", ports=ports)
        account_orders.confirm(placed.order_id, by="baba", secret=secrets["baba"], ports=ports)

    with pytest.raises(DelegationStateRefused, match="revoke it, or protect"):
        mandate_orders.order(
            acting.number,
            mandate_orders.Action.BLOCK,
            by="aoki",
            secret=secrets["aoki"],
            reason="支援措置",
            ports=ports,
        )
    notice(Action.PROTECT)
    for person in (acting.guardian, acting.child):
        assert "取り消し" in Page(person.get("/delegations").text).texts["notes"], "both are told"
        assert "支援措置" not in person.get(acting.path).text, "nobody is told why"
    assert acting.guardian.state(acting.path) == "終わりました"
    again = family_at(house, acting.clinic)
    assert again.confirm().status_code == 200
    work(house)
    assert again.guardian.state(again.path) == "確認を待っています", "nobody acts while the notice stands"
    notice(Action.UNPROTECT)
    work(house)
    assert again.guardian.state(again.path) == "有効"


def test_it_ends_with_the_day_before_the_fifteenth_birthday_by_the_clock(house_with_seal: House) -> None:
    house = house_with_seal
    clinic = clinic_at(house)
    today = house.clock().date()
    born = today.replace(year=today.year - 14) + timedelta(days=-363)  # fifteen in two or three days
    family = family_at(house, clinic, child_born=born.isoformat())
    later = family.confirm(birthdate=(born - timedelta(days=1)).isoformat())
    assert later.status_code == 400, "the papers say that the child is a day older"
    assert family.confirm(birthdate=born.isoformat()).status_code == 200
    work(house)
    assert family.guardian.state(family.path) == "有効"
    house.clock.step(days=4)
    mandate_ends.expire(house.ports)
    assert "終わりました" in Person.at(house, "hanako").state(family.path)


def test_a_parent_lets_a_grown_child_act_without_the_service_having_to_say_anything(house_with_seal: House) -> None:
    house = house_with_seal
    clinic = clinic_at(house)
    parent = Person.at(house, "yoshiko")
    path, invitation = draft(parent, PARENT_FORM | {"service": clinic.client_id})
    assert parent.sign(path, "sign").status_code == 200
    grown = Person.at(house, "hanako")
    assert grown.take(invitation) == path
    assert grown.sign(path, "accept").status_code == 200
    work(house)
    assert parent.state(path) == grown.state(path) == "有効"
    assert clinic.program.post(
        "/api/guardianships/confirm",
        number=path.rpartition("/")[2],
        basis="family_register",
        birthdate=BORN,
    ).status_code == (409), "there is no guardianship to confirm"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"service": "bank"}, "受け付けていないサービス"),
        ({"ends": "2035-01-01"}, "長さを超えています"),
        ({"child_born": "2005-05-05"}, "15歳"),
        ({"child_born": ""}, "委任期間の終わり"),
        ({"act_view_record": "", "act_book": ""}, "委任する行為"),
        ({"act_bid": "yes"}, "委任する行為"),
        ({"principal_name": ""}, "形式"),
    ],
)
def test_what_no_guardian_may_do_is_refused_with_its_rule(
    house_with_seal: House, changed: dict[str, str], words: str
) -> None:
    clinic = clinic_at(house_with_seal)
    page = fill(Person.at(house_with_seal, "hanako"), CHILD_FORM | {"service": clinic.client_id} | changed)
    assert page.status_code == 400
    assert words in Page(page.text).texts["error-rule"]


def test_who_signs_under_another_name_signs_nothing(house_with_seal: House) -> None:
    clinic = clinic_at(house_with_seal)
    guardian = Person.at(house_with_seal, "hanako")
    path, _joining = draft(guardian, CHILD_FORM | {"service": clinic.client_id, "agent_name": "山田華子"})
    assert guardian.sign(path, "sign").status_code == 400
    assert guardian.state(path) == "まだ署名していません"


def test_neither_the_guardian_nor_a_dead_card_joins_in_the_childs_place(house_with_seal: House, tmp_path: Path) -> None:
    clinic = clinic_at(house_with_seal)
    guardian = Person.at(house_with_seal, "hanako")
    path, joining = draft(guardian, CHILD_FORM | {"service": clinic.client_id})
    guardian.sign(path, "sign")
    assert guardian.get(joining).status_code == 404
    assert "accept-form" not in Page(guardian.get(path).text).forms
    child = Person.at(house_with_seal, "mirai")
    child.take(joining)
    child.sign(path, "accept", card="hanako")
    with pytest.raises(CertificateExpired):  # the agent signs nothing with it
        Person.at(house_with_seal, "mirai").sign(path, "accept", card="kigen")
    child = Person.at(house_with_seal, "mirai")
    at_the_office(house_with_seal, tmp_path / "lost", "mirai", "loss")
    assert Page(child.sign(path, "accept").text).texts["error-code"] == "AUTH-014", "the child's own, reported lost"
    assert guardian.state(path) == "確認を待っています"
    with house_with_seal.ports.store.transaction() as tx:
        shown = {piece.shows.value for piece in tx.mandates.evidence(MandateNumber(path.rpartition("/")[2]))}
    assert "child_card" not in shown


def test_the_childs_certificate_has_to_be_good_at_the_moment_of_the_act(acting: Family) -> None:
    with acting.house.ports.store.transaction() as tx:
        mandate = tx.mandates.get(acting.number)
    assert mandate is not None
    assert family_mandates.principal_is_good(mandate, ports=acting.house.ports)
    acting.house.clock.step(days=3650)  # the certificate has run out
    assert not family_mandates.principal_is_good(mandate, ports=acting.house.ports)


def test_a_client_without_the_right_has_nothing_to_say(family: Family) -> None:
    shop = service(family.house, "shop").program
    for path in ("", "/confirm", "/end"):
        refused = shop.post(f"/api/guardianships{path}", number=family.number)
        assert refused.get_json()["error"] == "unauthorized_client"
