"""The sample clinic in a real browser: a parent sees the child's record while the power holds, and never another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from broker.delegation.rendering import FONTS
from broker.flows import mandate_issue, register
from sandbox.clinic.matters import AnswerUnfit
from sandbox.clinic.records import VIEW, NumberTaken, Records
from sandbox.party.visits import Visit
from tests.broker.web.familyhouse import CHILD_FORM, draft
from tests.broker.web.house import House
from tests.broker.web.mandatehouse import Person, equip
from tests.broker.web.servicehouse import CLINIC, answer, log_in, looker, serving_clinic, wall
from tests.broker.web.test_web_mandate_life import answering
from tests.broker.web.test_web_me_browser import LOCALES
from tests.browser import assert_accessible, follow, screen

NOW = datetime(2026, 12, 1, 3, tzinfo=UTC)


@pytest.fixture
def service(served: House, tmp_path: Path) -> Iterator[str]:
    """The clinic on a port of its own; answers its address."""
    with serving_clinic(served, tmp_path / "clinic") as address:
        yield address


def view(page: Page, house: House) -> None:
    """Ask for the child's record, with the card and the consent in between."""
    wall(house)
    follow(page.locator("#view"))
    answer(page, house, "hanako", then="#back")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("language", ["ja", "en"])
def test_a_parent_sees_the_childs_record_from_the_desks_word_until_the_childs_card_ends_it(
    served: House, service: str, new_page: Callable[..., Page], tmp_path: Path, language: str
) -> None:
    if not all(font.exists() for font in FONTS):
        pytest.skip("missing: fonts-ipaexfont-gothic, fonts-ipamj-mincho")
    equip(served, tmp_path)
    parent = Person.at(served, "hanako")
    own = new_page(locale=LOCALES[language])
    own.route("**/*", answering(parent, language))
    own.goto(f"{served.issuer}/delegations/new/child")
    assert_accessible(own)
    screen(own, "family-new", language)
    path, joining = draft(parent, CHILD_FORM | {"service": CLINIC})
    assert parent.sign(path, "sign").status_code == 200
    child = Person.at(served, "mirai")
    assert child.take(joining) == path
    assert child.sign(path, "accept").status_code == 200
    page = new_page(locale=LOCALES[language])

    look = looker(page, language)
    page.goto(service)
    look("clinic-welcome")
    wall(served)
    log_in(page, served, "hanako", then="#logged-in")
    look("clinic-home")
    view(page, served)
    assert page.locator("#no-power").count() == 1, "nobody has looked at the papers"
    look("clinic-no-power")
    wall(served)
    follow(page.locator("#back"))
    wall(served)
    with page.expect_navigation():
        follow(page.locator("#ask"))

    wall(served)
    page.goto(f"{service}/desk")
    look("clinic-desk")
    wall(served)
    follow(page.locator("#confirm-1 button"))
    page.locator("#confirm-1").wait_for(state="detached")
    assert_accessible(page)
    mandate_issue.issue(served.ports)
    register.witness_all(served.ports)
    mandate_issue.issue(served.ports)
    assert parent.state(path) == "有効"

    wall(served)
    page.goto(service)
    view(page, served)
    assert page.locator("#child-name").inner_text() == "例示みらい"
    assert page.locator("#patient-number").inner_text() == "K0000001"
    assert page.locator("#vaccinations li").count() == 3
    look("clinic-record")
    seen = page.url
    own.goto(f"{served.issuer}{path}")
    assert own.locator("#decisions li").count() == 1
    assert_accessible(own)
    screen(own, "family-one", language)

    assert child.press(path, "revoke-form").status_code == 303
    wall(served)
    follow(page.locator("#back"))
    view(page, served)
    assert page.locator("#no-power").count() == 1
    stranger = new_page(locale=LOCALES[language])
    stranger.goto(seen)
    assert stranger.locator("#login").count() == 1, "the address alone shows nothing"


def answered(**changed: Any) -> Visit:
    answer = {"decision": "allow", "decision_id": "d-1", "principal": "c", "holds_until": "2026-12-01T03:01:00+00:00"}
    return Visit(claims={"iss": "i", "sub": "parent"}, id_token="", granted=[{**VIEW, **answer, **changed}])


def test_an_answer_opens_one_childs_record_to_one_person_for_a_minute(tmp_path: Path) -> None:
    records = Records(tmp_path / "clinic.db")
    records.bind("c", "K0000001")
    decision = records.take(answered(), actor="parent", now=NOW)
    assert decision == "d-1"
    shown = records.shown(decision, actor="parent", now=NOW)
    assert shown is not None
    assert shown.number == "K0000001"
    assert records.shown(decision, actor="other", now=NOW) is None
    assert records.shown(decision, actor="parent", now=NOW + timedelta(minutes=1)) is None
    for unfit in (answered(), answered(decision_id="d-2", actions=["book"])):
        with pytest.raises(AnswerUnfit):
            records.take(unfit, actor="parent", now=NOW)
    with pytest.raises(AnswerUnfit):
        records.take(answered(decision_id="d-2"), actor="other", now=NOW)
    with pytest.raises(AnswerUnfit):
        records.take(answered(decision_id="d-2"), actor="parent", now=NOW + timedelta(minutes=1))
    assert records.take(answered(decision_id="d-3", decision="deny"), actor="parent", now=NOW) is None
    other = records.take(answered(decision_id="d-4", principal="somebody"), actor="parent", now=NOW)
    assert records.shown(str(other), actor="parent", now=NOW) is None, "a child that is no patient here"


def test_a_patient_number_is_one_childs_for_good(tmp_path: Path) -> None:
    records = Records(tmp_path / "clinic.db")
    records.bind("c", "K0000001")
    records.bind("c", "K0000001")
    for subject, number in (("d", "K0000001"), ("c", "K0000002"), ("d", "K9999999")):
        with pytest.raises(NumberTaken):
            records.bind(subject, number)
