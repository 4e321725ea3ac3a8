"""Logins by HPKI card, and a doctor's joined with a patient's: one card each, one id, the tokens of both say so."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.x509 import load_der_x509_certificate
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from broker.errors import KioskActOff
from broker.flows import kiosks
from broker.jpki import challenge
from broker.oidc.client import GrantType
from broker.oidc.licence import ACR
from cardreader.agent import signing
from cardreader.cardfile import CardFile, load
from cardreader.errors import HPKICardGiven, HPKICertificateExpired, NotHPKICard
from sandbox import hpki
from sandbox.generate import World
from tests.broker.web import doctors
from tests.broker.web.doctors import DOCTOR, PATIENT, PURPOSE, Clinic, Lists
from tests.broker.web.house import Clock, House, Page, transaction_of
from tests.broker.web.pushing import push, visit

CLAIM = "urn:jpki-broker:claim:joint"


@pytest.fixture
def clinic(make_house: Callable[..., House], world: World) -> Clinic:
    clock = Clock()
    lists = Lists(world, clock)
    house = make_house(healthcare=doctors.healthcare(world, lists))
    lists.clock = house.clock
    return doctors.clinic(house, lists)


def claims(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def test_a_doctor_logs_in_by_hpki_card_and_the_tokens_state_the_licence(clinic: Clinic) -> None:
    browser = clinic.house.browser()
    back = clinic.returned(browser, "hpki", DOCTOR)
    told = clinic.tokens(back["code"])
    said = claims(told["id_token"])
    assert (said["acr"], said["amr"]) == (ACR, ["hwk", "pin", "sc", "mfa"])
    verified = said["verified_claims"]
    assert verified["claims"]["hcrole"] == ["Medical Doctor"]
    assert verified["claims"]["name"] == "医師見本"
    assert verified["claims"]["urn:jpki-broker:claim:institution"] == "見本病院（試験用）"
    assert verified["verification"]["trust_framework"] == f"{clinic.house.issuer}/trust-framework/hpki"
    assert CLAIM not in said
    assert clinic.userinfo(told["access_token"])["verified_claims"] == verified
    assert claims(clinic.tokens(clinic.returned(browser, "hpki", DOCTOR)["code"])["id_token"])["sub"] == said["sub"]


def test_a_professional_login_leaves_no_session_and_ends_the_one_before(clinic: Clinic) -> None:
    house, browser = clinic.house, clinic.house.browser()
    house.login(browser)
    assert "code=" in house.authorize(browser, prompt="none").headers["Location"]
    clinic.returned(browser, "hpki", DOCTOR)
    assert "error=login_required" in house.authorize(browser, prompt="none").headers["Location"]


def test_doctor_and_patient_join_by_one_id_and_the_tokens_of_both_say_so(clinic: Clinic) -> None:
    joint = clinic.ordered()
    assert clinic.state(joint)["status"] == "ordered"
    doctor = clinic.tokens(clinic.returned(clinic.house.browser(), "hpki", DOCTOR, joint)["code"])
    assert claims(doctor["id_token"])[CLAIM] == {"id": joint, "role": "professional", "state": "begun"}
    assert clinic.state(joint)["status"] == "begun"
    patient = clinic.tokens(clinic.returned(clinic.house.browser(), "joint", PATIENT, joint)["code"])
    said = claims(patient["id_token"])
    assert said["acr"] == "aal3"
    assert "verified_claims" not in said
    assert said[CLAIM]["id"] == joint
    assert (said[CLAIM]["role"], said[CLAIM]["state"]) == ("patient", "complete")
    professional = said[CLAIM]["professional"]
    assert professional["sub"] == claims(doctor["id_token"])["sub"]
    assert professional["verified_claims"] == claims(doctor["id_token"])["verified_claims"]
    completed = clinic.userinfo(doctor["access_token"])[CLAIM]
    assert completed == {"id": joint, "role": "professional", "state": "complete", "patient": {"sub": said["sub"]}}
    assert clinic.userinfo(patient["access_token"])[CLAIM] == said[CLAIM]
    state = clinic.state(joint)
    assert (state["status"], state["expires_in"]) == ("complete", 0)
    assert (state["professional"]["sub"], state["patient"]["sub"]) == (professional["sub"], said["sub"])
    assert professional["sub"] != said["sub"]


def test_both_may_come_to_one_terminal_and_neither_is_logged_in_after_it(clinic: Clinic) -> None:
    browser, joint = clinic.house.browser(), clinic.ordered()
    doctor = clinic.returned(browser, "hpki", DOCTOR, joint)
    patient = clinic.returned(browser, "joint", PATIENT, joint)
    assert claims(clinic.tokens(doctor["code"])["id_token"])[CLAIM]["state"] == "complete"
    assert claims(clinic.tokens(patient["code"])["id_token"])[CLAIM]["role"] == "patient"
    assert "session" not in {cookie.key for cookie in browser._cookies.values() if cookie.value}


def test_the_patient_is_shown_who_the_doctor_is_and_what_for_before_the_card(clinic: Clinic) -> None:
    joint = clinic.ordered()
    doctors_page = Page(clinic.page(clinic.house.browser(), "hpki", joint).text)
    assert doctors_page.texts["joint-purpose"] == PURPOSE
    assert "joint-name" not in doctors_page.texts
    clinic.returned(clinic.house.browser(), "hpki", DOCTOR, joint)
    for locale, role in (("ja", "医師 (Medical Doctor)"), ("en", "Doctor (Medical Doctor)")):
        shown = Page(clinic.page(clinic.house.browser(), "joint", joint, ui_locales=locale).text).texts
        assert shown["joint-purpose"] == PURPOSE
        assert shown["joint-name"] == "医師見本"
        assert shown["joint-organization"] == "見本病院（試験用）"
        assert shown["joint-roles"] == role


def opened(clinic: Clinic, browser: FlaskClient, card: CardFile | str = DOCTOR) -> TestResponse:
    """The record of a licence's uses, from my page's door; or the broker's refusal of this card."""
    door = clinic.house.get(browser, "/me")
    begun = clinic.house.submit(browser, door, "licence-login")
    page = clinic.house.get(browser, begun.headers["Location"])
    assert "own-licence" in Page(page.text).texts
    answered = clinic.answered(page, card)
    if answered.status_code != 303:
        return answered
    landed = clinic.house.get(browser, answered.headers["Location"])
    return clinic.house.get(browser, landed.headers["Location"])


def test_a_doctor_sees_what_the_licence_was_used_for_and_reports_what_was_not_theirs(clinic: Clinic) -> None:
    joint = clinic.ordered()
    clinic.returned(clinic.house.browser(), "hpki", DOCTOR, joint)
    clinic.returned(clinic.house.browser(), "joint", PATIENT, joint)
    browser = clinic.house.browser()
    page = opened(clinic, browser)
    assert page.status_code == 200, page.text
    assert "uses-kept" in Page(page.text).texts
    assert [text in page.text for text in ("医療の資格、氏名、所属", "医療者との手続き")] == [True, False]
    report = clinic.house.get(browser, re.findall(r"/me/history/[0-9]+/report", page.text)[-1])
    reported = clinic.house.submit(browser, report, "report-form")
    assert "reported" in Page(reported.text).texts
    assert "uses-kept" in Page(clinic.house.get(browser, "/me/history").text).texts
    assert clinic.house.get(browser, "/me").headers["Location"] == f"{clinic.house.issuer}/me/history"
    closed = clinic.house.submit(browser, clinic.house.get(browser, "/me/history"), "me-logout")
    assert "logged-out" in Page(closed.text).texts
    assert "me-login" in Page(clinic.house.get(browser, "/me/history").text).forms


RESIDENTS_ALONE = (
    *(f"/me/{part}" for part in ("attributes", "export", "print", "recovery-codes", "delete")),
    *("/delegations", "/delegations/new", "/statements", "/statements/new"),
)


def test_a_doctor_takes_a_consent_back_without_the_card_and_gives_it_anew_by_the_next_login(clinic: Clinic) -> None:
    browser = clinic.house.browser()
    token = clinic.tokens(clinic.returned(clinic.house.browser(), "hpki", DOCTOR)["code"])["access_token"]
    opened(clinic, browser)
    services = clinic.house.get(browser, "/me/services")
    withdrawn = clinic.house.submit(browser, services, "withdraw-1")
    assert "withdrawn" in Page(withdrawn.text).texts
    assert clinic.program.userinfo(token).status_code == 401
    assert "restore-1" not in Page(clinic.house.get(browser, "/me/services").text).forms
    assert clinic.house.get(browser, "/me/consents").text.count("<tr") >= 3, "given and taken back, below the heads"
    assert "code" in clinic.returned(clinic.house.browser(), "hpki", DOCTOR)


def test_an_hpki_card_opens_nothing_but_its_uses(clinic: Clinic) -> None:
    house, browser = clinic.house, clinic.house.browser()
    page = opened(clinic, browser)
    for path in RESIDENTS_ALONE:
        assert "me-login" in Page(house.get(browser, path).text).forms, path
    csrf = Page(page.text).forms["me-logout"]["fields"]["csrf"]
    for path in ("/me/services/restore", "/me/links/end", "/me/sessions/end", "/me/delete"):
        sent = browser.post(path, data={"csrf": csrf}, headers={"Origin": house.issuer}, base_url=house.issuer)
        assert error_code_of(sent.text) == "AUTH-081", path
    assert "error=login_required" in house.authorize(browser, prompt="none").headers["Location"]
    refused = house.authorize(house.browser(), client_id="my-licence", redirect_uri=f"{house.issuer}/me")
    assert refused.status_code == 400


def test_the_record_of_a_licence_is_opened_by_an_hpki_card_and_shows_no_residents(clinic: Clinic) -> None:
    house = clinic.house
    house.login(house.browser())
    with pytest.raises(NotHPKICard):
        opened(clinic, house.browser(), PATIENT)
    shown = opened(clinic, house.browser(), doctors.card_of(house.world, name="isha3"))
    assert len(re.findall(r"/me/history/[0-9]+/report", shown.text)) == 1, "the login to this page alone"


def test_where_no_hpki_authority_is_accepted_nobody_is_asked_for_such_a_card(house: House) -> None:
    browser = house.browser()
    assert "licence-login" not in Page(house.get(browser, "/me").text).forms
    begun = browser.post(
        "/me/login", data={"place": "licence"}, headers={"Origin": house.issuer}, base_url=house.issuer
    )
    assert error_code_of(begun.text) == "HPKI-001"


# --- negatives -------------------------------------------------------------------------------------------------------


def test_no_card_of_the_other_kind_is_asked_for_its_pin(clinic: Clinic) -> None:
    joint = clinic.ordered()
    with pytest.raises(NotHPKICard):
        clinic.answered(clinic.page(clinic.house.browser(), "hpki", joint), PATIENT)
    clinic.returned(clinic.house.browser(), "hpki", DOCTOR, joint)
    with pytest.raises(HPKICardGiven):
        clinic.answered(clinic.page(clinic.house.browser(), "joint", joint), DOCTOR)


def test_a_certificate_of_the_other_kind_is_refused_whatever_the_agent_let_pass(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that is not ours signs with whatever card there is: the broker judges all of it again."""
    joint = clinic.ordered()

    monkeypatch.setattr(signing, "judge_certificate", whatever)
    page = clinic.page(clinic.house.browser(), "hpki", joint)
    doctor = load(clinic.house.world.card(DOCTOR))
    assert doctor.sign is not None
    residents = load(clinic.house.world.card(PATIENT))
    forged = replace(doctor, auth=replace(residents.auth, ca_certificate=doctor.auth.ca_certificate))
    refused = clinic.answered(page, forged)
    assert error_code_of(refused.text) == "HPKI-007"
    signing_key = clinic.answered(clinic.page(clinic.house.browser(), "hpki", joint), replace(doctor, auth=doctor.sign))
    assert error_code_of(signing_key.text) == "HPKI-007"
    assert clinic.state(joint)["status"] == "ordered"


def whatever(der: bytes, *_: Any, **__: Any) -> Any:
    """In the place of an agent's own judgement: an agent that is not ours signs with what there is."""
    return load_der_x509_certificate(der).public_key()


def error_code_of(text: str) -> str:
    return Page(text).texts["error-code"]


def test_another_licence_than_the_one_ordered_ends_the_matter(clinic: Clinic) -> None:
    joint = clinic.ordered(role="Medical Doctor")
    nurse = doctors.card_of(clinic.house.world, role="Nurse")
    back = clinic.returned(clinic.house.browser(), "hpki", nurse, joint)
    assert back["error"] == "access_denied"
    assert clinic.state(joint)["status"] == "ended"
    again = clinic.begin(clinic.house.browser(), "hpki", joint)
    assert "error=access_denied" in Page(again.text).links["continue-link"]
    joint = clinic.ordered(role="Nurse")
    assert "code" in clinic.returned(clinic.house.browser(), "hpki", nurse, joint)


def test_expired_revoked_and_unproved_certificates_are_refused(clinic: Clinic) -> None:
    house, world = clinic.house, clinic.house.world
    browser = house.browser()
    clinic.lists.available = False
    refused = clinic.answered(clinic.page(browser, "hpki"), DOCTOR)
    assert refused.status_code == 503
    clinic.lists.available = True
    clinic.lists.age = timedelta(hours=31)
    assert clinic.answered(clinic.page(browser, "hpki"), DOCTOR).status_code == 503
    clinic.lists.age = timedelta()
    card = doctors.card_of(world)
    assert "code" in clinic.returned(browser, "hpki", card)
    hpki.revoke(world.root / "ca", card)
    try:
        assert error_code_of(clinic.answered(clinic.page(browser, "hpki"), card).text) == "HPKI-005"
    finally:
        (world.root / "ca" / hpki.REVOKED).unlink()
    assert error_code_of(clinic.answered(clinic.page(browser, "hpki"), card).text) == "HPKI-005", "revoked is sticky"


def test_an_expired_card_is_refused_by_the_agent_and_where_that_let_it_pass_by_the_broker(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    joint = clinic.ordered()
    old = doctors.card_of(clinic.house.world, today=datetime.now(UTC).date() - timedelta(days=365 * 6))
    with pytest.raises(HPKICertificateExpired):
        clinic.answered(clinic.page(clinic.house.browser(), "hpki", joint), old)
    monkeypatch.setattr(signing, "judge_certificate", whatever)
    browser = clinic.house.browser()
    refused = clinic.answered(clinic.page(browser, "hpki", joint), old)
    assert (refused.status_code, error_code_of(refused.text)) == (403, "HPKI-006")
    assert Page(refused.text).texts["error-title"] == "このHPKIカードの電子証明書は有効期間の外です。"
    monkeypatch.undo()
    assert clinic.state(joint)["status"] == "ordered", "who has a good card may still come"
    assert "code" in clinic.returned(browser, "hpki", DOCTOR, joint)


def test_only_the_clinic_that_ordered_it_may_join(clinic: Clinic) -> None:
    other = doctors.clinic(clinic.house, clinic.lists, client_id="betsu")
    joint = clinic.ordered()
    assert other.call("GET", f"/{joint}").status_code == 404
    assert other.call("DELETE", f"/{joint}").status_code == 404
    page = other.begin(other.house.browser(), "hpki", joint)
    assert "error=invalid_request" in Page(page.text).links["continue-link"]
    clinic.returned(clinic.house.browser(), "hpki", DOCTOR, joint)
    page = other.begin(other.house.browser(), "joint", joint)
    assert "error=invalid_request" in Page(page.text).links["continue-link"]


def test_each_card_comes_once_and_in_its_turn(clinic: Clinic) -> None:
    joint = clinic.ordered()
    early = clinic.begin(clinic.house.browser(), "joint", joint)
    assert "error=access_denied" in Page(early.text).links["continue-link"]
    clinic.returned(clinic.house.browser(), "hpki", DOCTOR, joint)
    again = clinic.begin(clinic.house.browser(), "hpki", joint)
    assert "error=access_denied" in Page(again.text).links["continue-link"]
    clinic.returned(clinic.house.browser(), "joint", PATIENT, joint)
    late = clinic.begin(clinic.house.browser(), "joint", joint)
    assert "error=access_denied" in Page(late.text).links["continue-link"]
    assert clinic.call("DELETE", f"/{joint}").status_code == 409


def test_of_two_doctors_at_once_one_is_in_it(clinic: Clinic) -> None:
    joint = clinic.ordered()
    browsers = [clinic.house.browser(), clinic.house.browser()]
    cards = [load(clinic.house.world.card(DOCTOR)), doctors.card_of(clinic.house.world, name="isha2")]
    answers = [
        clinic.answered(clinic.page(browser, "hpki", joint), card)
        for browser, card in zip(browsers, cards, strict=True)
    ]
    with ThreadPoolExecutor(2) as pool:
        pages = list(
            pool.map(
                lambda pair: clinic.house.get(pair[0], pair[1].headers["Location"]),
                zip(browsers, answers, strict=True),
            )
        )
    links = [Page(page.text).links.get("continue-link", "") for page in pages]
    assert sorted("code=" in link for link in links) == [False, True]


def test_either_refusing_ends_it(clinic: Clinic) -> None:
    for half in ("hpki", "joint"):
        joint = clinic.ordered()
        browser = clinic.house.browser()
        if half == "joint":
            clinic.returned(clinic.house.browser(), "hpki", DOCTOR, joint)
        page = clinic.page(browser, half, joint)
        left = clinic.house.submit(browser, page, "cancel-form")
        assert "error=access_denied" in Page(left.text).links["continue-link"]
        assert clinic.state(joint)["status"] == "ended"
    joint = clinic.ordered()
    assert clinic.call("DELETE", f"/{joint}").status_code == 204
    assert clinic.state(joint)["status"] == "ended"


def test_time_runs_out_between_the_two(clinic: Clinic) -> None:
    joint = clinic.ordered()
    clinic.returned(clinic.house.browser(), "hpki", DOCTOR, joint)
    page = clinic.page(clinic.house.browser(), "joint", joint)
    assert page.status_code == 200
    clinic.house.clock.step(minutes=11)
    clinic.lists.age = timedelta()
    assert clinic.state(joint)["status"] == "expired"
    late = clinic.begin(clinic.house.browser(), "joint", joint)
    assert "error=access_denied" in Page(late.text).links["continue-link"]


@pytest.mark.parametrize(
    ("scope", "changes"),
    [
        ("openid hpki joint", {}),
        ("openid joint", {}),
        ("openid", {"joint_transaction_id": "x" * 32}),
        ("openid hpki", {"joint_transaction_id": "?"}),
        ("openid hpki", {"prompt": "none"}),
        ("openid hpki", {"claims": '{"id_token":{"acr":{"essential":true,"value":"aal3"}}}'}),
    ],
)
def test_requests_that_ask_for_more_or_less_are_refused(clinic: Clinic, scope: str, changes: dict[str, str]) -> None:
    answer = push(clinic.program, scope=scope, **changes)
    if answer.status_code == 201:  # what no login could reach is refused where it begins
        page = visit(clinic.program, answer.get_json()["request_uri"])
        assert "error=unmet_authentication_requirements" in Page(page.text).links["continue-link"]
    else:
        assert answer.status_code == 400, answer.text


def test_no_licence_is_refreshed(clinic: Clinic) -> None:
    lasting = doctors.clinic(
        clinic.house,
        clinic.lists,
        client_id="nagaku",
        scope=frozenset({"openid", "hpki", "joint", "offline_access"}),
        grant_types=frozenset({GrantType.AUTHORIZATION_CODE, GrantType.REFRESH_TOKEN}),
    )
    answer = push(lasting.program, scope="openid hpki offline_access")
    assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize(
    "members", [{"rights": frozenset()}, {"scope": frozenset({"openid"})}, {"scope": frozenset({"openid", "joint"})}]
)
def test_only_clients_with_the_right_ask_for_a_licence(clinic: Clinic, members: dict[str, Any]) -> None:
    other = doctors.clinic(clinic.house, clinic.lists, client_id="dareka", **members)
    answer = push(other.program, scope="openid hpki")
    assert (answer.status_code, answer.get_json()["error"]) == (403, "unauthorized_client")


def test_a_request_that_was_not_pushed_is_refused(clinic: Clinic) -> None:
    page = clinic.house.authorize(
        clinic.house.browser(), client_id=clinic.program.client.client_id, scope="openid hpki"
    )
    assert "error=unauthorized_client" in Page(page.text).links["continue-link"]


def test_where_no_hpki_authority_is_accepted_nobody_is_asked(make_house: Callable[..., House], world: World) -> None:
    house = make_house()
    other = doctors.clinic(house, Lists(world, house.clock))
    assert push(other.program, scope="openid hpki").get_json()["error"] == "unauthorized_client"
    assert other.call("POST", json={"purpose": "x", "role": "y"}).status_code == 403
    told = house.browser().get("/.well-known/openid-configuration", base_url=house.issuer).get_json()
    assert not {"hpki", "joint"} & set(told["scopes_supported"])
    assert "joint_transactions_endpoint" not in told


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"purpose": PURPOSE},
        {"purpose": "", "role": "Medical Doctor"},
        {"purpose": "あ" * 101, "role": "Medical Doctor"},
        {"purpose": "x\u202ey", "role": "Medical Doctor"},
        {"purpose": PURPOSE, "role": "x" * 65},
        {"purpose": PURPOSE, "role": ["Medical Doctor"]},
        {"purpose": PURPOSE, "role": "Medical Doctor", "patient": "x"},
    ],
)
def test_orders_out_of_form_are_refused(clinic: Clinic, body: dict[str, Any]) -> None:
    assert clinic.call("POST", json=body).status_code == 400


def test_an_order_takes_the_clients_own_token_of_the_scope(clinic: Clinic) -> None:
    doctor = clinic.tokens(clinic.returned(clinic.house.browser(), "hpki", DOCTOR)["code"])
    assert clinic.call("POST", token=doctor["access_token"], json={"purpose": "x", "role": "y"}).status_code == 403
    assert clinic.call("POST", token="nothing", json={"purpose": "x", "role": "y"}).status_code == 401


def test_names_and_purposes_are_sealed_at_rest(clinic: Clinic) -> None:
    joint = clinic.ordered()
    clinic.returned(clinic.house.browser(), "hpki", DOCTOR, joint)
    clinic.page(clinic.house.browser(), "joint", joint)
    with closing(sqlite3.connect(clinic.house.database)) as connection:
        text = "\n".join(connection.iterdump())
    for canary in (PURPOSE, "医師見本", "見本病院", "Medical Doctor"):
        assert canary not in text
        assert canary.encode().hex().upper() not in text.upper()


def test_the_metadata_tell_of_it(clinic: Clinic) -> None:
    told = clinic.house.browser().get("/.well-known/openid-configuration", base_url=clinic.house.issuer).get_json()
    assert {"hpki", "joint"} <= set(told["scopes_supported"])
    assert ACR in told["acr_values_supported"]
    assert {"hcrole", CLAIM} <= set(told["claims_supported"])
    assert told["joint_transactions_endpoint"] == f"{clinic.house.issuer}/api/joint-transactions"


def test_a_terminal_that_everybody_uses_takes_neither_half() -> None:
    for tag in (challenge.PROFESSION, challenge.JOINT):
        with pytest.raises(KioskActOff):
            kiosks._act_of(tag, "{}")


def test_a_licence_is_asked_for_without_authorization_details(clinic: Clinic) -> None:
    answer = push(clinic.program, scope="openid hpki", authorization_details='[{"type":"x"}]')
    assert answer.status_code == 400


def test_a_frame_that_another_request_was_signed_for_is_refused(clinic: Clinic) -> None:
    """Replay: the answer to one transaction is none to another, and none the second time."""
    browser = clinic.house.browser()
    first, second = clinic.page(browser, "hpki"), clinic.page(browser, "hpki")
    requests = [Page(page.text).forms["card-form"]["fields"]["request"] for page in (first, second)]
    sealed = clinic.house.sign_with(load(clinic.house.world.card(DOCTOR)), requests[0])
    other = clinic.house.post_answer(transaction_of(requests[1]), {"answer": sealed})
    assert other.status_code == 400
    assert clinic.house.post_answer(transaction_of(requests[0]), {"answer": sealed}).status_code == 303
    again = clinic.house.post_answer(transaction_of(requests[0]), {"answer": sealed})
    assert again.status_code in {400, 403, 409}
