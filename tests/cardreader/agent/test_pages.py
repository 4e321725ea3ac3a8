"""What a person meets between a service's page and its answer, over HTTP forms and a software card."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from cardreader.agent.app import create_agent
from cardreader.agent.direct import answer_request
from cardreader.agent.entry import PinPrompt
from cardreader.agent.frame import build_frame
from cardreader.agent.trust import AgentState
from cardreader.authentication import APDUCards
from cardreader.emulator import SoftwareCard
from cardreader.errors import LastTryNotConfirmed, LoginCancelled, PINFormatInvalid, PINRejected
from tests.cardreader.agent.conftest import (
    AGENT,
    ISSUER,
    NOW,
    PHRASE,
    Broker,
    Desk,
    Hierarchy,
    Person,
    b64url,
    public_jwk,
    sign,
    spki,
    thumbprint,
)
from tests.cardreader.conftest import CardMaker, ThroughPCSCD

Insert = Callable[..., None]


@pytest.fixture
def insert(desk: Desk, card_maker: CardMaker, hierarchy: Hierarchy) -> Insert:
    """Put another card in, of the accepted hierarchy unless told otherwise."""

    def put(**options: Any) -> None:
        desk.tray.insert_card(SoftwareCard(card_maker(**{"certificate": hierarchy.certificate(), **options})))

    return put


def _check_answer(broker: Broker, claims: dict[str, Any], answer: str) -> dict[str, Any]:
    """Judge an answer as the broker does: its own frame, the signature by the sent certificate's key."""
    members = broker.open(answer)
    assert members.keys() == {
        "format",
        "unverified_certificate",
        "algorithm",
        "signature",
        "app_version",
        "pin_entry",
        "reader_kind",
    }
    assert (members["format"], members["algorithm"]) == ("jpki-fed:1", "RS256")
    der = base64.b64decode(members["unverified_certificate"], validate=True)
    frame = build_frame(
        tag=claims["tag"],
        issuer=claims["iss"],
        origin=claims["iss"],
        request_key_thumbprint=thumbprint(public_jwk(broker.key)),
        nonce=base64.urlsafe_b64decode(claims["nonce"] + "="),
        client_id=claims["client_id"],
        transaction=claims["jti"],
        action=claims["action"],
        previous=b"",
        issued_at_ms=claims["iat"] * 1000,
        certificate=der,
    )
    key = x509.load_der_x509_certificate(der).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(base64.b64decode(members["signature"], validate=True), frame, padding.PKCS1v15(), SHA256())
    return members


def _signed(broker: Broker, claims: dict[str, Any]) -> str:
    return sign(claims, broker.key, typ="card-request+jwt")


@pytest.mark.parametrize("kind", ["plastic", "android", "iphone"])
def test_right_pin_ends_in_an_answer_that_the_broker_can_verify(desk: Desk, insert: Insert, kind: str) -> None:
    insert(kind=kind)
    claims = desk.broker.claims()
    assert desk.person.open_request(_signed(desk.broker, claims)).status_code == 200
    assert desk.person.text("tries-left") == "3"
    assert desk.person.text("phrase") == PHRASE
    assert desk.person.text("origin") == ISSUER
    assert desk.person.enter("1234").status_code == 200
    members = _check_answer(desk.broker, claims, desk.person.field("answer-form", "answer"))
    assert (members["pin_entry"], members["reader_kind"]) == ("page", "software")
    assert next(form for form in desk.person.page.forms)["action"] == claims["return_uri"]
    assert desk.tries == 3
    assert desk.readers.held == 0


def test_one_login_costs_at_most_13_commands_and_1600_bytes(desk: Desk) -> None:
    desk.person.open_request(desk.broker.request())
    desk.person.enter("1234")
    assert desk.person.sees("answer-form")
    assert desk.readers.apdus <= 13
    assert sum(connection.bytes_in for connection in desk.readers.connections) <= 1600


def test_blanks_around_the_pin_are_no_part_of_it(desk: Desk) -> None:
    desk.person.open_request(desk.broker.request())
    desk.person.enter(" 1234 ")
    assert desk.person.sees("answer-form")


@pytest.mark.parametrize("typed", ["", "123", "12345", "abcd", "１２３４", "٣٣٣٣"])
def test_what_is_no_pin_never_reaches_the_card(desk: Desk, typed: str) -> None:
    desk.person.open_request(desk.broker.request())
    before = desk.readers.apdus
    assert desk.person.enter(typed).status_code == 200
    assert desk.person.text("error-code") == "CARD-015"
    assert desk.readers.apdus == before
    assert desk.tries == 3
    desk.person.enter("1234")
    assert desk.person.sees("answer-form")


def test_wrong_pin_reports_the_tries_left_and_the_next_one_may_be_right(desk: Desk) -> None:
    desk.person.open_request(desk.broker.request())
    desk.person.enter("0000")
    assert desk.person.text("tries-left") == "2"
    assert "あと2回" in desk.person.text("error-summary")
    assert "1回減りました" in desk.person.text("pin-try")
    assert desk.tries == 2
    desk.person.enter("1234")
    assert desk.person.sees("answer-form")
    assert desk.tries == 3


def test_last_try_stops_by_default_and_needs_a_second_confirmation(desk: Desk) -> None:
    desk.person.open_request(desk.broker.request())
    desk.person.enter("0000")
    token = desk.person.field("pin-form", "token")
    desk.person.enter("0000")
    assert not desk.person.sees("pin")
    assert desk.person.text("tries-left") == "1"
    forms = desk.person.page.forms
    assert forms[0]["action"] == "/v1/cancel"
    assert forms[1]["fields"]["token"] != token
    # a program that skips the confirmation gets the question again, and the card hears nothing
    before = desk.readers.apdus
    desk.person.client.post(
        "/v1/pin",
        data={**forms[1]["fields"], "understood": "no", "pin": "0000"},
        base_url=AGENT,
        headers={"Origin": AGENT},
    )
    assert (desk.readers.apdus, desk.tries) == (before, 1)


def test_confirmed_last_try_may_succeed(desk: Desk, insert: Insert) -> None:
    insert(tries=1)
    desk.person.open_request(desk.broker.request())
    assert not desk.person.sees("pin")
    desk.person.press("last-try")
    assert desk.person.text("tries-left") == "1"
    desk.person.enter("1234")
    assert desk.person.sees("answer-form")
    assert desk.tries == 3


@pytest.mark.parametrize("blocked_status", [0x6984, 0x6983, 0x63C0])
def test_last_try_used_up_says_so_and_a_blocked_card_is_never_asked(
    desk: Desk, insert: Insert, blocked_status: int
) -> None:
    insert(tries=1, blocked_status=blocked_status)
    desk.person.open_request(desk.broker.request())
    desk.person.press("last-try")
    desk.person.enter("0000")
    assert desk.person.text("error-code") == "CARD-018"
    assert "1回減りました" in desk.person.text("pin-try")
    desk.person.open_request(desk.broker.request())
    assert desk.person.text("error-code") == "CARD-018"
    assert "減っていません" in desk.person.text("pin-try")
    assert not desk.person.sees("pin")


def test_card_trouble_before_the_pin_ends_on_its_own_page_and_costs_no_try(
    desk: Desk, insert: Insert, foreign: Hierarchy, hierarchy: Hierarchy
) -> None:
    expired = hierarchy.certificate(begins=NOW - timedelta(days=9), ends=NOW - timedelta(days=1))
    cases: list[tuple[str, Callable[[], object]]] = [
        ("CARD-003", desk.tray.remove),
        ("CARD-011", lambda: insert(kind="juki")),
        ("CARD-012", lambda: insert(certificate=None)),
        ("AGENT-018", lambda: insert(certificate=expired)),
        ("AGENT-017", lambda: insert(certificate=hierarchy.certificate(signing=True))),
        ("AGENT-017", lambda: insert(certificate=bytes.fromhex("3003020101"))),
        ("AGENT-019", lambda: insert(certificate=foreign.certificate())),
        ("CARD-010", lambda: insert(kind="android", token_label="HPKI")),
        ("CARD-002", lambda: setattr(desk.tray, "reader_present", False)),
    ]
    for code, arrange in cases:
        arrange()
        response = desk.person.open_request(desk.broker.request())
        assert (desk.person.text("error-code"), response.status_code >= 400) == (code, True)
        assert "減っていません" in desk.person.text("pin-try")
        assert desk.person.sees("retry")
        assert desk.person.sees("back-to-service")
        assert desk.tries in (3, None)
        assert desk.readers.held == 0


def test_reader_held_by_another_program_is_named_busy(desk: Desk) -> None:
    with desk.readers.connect():
        desk.person.open_request(desk.broker.request())
    assert desk.person.text("error-code") == "CARD-005"
    desk.person.press("retry")
    assert desk.person.sees("pin")


def test_ca_certificate_on_the_card_helps_only_where_the_signed_request_lists_it(
    desk: Desk, insert: Insert, foreign: Hierarchy, card_maker: CardMaker
) -> None:
    card = card_maker(certificate=foreign.certificate())
    newer = replace(card, auth=replace(card.auth, ca_certificate=foreign.ca_certificate()))
    desk.tray.insert_card(SoftwareCard(newer))
    desk.person.open_request(desk.broker.request())
    assert desk.person.text("error-code") == "AGENT-019"
    listed = [*desk.broker.ca_keys, spki(foreign.key.public_key())]
    hashes = [b64url(hashlib.sha256(key).digest()) for key in listed]
    desk.person.open_request(desk.broker.request(accepted_issuers=hashes))
    assert desk.person.sees("pin")


def test_retry_after_placing_the_card_goes_on_with_the_same_request(desk: Desk, insert: Insert) -> None:
    desk.tray.remove()
    claims = desk.broker.claims()
    desk.person.open_request(_signed(desk.broker, claims))
    assert desk.person.text("error-code") == "CARD-003"
    insert()
    desk.person.press("retry")
    desk.person.enter("1234")
    _check_answer(desk.broker, claims, desk.person.field("answer-form", "answer"))


def test_card_taken_away_while_the_pin_is_typed_costs_no_try(desk: Desk, insert: Insert) -> None:
    desk.person.open_request(desk.broker.request())
    taken = desk.tray.card
    desk.tray.remove()
    desk.person.enter("1234")
    assert desk.person.text("error-code") == "CARD-007"
    assert "減っていません" in desk.person.text("pin-try")
    assert taken is not None
    assert taken.card.auth.tries == 3
    assert desk.readers.held == 0


def test_card_taken_away_while_it_checks_the_pin_leaves_the_try_unknown(desk: Desk) -> None:
    desk.person.open_request(desk.broker.request())
    steps = iter(["the counter", "the PIN"])
    desk.readers.before_transmit = lambda: (next(steps) == "the PIN" and desk.tray.remove(), None)[1]
    desk.person.enter("1234")
    assert desk.person.text("error-code") == "CARD-019"
    assert "確かめられません" in desk.person.text("pin-try")
    assert not desk.person.sees("answer-form")


def test_login_over_the_real_smart_card_service(
    broker: Broker, hierarchy: Hierarchy, card_maker: CardMaker, through_pcscd: ThroughPCSCD, tmp_path: Path
) -> None:
    through_pcscd.insert(card_maker(certificate=hierarchy.certificate()))
    app = create_agent(
        cards=APDUCards(through_pcscd.readers),
        trust=broker.trust(),
        state=AgentState(tmp_path / "other"),
        clock=lambda: NOW,
        uses_pin_pad=True,
    )
    person, claims = Person(app.test_client()), broker.claims()
    person.open_request(_signed(broker, claims))
    person.enter("0000")
    assert person.text("tries-left") == "2"
    person.enter("1234")
    assert _check_answer(broker, claims, person.field("answer-form", "answer"))["reader_kind"] == "pcsc"
    assert through_pcscd.status().auth_tries == 3
    through_pcscd.remove()
    person.open_request(broker.request())
    assert person.text("error-code") == "CARD-003"


def test_card_swapped_for_another_while_the_pin_is_typed_is_not_used(desk: Desk, insert: Insert) -> None:
    desk.person.open_request(desk.broker.request())
    insert()
    desk.person.enter("0000")
    assert desk.person.text("error-code") == "CARD-007"
    assert desk.tries == 3


def test_key_that_does_not_fit_the_certificate_is_found_before_anything_is_sent(
    desk: Desk, card_maker: CardMaker, hierarchy: Hierarchy
) -> None:
    other = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    card = card_maker(certificate=hierarchy.certificate())
    desk.tray.insert_card(SoftwareCard(replace(card, auth=replace(card.auth, private_key=other.decode()))))
    desk.person.open_request(desk.broker.request())
    desk.person.enter("1234")
    assert desk.person.text("error-code") == "AGENT-020"
    assert not desk.person.sees("answer-form")


def test_same_request_is_answered_once(desk: Desk) -> None:
    request = desk.broker.request()
    desk.person.open_request(request)
    desk.person.enter("1234")
    before = desk.readers.apdus
    assert desk.person.open_request(request).status_code == 409
    assert desk.person.text("error-code") == "AGENT-011"
    assert desk.readers.apdus == before


def test_cancelled_request_cannot_be_opened_again(desk: Desk) -> None:
    request = desk.broker.request()
    desk.person.open_request(request)
    desk.person.press("cancel")
    assert desk.person.field("error-form", "error") == "AGENT-015"
    assert desk.readers.held == 0
    desk.person.open_request(request)
    assert desk.person.text("error-code") == "AGENT-011"


def test_reload_shows_the_same_pin_page_without_another_command(desk: Desk) -> None:
    request = desk.broker.request()
    desk.person.open_request(request)
    before = desk.readers.apdus
    desk.person.open_request(request)
    assert desk.person.sees("pin")
    assert desk.readers.apdus == before


def test_second_request_meets_busy_until_the_first_is_given_up(desk: Desk) -> None:
    first, second = Person(desk.app.test_client()), Person(desk.app.test_client())
    first.open_request(desk.broker.request())
    assert second.open_request(desk.broker.request()).status_code == 409
    assert second.text("error-code") == "AGENT-012"
    first.press("cancel")
    second.press("retry")
    assert second.sees("pin")


def test_thirty_requests_at_once_open_one_prompt(desk: Desk) -> None:
    statuses: list[int] = []
    requests = [desk.broker.request() for _ in range(30)]

    def ask(jws: str) -> None:
        statuses.append(Person(desk.app.test_client()).open_request(jws).status_code)

    threads = [threading.Thread(target=ask, args=(jws,)) for jws in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(statuses) == [200] + [409] * 29
    assert len(desk.readers.connections) == 1


def test_forged_request_takes_no_lock(desk: Desk) -> None:
    request = desk.broker.request()
    assert desk.person.open_request(request[:-4] + "AAAA").status_code in (400, 403)
    assert desk.person.open_request(request).status_code == 200


def test_double_click_costs_one_try(desk: Desk) -> None:
    desk.person.open_request(desk.broker.request())
    form = next(form for form in desk.person.page.forms if form["id"] == "pin-form")
    answers: list[int] = []

    def click() -> None:
        data = {**form["fields"], "pin": "0000"}
        response = desk.app.test_client().post("/v1/pin", data=data, base_url=AGENT, headers={"Origin": AGENT})
        answers.append(response.status_code)

    clicks = [threading.Thread(target=click) for _ in range(4)]
    for thread in clicks:
        thread.start()
    for thread in clicks:
        thread.join(10)
    assert desk.tries == 2
    assert answers.count(200) == 1


def test_answer_is_shown_again_to_its_own_page_only(desk: Desk) -> None:
    desk.person.open_request(desk.broker.request())
    fields = dict(next(form for form in desk.person.page.forms if form["id"] == "pin-form")["fields"])
    desk.person.enter("1234")
    answer = desk.person.field("answer-form", "answer")
    again = Person(desk.app.test_client())
    again._got(again.client.post("/v1/pin", data={**fields, "pin": "1234"}, base_url=AGENT, headers={"Origin": AGENT}))
    assert again.text("error-code") == "AGENT-012"
    again.press("retry")
    assert again.field("answer-form", "answer") == answer
    assert len(desk.readers.connections) == 1


def test_time_without_a_pin_lets_the_card_go_and_can_be_retried(broker: Broker, desk: Desk, tmp_path: Path) -> None:
    app = create_agent(
        cards=APDUCards(desk.readers),
        trust=broker.trust(),
        state=AgentState(tmp_path / "other"),
        clock=lambda: NOW,
        hold_seconds=0.05,
        deadline_seconds=5,
    )
    person = Person(app.test_client())
    person.open_request(broker.request())
    for _ in range(100):
        if not desk.readers.held:
            break
        threading.Event().wait(0.02)
    before = desk.readers.apdus
    person.enter("1234")
    assert person.text("error-code") == "AGENT-014"
    assert "減っていません" in person.text("pin-try")
    assert (desk.readers.apdus, desk.tries) == (before, 3)
    assert person.sees("retry")


def test_hung_reader_gets_a_page_in_time_and_blocks_nothing_else(broker: Broker, desk: Desk, tmp_path: Path) -> None:
    app = create_agent(
        cards=APDUCards(desk.readers),
        trust=broker.trust(),
        state=AgentState(tmp_path / "other"),
        clock=lambda: NOW,
        deadline_seconds=0.2,
    )
    hang = threading.Event()
    desk.readers.before_transmit = lambda: (hang.wait(20), None)[1]
    person = Person(app.test_client())
    person.open_request(broker.request())
    assert person.text("error-code") == "CARD-008"
    assert person.client.get("/", base_url=AGENT).status_code == 200
    person.open_request(broker.request())
    assert person.text("error-code") == "CARD-008"
    assert len(desk.readers.connections) == 1
    hang.set()
    desk.readers.before_transmit = lambda: None
    for _ in range(100):
        if not desk.readers.held:
            break
        threading.Event().wait(0.02)
    person.press("retry")
    assert person.sees("pin")
    app.extensions["card-desk"].close()


def test_wrong_home_clock_warns_and_lets_the_broker_judge(desk: Desk) -> None:
    for drift in (timedelta(hours=-3), timedelta(hours=3)):
        iat = int((NOW + drift).timestamp())
        desk.person.open_request(desk.broker.request(iat=iat))
        assert desk.person.sees("clock-warning")
        assert desk.person.sees("pin")
        desk.person.press("cancel")
    desk.person.open_request(desk.broker.request())
    assert not desk.person.sees("clock-warning")


def test_unvetted_service_shows_its_host_or_no_name_at_all(desk: Desk) -> None:
    desk.person.open_request(desk.broker.request(client_vetted=False, client_name="bank.example"))
    assert desk.person.text("client-name") == "bank.example"
    assert desk.person.text("client-unvetted") == "未審査"
    desk.person.press("cancel")
    desk.person.open_request(desk.broker.request(client_vetted=False, client_name="デジタル庁"))
    assert "デジタル庁" not in desk.person.body
    assert desk.person.text("client-unvetted") == "未審査"


def test_hostile_names_are_shown_clean_and_escaped(desk: Desk) -> None:
    name = "み\u202eほん\u0000\n<script>alert(1)</script>"
    response = desk.person.open_request(desk.broker.request(client_name=name))
    body = response.get_data(as_text=True)
    assert "<script>alert" not in body
    assert "\u202e" not in body
    assert desk.person.text("client-name") == "みほん <script>alert(1)</script>"


def test_released_claims_are_named_before_the_pin(desk: Desk) -> None:
    desk.person.open_request(desk.broker.request(action='{"release":["name","address"]}', ui_locales="en"))
    assert "Name" in desk.person.text("action")
    assert "Address" in desk.person.text("action")


def test_language_is_the_requests_then_the_browsers(desk: Desk) -> None:
    desk.person.open_request(desk.broker.request(ui_locales="en"), **{"Accept-Language": "ja"})
    assert 'lang="en"' in desk.person.body
    desk.person.press("cancel")
    desk.person.open_request(desk.broker.request(ui_locales="fr"), **{"Accept-Language": "en"})
    assert "Enter your 4-digit PIN" in desk.person.body


def test_programs_take_the_same_way_with_a_pin_from_a_function(desk: Desk) -> None:
    claims = desk.broker.claims()
    prompts: list[PinPrompt] = []

    def pin(prompt: PinPrompt) -> str:
        prompts.append(prompt)
        return "1234"

    answer = answer_request(
        _signed(desk.broker, claims),
        origin=ISSUER,
        trust=desk.broker.trust(),
        cards=APDUCards(desk.readers),
        pin=pin,
        now=NOW,
    )
    assert _check_answer(desk.broker, claims, answer)["pin_entry"] == "software"
    assert (prompts[0].tries_left, prompts[0].client, prompts[0].phrase) == (3, "みほん銀行", PHRASE)
    assert desk.readers.apdus <= 13


def test_programs_never_spend_more_than_the_first_try(desk: Desk) -> None:
    def login(pin: str | None) -> str:
        return answer_request(
            desk.broker.request(),
            origin=ISSUER,
            trust=desk.broker.trust(),
            cards=APDUCards(desk.readers),
            pin=lambda _: pin,
            now=NOW,
        )

    with pytest.raises(LoginCancelled):
        login(None)
    with pytest.raises(PINFormatInvalid):
        login("12345")
    assert desk.tries == 3
    with pytest.raises(PINRejected) as rejected:
        login("0000")
    assert rejected.value.tries_left == 2
    with pytest.raises(LastTryNotConfirmed):
        login("0000")
    assert desk.tries == 2


def test_answer_needs_no_program_state_but_the_request(desk: Desk) -> None:
    """The trust file is not asked twice: seq is remembered across restarts, in one file of mode 0600."""
    desk.person.open_request(desk.broker.request())
    seen = next(Path(desk.app.extensions["card-desk"]._state._path.parent).glob("seen.json"))
    assert json.loads(seen.read_text(encoding="utf-8")) == {ISSUER: 3}
    assert seen.stat().st_mode & 0o777 == 0o600
