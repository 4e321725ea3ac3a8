"""A doctor's login by HPKI card, and a patient's agreement to a matter with that doctor, at the agent."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_der_x509_certificate

from cardreader.agent.action import parse_action
from cardreader.agent.app import create_agent
from cardreader.agent.direct import answer_request
from cardreader.agent.entry import PinPrompt, Secret, write_prompt
from cardreader.agent.frame import build_frame
from cardreader.agent.joint import JOINT_TAGS, Joint
from cardreader.agent.request import SignRequest, verify_request
from cardreader.agent.trust import AgentState
from cardreader.authentication import APDUCards
from cardreader.cardfile import CardFile
from cardreader.errors import (
    ActionUnknown,
    HierarchyForeign,
    HPKICardGiven,
    HPKICertificateExpired,
    HPKICertificateUnsuitable,
    HPKIPINBlocked,
    HPKIPINFormatInvalid,
    HPKIPINRejected,
    MalformedCardData,
    NotHPKICard,
    RequestMalformed,
)
from cardreader.hpki_emulator import software_card
from cardreader.tray import SoftwareReaders, Tray
from tests.cardreader.agent.conftest import ISSUER, NOW, Broker, Desk, Hierarchy, Person, Terminal, b64url
from tests.cardreader.conftest import CardMaker

PROFESSION, JOINT = "JPKI-FED-PROFESSION/1", "JPKI-FED-JOINT/1"
FRAMES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors/card-frame/frames.json").read_text(encoding="utf-8")
)
JOINT_ID = b64url(b"j" * 24)
DOCTOR = {"name": "見本 太郎", "organization": "見本病院（試験用）", "roles": ["Medical Doctor"]}


def action(**changes: Any) -> str:
    """A good patient's action, changed; None takes a member out."""
    told: dict[str, Any] = {"doctor": DOCTOR, "joint": JOINT_ID, "purpose": "検査の説明と同意"} | changes
    kept = {name: value for name, value in told.items() if value is not None}
    return json.dumps(kept, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def verified(broker: Broker, **changes: Any) -> SignRequest:
    request = broker.request(**{"tag": JOINT, "action": action(), **changes})
    return verify_request(request, trust=broker.trust(), origin=ISSUER, now=NOW)


def answered(broker: Broker, card: CardFile, pin: str = "1234", **changes: Any) -> dict[str, Any]:
    tray = Tray()
    tray.insert_card(software_card(card))
    sealed = answer_request(
        broker.request(**{"tag": PROFESSION, **changes}),
        origin=ISSUER,
        trust=broker.trust(),
        cards=APDUCards(SoftwareReaders(tray)),
        pin=lambda _: pin,
        now=NOW,
    )
    return broker.open(sealed)


@pytest.fixture
def licence(card_maker: CardMaker, hierarchy: Hierarchy) -> Callable[..., CardFile]:
    def make(**changes: Any) -> CardFile:
        return card_maker(kind="hpki", **({"certificate": hierarchy.certificate()} | changes))

    return make


def test_a_doctors_login_asks_for_nothing_more_and_a_joint_one_says_what_for(broker: Broker) -> None:
    alone = verified(broker, tag=PROFESSION, action="{}").act
    assert (alone.kind, alone.joint, alone.needs_licence) == ("profession", None, True)
    begun = verified(broker, tag=PROFESSION, action=action(doctor=None)).act
    assert begun.joint == Joint(joint_id=JOINT_ID, purpose="検査の説明と同意")
    agreed = verified(broker).act
    assert (agreed.kind, agreed.needs_licence, agreed.released, agreed.documents) == ("joint", False, (), ())
    assert agreed.joint is not None
    assert (agreed.joint.display_name, agreed.joint.display_organization) == (DOCTOR["name"], DOCTOR["organization"])
    assert agreed.joint.display_roles == ("Medical Doctor",)


@pytest.mark.parametrize(
    ("tag", "changes"),
    [
        (JOINT, {"doctor": None}),
        (JOINT, {"doctor": {**DOCTOR, "sub": "x"}}),
        (JOINT, {"doctor": {"name": "x", "roles": ["Medical Doctor"]}}),
        (JOINT, {"doctor": "見本"}),
        (JOINT, {"release": ["name"]}),
        (JOINT, {"purpose": None}),
        (JOINT, {"joint": None}),
        (PROFESSION, {}),
        (PROFESSION, {"doctor": None, "joint": None}),
    ],
)
def test_an_action_without_a_template_is_refused(broker: Broker, tag: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ActionUnknown):
        verified(broker, tag=tag, action=action(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"joint": "short"},
        {"joint": 7},
        {"purpose": ""},
        {"purpose": "\u202e"},
        {"purpose": "あ" * 101},
        {"doctor": {**DOCTOR, "roles": []}},
        {"doctor": {**DOCTOR, "roles": ["Medical Doctor"] * 9}},
        {"doctor": {**DOCTOR, "roles": "Medical Doctor"}},
        {"doctor": {**DOCTOR, "roles": ["x" * 65]}},
        {"doctor": {**DOCTOR, "name": "あ" * 81}},
        {"doctor": {**DOCTOR, "organization": ""}},
    ],
)
def test_texts_out_of_bounds_are_refused(broker: Broker, changes: dict[str, Any]) -> None:
    with pytest.raises(RequestMalformed):
        verified(broker, action=action(**changes))


def test_an_hpki_card_signs_the_frame_of_a_professional_login(
    broker: Broker, licence: Callable[..., CardFile], hierarchy: Hierarchy
) -> None:
    request = broker.request(tag=PROFESSION)
    tray = Tray()
    tray.insert_card(software_card(licence()))
    prompts: list[PinPrompt] = []

    def pin(prompt: PinPrompt) -> str:
        prompts.append(prompt)
        return "1234"

    cards = APDUCards(SoftwareReaders(tray))
    sealed = answer_request(request, origin=ISSUER, trust=broker.trust(), cards=cards, pin=pin, now=NOW)
    told = broker.open(sealed)
    read = verify_request(request, trust=broker.trust(), origin=ISSUER, now=NOW)
    frame = build_frame(
        tag=PROFESSION,
        issuer=read.issuer,
        origin=read.origin,
        request_key_thumbprint=read.request_key_thumbprint,
        nonce=read.nonce,
        client_id=read.client_id,
        transaction=read.transaction,
        action="{}",
        previous=b"",
        issued_at_ms=int(NOW.timestamp()) * 1000,
        certificate=hierarchy.certificate(),
    )
    certificate = load_der_x509_certificate(base64.b64decode(told["unverified_certificate"]))
    key = certificate.public_key()
    assert isinstance(key, RSAPublicKey)
    key.verify(base64.b64decode(told["signature"]), frame, padding.PKCS1v15(), hashes.SHA256())
    assert [(prompt.secret, prompt.tries_left) for prompt in prompts] == [(Secret.HPKI, 3)]


def test_each_card_is_refused_in_the_others_transaction_before_its_pin(
    broker: Broker, licence: Callable[..., CardFile], card_maker: CardMaker, hierarchy: Hierarchy
) -> None:
    with pytest.raises(NotHPKICard):
        answered(broker, card_maker(certificate=hierarchy.certificate()))
    with pytest.raises(HPKICardGiven):
        answered(broker, licence(), tag=JOINT, action=action())


def test_a_certificate_that_the_broker_would_refuse_costs_no_try(
    broker: Broker, licence: Callable[..., CardFile], hierarchy: Hierarchy, foreign: Hierarchy
) -> None:
    for certificate, error in (
        (hierarchy.certificate(ends=NOW - timedelta(days=1)), HPKICertificateExpired),
        (hierarchy.certificate(signing=True), HPKICertificateUnsuitable),
        (foreign.certificate(), HierarchyForeign),
    ):
        card = software_card(licence(certificate=certificate))
        tray = Tray()
        tray.insert_card(card)
        with pytest.raises(error):
            answer_request(
                broker.request(tag=PROFESSION),
                origin=ISSUER,
                trust=broker.trust(),
                cards=APDUCards(SoftwareReaders(tray)),
                pin=lambda _: pytest.fail("nobody is asked"),
                now=NOW,
            )
        assert tray.status().auth_tries == 3


def test_pin_errors_are_the_hpki_cards_own(broker: Broker, licence: Callable[..., CardFile]) -> None:
    with pytest.raises(HPKIPINRejected):
        answered(broker, licence(), pin="9999")
    with pytest.raises(HPKIPINFormatInvalid):
        answered(broker, licence(), pin="12")
    with pytest.raises(HPKIPINBlocked):
        answered(broker, licence(tries=0))


def test_the_page_names_the_cards_own_pin_and_goes_on_after_a_wrong_one(
    desk: Desk, licence: Callable[..., CardFile]
) -> None:
    desk.tray.insert_card(software_card(licence()))
    person = desk.person
    person.open_request(desk.broker.request(tag=PROFESSION, action=action(doctor=None)))
    assert "HPKIカードのPIN" in person.body
    assert "利用者証明用" not in person.body
    assert person.text("fact-1") == "検査の説明と同意"
    person.enter("12")
    assert person.text("error-code") == "CARD-031"
    assert desk.tries == 3
    person.enter("9999")
    assert person.text("error-code") == "CARD-032"
    assert person.text("tries-left") == "2"
    assert "HPKIカードのPINの回数が1回減りました。" in person.text("pin-try")
    person.enter("9999")
    assert "HPKIカードのPINがロックされ" in person.body
    assert not person.sees("pin")
    person.press("last-try")
    person.enter("1234")
    assert person.sees("answer-form")


def test_the_patient_sees_who_the_doctor_is_and_what_for_before_the_pin(desk: Desk) -> None:
    desk.person.open_request(desk.broker.request(tag=JOINT, action=action()))
    shown = [desk.person.text(f"fact-{number}") for number in range(1, 5)]
    assert shown == ["検査の説明と同意", "見本 太郎", "医師 (Medical Doctor)", "見本病院（試験用）"]
    assert desk.person.sees("joint-who")
    assert desk.person.sees("pin")


def test_hostile_texts_are_shown_escaped_and_without_direction_marks(desk: Desk) -> None:
    doctor = {"name": "<b>見本</b>\u202e", "organization": "&lt;", "roles": ["<i>"]}
    desk.person.open_request(desk.broker.request(tag=JOINT, action=action(doctor=doctor)))
    assert "<b>見本" not in desk.person.body
    assert "\u202e" not in desk.person.body
    assert desk.person.text("fact-2") == "<b>見本</b>"


@pytest.mark.parametrize("language", ["ja", "en"])
def test_a_window_says_the_same_in_both_languages(broker: Broker, language: str) -> None:
    about = {"phrase": "x", "ui_locales": language}
    joint = PinPrompt.of(verified(broker, ui_locales=about["ui_locales"]), phrase="x", tries_left=3)
    lines = write_prompt(joint).lines
    assert any("Medical Doctor" in line for line in lines)
    assert any("見本 太郎" in line for line in lines)
    request = verified(broker, tag=PROFESSION, action="{}", ui_locales=language)
    alone = write_prompt(PinPrompt.of(request, phrase="x", tries_left=3))
    assert "HPKI" in alone.title
    assert "HPKI" in alone.label
    assert alone.title.isascii() is (language == "en")


def test_a_terminal_that_everybody_uses_takes_neither(
    broker: Broker, licence: Callable[..., CardFile], tmp_path: Path
) -> None:
    tray = Tray()
    tray.insert_card(software_card(licence()))
    app = create_agent(
        cards=APDUCards(SoftwareReaders(tray)),
        trust=broker.trust(),
        state=AgentState(tmp_path / "state"),
        clock=lambda: NOW,
        kiosk=Terminal(),
    )
    for changes in ({"tag": PROFESSION}, {"tag": JOINT, "action": action()}):
        person = Person(app.test_client())
        person.open_request(broker.request(**changes))
        assert person.text("error-code") == "AGENT-023"
    app.extensions["card-desk"].close()


def test_a_card_without_a_certificate_for_authentication_is_not_taken(
    broker: Broker, licence: Callable[..., CardFile]
) -> None:
    with pytest.raises(MalformedCardData):
        answered(broker, replace(licence(), auth=replace(licence().auth, certificate=b"not a certificate")))


@pytest.mark.parametrize("vector", [row for row in FRAMES if row["tag"] in JOINT_TAGS], ids=lambda row: row["name"])
def test_actions_of_the_published_frames_are_read(vector: dict[str, Any]) -> None:
    act = parse_action(vector["tag"], vector["action"], issued_at=NOW)
    assert act.kind == ("joint" if vector["tag"] == JOINT else "profession")
    assert (act.joint is None) is (vector["action"] == "{}")
