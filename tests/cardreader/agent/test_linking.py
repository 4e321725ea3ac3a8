"""Links at the agent: what is bound is shown, and another service, number or card in the middle is refused (R2, R3)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cardreader.agent.app import create_agent
from cardreader.agent.direct import answer_request
from cardreader.agent.entry import PinPrompt, write_prompt
from cardreader.agent.frame import build_frame
from cardreader.agent.linking import Link
from cardreader.agent.request import SignRequest, verify_request
from cardreader.agent.trust import AgentState
from cardreader.authentication import APDUCards
from cardreader.cardfile import CardFile
from cardreader.emulator import SoftwareCard
from cardreader.errors import ActionUnknown, AgentError, LinkCardChanged, RequestMalformed
from cardreader.tray import SoftwareReaders, Tray
from tests.cardreader.agent.conftest import ISSUER, NOW, Broker, Desk, Hierarchy, Person, Terminal, b64url
from tests.cardreader.conftest import CardMaker

START, COMMIT = "JPKI-FED-LINK-START/1", "JPKI-FED-LINK-COMMIT/1"
LABEL, SHOWN = "普通預金の口座", "•••••45"


def action(**changes: Any) -> str:
    """A good link's action, changed; None takes a member out."""
    told: dict[str, Any] = {
        "commitment": b64url(b"c" * 32),
        "kind": "link",
        "label": LABEL,
        "release": ["linked_id"],
        "shown": SHOWN,
    } | changes
    kept = {name: value for name, value in told.items() if value is not None}
    return json.dumps(kept, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def verified(broker: Broker, **changes: Any) -> SignRequest:
    request = broker.request(**{"tag": START, "action": action(), **changes})
    return verify_request(request, trust=broker.trust(), origin=ISSUER, now=NOW)


def start_frame(request: SignRequest, certificate: bytes, **changes: Any) -> bytes:
    """What a card signed at the start of the link of `request`."""
    parts: dict[str, Any] = {
        "tag": START,
        "issuer": request.issuer,
        "origin": request.origin,
        "request_key_thumbprint": request.request_key_thumbprint,
        "nonce": b"n" * 32,
        "client_id": request.client_id,
        "transaction": "an-earlier-one",
        "action": request.action,
        "previous": b"",
        "issued_at_ms": 1_800_000_000_000,
        "certificate": certificate,
    }
    return build_frame(**{**parts, **changes})


def answer(broker: Broker, card: CardFile, request: str) -> dict[str, Any]:
    tray = Tray()
    tray.insert_card(SoftwareCard(card))
    sealed = answer_request(
        request,
        origin=ISSUER,
        trust=broker.trust(),
        cards=APDUCards(SoftwareReaders(tray)),
        pin=lambda _: "1234",
        now=NOW,
    )
    return broker.open(sealed)


@pytest.fixture
def make_card(card_maker: CardMaker, hierarchy: Hierarchy) -> Callable[[], CardFile]:
    return lambda: card_maker(certificate=hierarchy.certificate())


def test_what_is_bound_arrives_as_it_was_signed(broker: Broker) -> None:
    request = verified(broker)
    assert request.act.kind == "link"
    assert request.act.released == ()
    assert request.act.link == Link(step="start", label=LABEL, shown=SHOWN, replaces="", source="")
    changed = verified(broker, action=action(replaces="•••••44")).act.link
    assert changed is not None
    assert changed.display_replaces == "•••••44"
    shared = verified(broker, action=action(label="", shown="", source="見本図書館")).act.link
    assert shared is not None
    assert (shared.display_source, shared.number) == ("見本図書館", "")


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "proof"},
        {"kind": None},
        {"release": []},
        {"release": ["linked_id", "name"]},
        {"release": ["name"]},
        {"documents": []},
        {"commitment": None},
        {"shown": None},
        {"label": None},
        {"shown": ""},
        {"shown": "\u200b\u202e"},
        {"source": "図書館"},
        {"source": "", "shown": "", "label": ""},
        {"replaces": "••1", "source": "図書館", "shown": "", "label": ""},
    ],
)
def test_an_action_without_a_template_is_refused(broker: Broker, changes: dict[str, Any]) -> None:
    with pytest.raises(ActionUnknown):
        verified(broker, action=action(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"commitment": b64url(b"c" * 31)},
        {"commitment": 7},
        {"label": "あ" * 41},
        {"label": 7},
        {"shown": "•" * 65},
        {"replaces": ""},
        {"replaces": "\u202e"},
        {"label": "", "shown": "", "source": "図" * 81},
    ],
)
def test_texts_out_of_bounds_are_refused(broker: Broker, changes: dict[str, Any]) -> None:
    with pytest.raises(RequestMalformed):
        verified(broker, action=action(**changes))


def test_direction_marks_in_what_a_service_calls_its_number_are_not_shown(broker: Broker) -> None:
    link = verified(broker, action=action(label="口座\u202e番号\u0007")).act.link
    assert link is not None
    assert link.number == f"口座番号 {SHOWN}"


def test_a_start_follows_nothing_and_a_commit_its_own_start(broker: Broker) -> None:
    start = verified(broker)
    good = start_frame(start, b"certificate")
    commit = verified(broker, tag=COMMIT, previous=b64url(good))
    assert commit.act.link is not None
    assert commit.act.link.step == "commit"
    assert commit.previous == good
    for wrong in (
        b"",
        good[:-1],
        good + b"x",
        start_frame(start, b"certificate", tag="JPKI-FED-AUTH/1"),
        start_frame(start, b"certificate", client_id="clinic"),
        start_frame(start, b"certificate", action=action(shown="•••••46")),
        start_frame(start, b"certificate", issuer="https://elsewhere.example"),
        start_frame(start, b"certificate", origin="https://elsewhere.example"),
    ):
        with pytest.raises(RequestMalformed):
            verified(broker, tag=COMMIT, previous=b64url(wrong))
    with pytest.raises(RequestMalformed):
        verified(broker, previous=b64url(good))


def test_the_card_of_the_start_signs_the_commit(broker: Broker, make_card: Callable[[], CardFile]) -> None:
    card = make_card()
    assert card.auth.certificate is not None
    told = answer(broker, card, broker.request(tag=START, action=action()))
    assert told["signature"]
    previous = start_frame(verified(broker), card.auth.certificate)
    assert answer(broker, card, broker.request(tag=COMMIT, action=action(), previous=b64url(previous)))["signature"]


def test_another_card_signs_nothing_and_is_asked_for_no_pin(broker: Broker, make_card: Callable[[], CardFile]) -> None:
    previous = start_frame(verified(broker), b"another card's certificate")
    asked: list[str] = []
    tray = Tray()
    tray.insert_card(SoftwareCard(make_card()))
    with pytest.raises(LinkCardChanged):
        answer_request(
            broker.request(tag=COMMIT, action=action(), previous=b64url(previous)),
            origin=ISSUER,
            trust=broker.trust(),
            cards=APDUCards(SoftwareReaders(tray)),
            pin=lambda prompt: asked.append(prompt.origin),
            now=NOW,
        )
    assert asked == []


def test_every_tag_that_is_reserved_stays_unknown(broker: Broker) -> None:
    for tag in ("JPKI-FED-MANDATE/1", "JPKI-FED-LINK-START/2", "JPKI-FED-LINK"):
        with pytest.raises(AgentError):
            verified(broker, tag=tag)


def test_the_frame_ends_with_the_certificates_hash(broker: Broker) -> None:
    assert start_frame(verified(broker), b"certificate")[-32:] == hashlib.sha256(b"certificate").digest()


# --- pages -----------------------------------------------------------------------------------------------------------


def test_number_and_step_are_shown_before_the_pin_in_both_languages(desk: Desk) -> None:
    person = desk.person
    person.open_request(desk.broker.request(tag=START, action=action(label="口座<b>", replaces="•••••44")))
    assert person.text("action") == "サービスの番号とカードとの結びつけ（2回のうち1回目の確認）"
    assert person.text("fact-1") == f"口座<b> {SHOWN}"
    assert person.text("fact-2") == "•••••44"
    assert "前の方の画面" in person.text("link-yours")
    english = Person(desk.app.test_client())
    person.press("cancel")
    shared = action(label="", shown="", source="見本図書館")
    english.open_request(desk.broker.request(tag=START, action=shared, ui_locales="en"))
    assert english.text("action") == "Binding a service's number to your card (first of two checks)"
    assert "見本図書館" in english.text("fact-1")


def test_a_second_card_is_told_on_the_page_and_loses_no_try(desk: Desk) -> None:
    previous = start_frame(verified(desk.broker), b"another card's certificate")
    desk.person.open_request(desk.broker.request(tag=COMMIT, action=action(), previous=b64url(previous)))
    assert desk.person.text("error-code") == "AGENT-028"
    assert desk.tries == 3


def test_a_window_names_what_is_bound(broker: Broker) -> None:
    prompt = PinPrompt.of(verified(broker), phrase="青い朝顔", tries_left=3)
    lines = write_prompt(prompt).lines
    assert any(LABEL in line and SHOWN in line for line in lines)


def test_kiosk_binds_nothing_unless_its_operator_says_so(
    broker: Broker, hierarchy: Hierarchy, card_maker: CardMaker, tmp_path: Path
) -> None:
    for allowed, code in ((False, "AGENT-029"), (True, "")):
        tray = Tray()
        tray.insert_card(SoftwareCard(card_maker(certificate=hierarchy.certificate())))
        app = create_agent(
            cards=APDUCards(SoftwareReaders(tray)),
            trust=broker.trust(),
            state=AgentState(tmp_path / f"state-{allowed}"),
            clock=lambda: NOW,
            kiosk=Terminal(),
            allows_signing=allowed,
        )
        person = Person(app.test_client())
        person.open_request(broker.request(tag=START, action=action()))
        assert person.sees("pin") is allowed
        assert allowed or person.text("error-code") == code
        app.extensions["card-desk"].close()
