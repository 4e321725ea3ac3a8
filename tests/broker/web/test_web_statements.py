"""A certificate of employment from the form to the hands of whom it is about, with real cards and a register."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from broker.delegation import lookup
from broker.delegation import record as records
from broker.delegation.bundle import submitted
from broker.delegation.examination import examine
from broker.delegation.rendering import FONTS
from broker.delegation.verdict import Outcome, Question, Reason
from broker.errors import DelegationStateRefused
from broker.flows import register
from broker.flows.account_orders import add_operator
from broker.flows.mandate_issue import judge_extract, to_judge
from broker.flows.mandate_orders import Action
from broker.flows.officer import own_trust
from broker.ids import MandateNumber
from tests.broker.web.house import House, Page
from tests.broker.web.mandatehouse import Person, equip, work
from tests.broker.web.test_web_mandates import granted, ordered
from tests.registerhouse import Neighbours

FORM = {
    "employer_kind": "sole_proprietor",
    "employer_name": "山田花子",
    "employer_address": "愛知県名古屋市中区栄1-1",
    "contact": "本人 052-000-0000",
    "employee_name": "社員働助",
    "employment": "part_time",
    "employed_since": "2024-04-01",
    "purpose": "保育所の入所申込み",
    "days_a_week": "5",
    "hours_a_month": "120",
    "starts": "09:00",
    "finishes": "16:00",
    "rest_minutes": "60",
    "worked_month_0": "2026-09",
    "worked_days_0": "20",
    "worked_hours_0": "118",
}


@pytest.fixture
def street(house: House, tmp_path: Path) -> Neighbours:
    if not all(font.exists() for font in FONTS):
        pytest.skip("missing: fonts-ipaexfont-gothic, fonts-ipamj-mincho")
    return equip(house, tmp_path)


def fill(employer: Person, **changed: str) -> Page:
    """The form as a browser sends it."""
    today = employer.house.clock().date().isoformat()
    begun = Page(employer.get("/statements/new").text).forms["statement-form"]
    fields = {"csrf": begun["fields"]["csrf"], "certified_on": today} | FORM | changed
    headers = {"Origin": employer.house.issuer}
    page = employer.browser.post(begun["action"], data=fields, headers=headers, base_url=employer.house.issuer)
    return Page(page.text)


def drafted(employer: Person, **changed: str) -> tuple[str, str]:
    """The path of its page, and that of the employee's invitation."""
    page = fill(employer, **changed)
    return page.links["continue"], page.texts["employee-url"].removeprefix(employer.house.issuer)


def stated(house: House, **changed: str) -> tuple[Person, Person, str]:
    """A certificate that was signed and sealed, and received: employer, employee, and its page."""
    employer = Person.at(house, "hanako")
    path, invitation = drafted(employer, **changed)
    assert employer.sign(path, "sign").status_code == 200
    work(house)
    employee = Person.at(house, "shain")
    assert employee.take(invitation) == path
    return employer, employee, path


def examined(house: House, employee: Person, path: str) -> tuple[Outcome, tuple[Reason, ...]]:
    """What an officer finds, at a desk of their own, who was handed the bundle."""
    register.witness_all(house.ports)
    bundle = submitted(employee.get(f"{path}/bundle.zip").data)
    assert bundle.chain[0].pdf == employee.get(f"{path}/statement.pdf").data
    with house.ports.store.transaction() as tx:
        trust = own_trust(tx, house.ports)
    found = examine(bundle, Question(as_of=house.clock()), trust=trust, now=house.clock())
    return found.verdict.outcome, found.verdict.reasons


def test_from_the_form_to_the_employees_hands_and_to_its_withdrawal(house: House, street: Neighbours) -> None:
    employer, employee, path = stated(house)
    assert employer.state(path) == employee.state(path) == "有効（取り下げられていません）"
    record = records.read_statement(employee.get(f"{path}/statement.json").data)
    assert record.statement.employee.name == "社員働助"
    assert record.statement.hours is not None
    assert {each.shows.value for each in record.evidence} == {"principal_frame", "principal_signature", "decision"}
    assert examined(house, employee, path) == (Outcome.VALID, ())
    shown = Page(employer.get(path).text)
    assert shown.texts["taken"] == "従業員が受け取りました。"
    assert "revoke-form" not in Page(employee.get(path).text).forms
    assert employee.press_anyway(f"{path}/revoke", path).status_code == 409
    secrets = {name: str(add_operator(name, ports=house.ports)) for name in ("aoki", "baba")}
    with pytest.raises(DelegationStateRefused, match="no certificate rests: revoke it"):
        ordered(house, path.rpartition("/")[2], Action.BLOCK, secrets)
    assert employer.press(path, "revoke-form").status_code == 303
    assert employee.state(path) == "取り下げ済み"
    assert "取り下げ" in Page(employee.get("/statements").text).texts["notes"]
    work(house)
    assert examined(house, employee, path) == (Outcome.REVOKED, (Reason.REVOKED,))


def test_a_correction_replaces_the_certificate_it_names(house: House, street: Neighbours) -> None:
    employer, _employee, path = stated(house)
    number = path.rpartition("/")[2]
    later, _ = drafted(employer, supersedes=number, employment="regular")
    employer.sign(later, "sign")
    work(house)
    assert employer.state(path) == "訂正され、新しい証明書に置き換えられました"
    assert employer.state(later) == "有効（取り下げられていません）"


def test_a_certificate_is_no_power_and_a_power_no_certificate(house: House, street: Neighbours) -> None:
    employer, employee, path = stated(house)
    number = path.rpartition("/")[2]
    assert employee.get(f"/delegations/{number}").status_code == 404
    assert employee.get(f"/delegations/{number}/poa.pdf").status_code in {200, 404}
    assert Page(employee.get("/delegations").text).texts["received"] == "ありません"
    assert Page(employee.get("/delegations").text).texts["notes"] == "ありません"
    for person, role in ((employer, "employer"), (employee, "employee")):
        exported = person.get("/me/export/everything.json").get_json()
        assert exported["delegations"] == []
        (one,) = exported["statements"]
        assert (one["number"], one["role"], one["state"]) == (number, role, "active")
        assert one["statement"]["employee"]["name"] == "社員働助"
        assert [each["event"] for each in one["history"]] == ["issue"]
        assert "社員働助" in Page(person.get("/me/print").text).texts["print-statements"]
    assert Person.at(house, "taro").get("/me/export/everything.json").get_json()["statements"] == []
    _principal, _agent, power = granted(house)
    assert employee.get(power.replace("delegations", "statements")).status_code == 404
    assert employee.get(f"{power.replace('delegations', 'statements')}/statement.pdf").status_code == 404
    assert employer.press_anyway(f"/statements/{power.rpartition('/')[2]}/abandon", path).status_code == 404
    told = fill(employer, supersedes=power.rpartition("/")[2]).texts
    assert told["supersedes-error"].startswith("エラー: 訂正できるのは")


def test_only_its_employer_signs_it_and_nobody_else_sees_it(house: House, street: Neighbours) -> None:
    employer = Person.at(house, "hanako")
    path, invitation = drafted(employer)
    assert employer.get(invitation).status_code == 404, "the employer is a party already"
    other = Person.at(house, "taro")
    assert other.get(path).status_code == 404
    employer.sign(path, "sign", card="shain")
    assert Person.at(house, "hanako").state(path).startswith("下書き")
    employee = Person.at(house, "shain")
    employee.take(invitation)
    assert employee.press_anyway(f"{path}/sign", path).status_code == 404


def test_a_corporations_certificate_waits_for_two_operators(house: House, street: Neighbours) -> None:
    secrets = {name: add_operator(name, ports=house.ports) for name in ("aoki", "baba")}
    employer, _employee, path = stated(
        house,
        employer_kind="corporation",
        employer_name="株式会社架空製作所",
        employer_corporate_number="8490101999999",
        employer_representative="山田花子",
    )
    assert employer.state(path).startswith("署名が済みました")
    number = MandateNumber(path.rpartition("/")[2])
    assert [waiting for waiting, _, _ in to_judge(ports=house.ports)] == [number]
    for operator, secret in secrets.items():
        judge_extract(number, b"extract", operator=operator, secret=secret, ports=house.ports)
    work(house)
    assert employer.state(path).startswith("有効")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"employed_since": "2030-01-01"}, "雇用の期間と証明する日"),
        ({"certified_on": "2030-01-01"}, "雇用の期間と証明する日"),
        ({"days_a_week": "8"}, "就労時間"),
        ({"finishes": ""}, "就労時間"),
        ({"worked_month_0": "2031-01"}, "就労時間"),
        ({"leave_kind": "childcare", "leave_since": "2026-05-01", "leave_until": "2026-04-01"}, "休業の期間"),
        ({"income_year": "2025"}, "収入"),
        (
            {
                "employer_kind": "corporation",
                "employer_corporate_number": "1234567890123",
                "employer_representative": "山田花子",
            },
            "法人番号",
        ),
        ({"employer_kind": "person", "employer_address": ""}, "雇用証明書は、法人または個人事業主"),
        ({"supersedes": "A" * 24}, "訂正できるのは"),
        ({"certified_on": "2020-01-01", "employed_since": "2019-01-01", "worked_month_0": ""}, "取り下げを知らせる"),
    ],
)
def test_what_cannot_be_certified_is_refused_with_its_rule_and_nothing_is_kept(
    house: House, street: Neighbours, changed: dict[str, str], words: str
) -> None:
    employer = Person.at(house, "hanako")
    page = fill(employer, **changed)
    assert words in page.texts["error-rule"]
    assert Page(employer.get("/statements").text).texts["made"] == "ありません"


def test_an_individual_number_is_never_kept(house: House, street: Neighbours) -> None:
    employer = Person.at(house, "hanako")
    fill(employer, remarks="個人番号 1234 5678 9018")
    assert Page(employer.get("/statements").text).texts["made"] == "ありません"


def test_officers_and_services_are_told_of_it_in_words_of_its_own(house: House, street: Neighbours) -> None:
    employer, employee, path = stated(house)
    pdf = employee.get(f"{path}/statement.pdf").data
    answered = house.browser().post(
        "/verify",
        data={"document": (io.BytesIO(pdf), "statement.pdf")},
        base_url=house.issuer,
        headers={"Origin": house.issuer},
    )
    page = Page(answered.text)
    assert answered.status_code == 200
    assert "本物で、取り下げられていません" in page.texts["outcome"], "our own store has what is missing"
    assert "社員働助" in page.texts["who"]
    assert "雇用している" in page.texts["who"]
    assert "取り下げ・訂正" in answered.text
    assert "委任の期間" not in answered.text

    number = path.rpartition("/")[2]
    code = lookup.check_code(employee.get(f"{path}/statement.json").data)

    def told(**named: str) -> dict[str, Any]:
        answer = house.browser().post("/api/verifications", json=named, base_url=house.issuer)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.get_json()
        return found

    alone = told(number=number)
    assert (alone.keys(), alone["state"]) == ({"number", "state", "at"}, "active"), "a number alone names nobody"
    report = told(number=number, check=code)["report"]
    assert (report["verdict"], report["exit_status"]) == ("valid", 0)
    assert "社員働助" in json.dumps(report["chain"], ensure_ascii=False)
    employer.press(path, "revoke-form")
    assert told(number=number)["state"] == "revoked"
    assert told(number=number, check=code)["report"]["verdict"] == "revoked"


def test_the_database_holds_nothing_of_it_in_clear(house: House, street: Neighbours) -> None:
    stated(house)
    data = b"".join(file.read_bytes() for file in house.database.parent.glob(f"{house.database.name}*"))
    for said in ("社員働助", "052-000-0000", "保育所の入所申込み"):
        assert said.encode() not in data
        assert json.dumps(said).encode() not in data
