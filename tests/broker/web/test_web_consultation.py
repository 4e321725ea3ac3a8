"""The sample clinic's consultation room in a real browser: a doctor's card, a patient's card, and who may not come."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from cardreader.cardfile import CardFile, load
from cardreader.errors import HPKICardGiven
from sandbox.clinic.matters import CLAIM, AnswerUnfit, Matters
from sandbox.party.visits import Visit
from tests.broker.web.doctors import DOCTOR, PATIENT, card_of
from tests.broker.web.house import House, transaction_of
from tests.broker.web.servicehouse import looker, serving_clinic, wall
from tests.broker.web.test_web_me_browser import LOCALES
from tests.browser import assert_accessible, follow, screen, screenshot

NOW = datetime(2026, 12, 1, 3, tzinfo=UTC)


@pytest.fixture
def room(served: House, tmp_path: Path) -> Iterator[str]:
    """The clinic on a port of its own; answers the address of the room."""
    with serving_clinic(served, tmp_path / "clinic") as address:
        yield f"{address}/consultation"


def press(page: Page, house: House, button: str, then: str) -> None:
    wall(house)
    follow(page.locator(button))
    page.locator(then).wait_for()


def place(page: Page, house: House, card: CardFile | str, then: str) -> None:
    """What the agent does with this card, and back to the clinic."""
    chosen = load(house.world.card(card)) if isinstance(card, str) else card
    request = page.locator("#card-form input[name=request]").get_attribute("value")
    assert request is not None
    answered = house.post_answer(transaction_of(request), {"answer": house.sign_with(chosen, request)})
    wall(house)
    page.goto(answered.headers["Location"])
    page.locator(then).wait_for()  # the broker's last page goes on by itself


@pytest.mark.timeout(300)
@pytest.mark.parametrize("language", ["ja", "en"])
def test_a_doctor_hands_over_to_a_patient_and_both_see_the_result(
    served: House, room: str, new_page: Callable[..., Page], language: str
) -> None:
    page = new_page(locale=LOCALES[language])

    seen = looker(page, language)

    def look(name: str) -> None:
        seen(name)
        for width in (1280, 320):
            page.set_viewport_size({"width": width, "height": 640})
            screenshot(page, f"{name}-{width}.{language}")

    page.goto(room.removesuffix("/consultation"))
    follow(page.locator("#to-consultation"))
    look("consultation")
    page.locator("#purpose").fill("個人番号 123456789018 の確認")
    press(page, served, "#begin", "#purpose-error")
    assert_accessible(page)
    screenshot(page, f"consultation-purpose.{language}")
    purpose = {"ja": "検査の説明と同意", "en": "Test results and consent"}[language]
    page.locator("#purpose").fill(purpose)
    press(page, served, "#begin", "#joint-purpose")
    place(page, served, DOCTOR, "#patients-turn")
    assert page.locator("#doctor-name").inner_text() == "医師見本"
    assert page.locator("#doctor-institution").inner_text() == "見本病院（試験用）"
    assert page.locator("#purpose").inner_text() == purpose
    look("consultation-patient")
    press(page, served, "#go-on", "#joint-name")
    assert page.locator("#joint-name").inner_text() == "医師見本"
    place(page, served, PATIENT, "#both")
    look("consultation-done")
    assert page.locator("#doctor-name").inner_text() == "医師見本"
    subject, joint = page.locator("#patient-subject").inner_text(), page.locator("#joint").inner_text()
    with served.ports.store.transaction() as tx:
        kept = tx.joints.get(joint)
    assert kept is not None
    assert (kept.state.value, kept.patient_subject) == ("complete", subject)
    stranger = new_page(locale=LOCALES[language])
    stranger.goto(room)
    assert stranger.locator("#begin").count() == 1, "the address alone shows nothing"
    press(page, served, "#close", "#begin")
    page.goto(room.removesuffix("/consultation"))
    assert page.locator("#login").count() == 1, "nobody is logged in by it"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("language", ["ja", "en"])
def test_another_licence_the_wrong_card_and_who_goes_back_end_it_in_words(
    served: House, room: str, new_page: Callable[..., Page], language: str
) -> None:
    page = new_page(locale=LOCALES[language])
    page.goto(room)
    press(page, served, "#begin", "#joint-purpose")
    place(page, served, card_of(served.world, role="Nurse"), "#ended")
    assert page.locator("#why-doctor").count() == 1
    assert page.locator("html").get_attribute("lang") == language
    assert_accessible(page)
    screen(page, "consultation-ended", language)

    press(page, served, "#again", "#begin")
    press(page, served, "#begin", "#joint-purpose")
    place(page, served, DOCTOR, "#patients-turn")
    press(page, served, "#go-on", "#joint-name")
    with pytest.raises(HPKICardGiven):
        place(page, served, DOCTOR, "#both")
    page.goto(room)
    assert page.locator("#patients-turn").count() == 1, "the patient's card is still waited for"
    press(page, served, "#go-on", "#joint-name")
    press(page, served, "#cancel-form button", "#why-patient")
    assert_accessible(page)

    press(page, served, "#again", "#begin")
    press(page, served, "#begin", "#joint-purpose")
    place(page, served, DOCTOR, "#patients-turn")
    press(page, served, "#cancel", "#why-cancelled")
    assert_accessible(page)
    press(page, served, "#again", "#begin")
    press(page, served, "#begin", "#joint-purpose")
    place(page, served, DOCTOR, "#patients-turn")
    with closing(sqlite3.connect(served.database)) as database, database:
        database.execute("UPDATE joint_transactions SET expires_at = created_at")
    press(page, served, "#go-on", "#why-expired")
    assert_accessible(page)


LICENCE = {"claims": {"hcrole": ["Medical Doctor"], "name": "医師見本"}}
BEGUN = {"id": "j", "role": "professional", "state": "begun"}
COMPLETE = {
    "id": "j",
    "role": "patient",
    "state": "complete",
    "professional": {"sub": "d", "verified_claims": LICENCE},
}
STANDING = {"status": "complete", "professional": {"sub": "d"}, "patient": {"sub": "p"}}


def came(subject: str, told: Any, **more: Any) -> Visit:
    return Visit(claims={"iss": "i", "sub": subject, CLAIM: told, **more}, id_token="")


def test_each_half_is_taken_once_and_only_as_the_broker_tells_it(tmp_path: Path) -> None:
    matters = Matters(tmp_path / "clinic.db")
    matters.open_matter("j", "検査", now=NOW)
    for unfit in (
        came("d", BEGUN),
        came("d", BEGUN, verified_claims={"claims": {"hcrole": ["Nurse"]}}),
        came("d", {**BEGUN, "id": "k"}, verified_claims=LICENCE),
        came("d", {**BEGUN, "role": "patient"}, verified_claims=LICENCE),
    ):
        with pytest.raises(AnswerUnfit):
            matters.doctor_came("j", unfit)
    ordered = matters.matter("j", now=NOW)
    assert ordered is not None
    with pytest.raises(AnswerUnfit):
        matters.patient_came(ordered, came("p", COMPLETE), standing=STANDING)
    matters.doctor_came("j", came("d", BEGUN, verified_claims=LICENCE))
    with pytest.raises(AnswerUnfit, match="before"):
        matters.doctor_came("j", came("e", BEGUN, verified_claims=LICENCE))
    begun = matters.matter("j", now=NOW)
    assert begun is not None
    assert (begun.doctor, begun.name, begun.institution) == ("d", "医師見本", "")
    other = {"sub": "e", "verified_claims": LICENCE}
    for told, standing in (
        ({**COMPLETE, "id": "k"}, STANDING),
        ({**COMPLETE, "professional": other}, STANDING),
        (COMPLETE, {**STANDING, "status": "begun"}),
        (COMPLETE, {**STANDING, "patient": {"sub": "q"}}),
        (COMPLETE, {**STANDING, "professional": {"sub": "e"}}),
    ):
        with pytest.raises(AnswerUnfit):
            matters.patient_came(begun, came("p", told), standing=standing)
    matters.patient_came(begun, came("p", COMPLETE), standing=STANDING)
    with pytest.raises(AnswerUnfit, match="before"):
        matters.patient_came(begun, came("p", COMPLETE), standing=STANDING)
    done = matters.matter("j", now=NOW)
    assert done is not None
    assert done.patient == "p"
    assert matters.matter("j", now=NOW + timedelta(minutes=30)) is None
    matters.open_matter("l", "診察", now=NOW + timedelta(minutes=31))
    assert matters.matter("j", now=NOW) is None, "what is too old is not kept either"
