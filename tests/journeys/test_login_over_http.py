"""The login journey over HTTP, with the card in the real pcscd: bank, broker, agent, card, and back."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from cryptography import x509

from cardreader.tray import TrayClient
from cardreader.webclient import Form, origin_of
from sandbox.launcher import Running
from sandbox.login import login
from tests.journeys.person import PIN, Person, card_pin, error_code, forged, returned

pytestmark = pytest.mark.timeout(180)


def tries(tray: TrayClient) -> int | None:
    return tray.status().auth_tries


def test_a_resident_logs_in_and_is_greeted_by_the_banks_own_number(person: Person, tray: TrayClient) -> None:
    first = person.log_in()
    assert "greeting" in first.elements.texts
    greeting = first.elements.texts["greeting"]
    person.press(first, "logout-form")
    again = person.log_in()
    assert again.elements.texts["greeting"] == greeting
    assert tries(tray) == 3


def test_the_bank_sees_a_fresh_card_login_and_no_serial_or_name(person: Person, tray: TrayClient) -> None:
    person.log_in()
    told = json.loads(person.web.get(f"{person.addresses.bank}/api/me").body)["claims"]
    assert told["acr"] == "aal3"
    assert told["amr"] == ["hwk", "pin", "sc", "mfa"]
    assert set(told) == {"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid"}


def test_a_wrong_pin_costs_one_try_and_says_so(person: Person, tray: TrayClient) -> None:
    page = person.enter_pin(person.place_card(), "9876")
    assert error_code(page) == "CARD-017"
    assert page.elements.texts["tries-left"].strip() == "2"
    assert tries(tray) == 2
    arrived = person.arrive(person.hand_back(person.enter_pin(page)))
    assert "greeting" in arrived.elements.texts
    assert tries(tray) == 3  # a right PIN fills the counter again


def test_a_pin_of_another_shape_never_reaches_the_card(person: Person, tray: TrayClient) -> None:
    page = person.place_card()
    for wrong in ("12345", "12 4", "１２３４", "abcd", ""):
        page = person.enter_pin(page, wrong)
        assert page.form("pin-form") is not None
        assert tries(tray) == 3


@pytest.mark.parametrize(
    ("resident", "exception"),
    [
        ("kigen", "CertificateExpired"),
        ("yoso", "HierarchyForeign"),
        ("lock", "PINBlocked"),
        ("nashi", "NoAuthCertificate"),
        ("jukiko", "OldResidentCard"),
    ],
)
def test_a_card_that_cannot_be_used_ends_on_its_own_page_before_the_pin(
    person: Person, tray: TrayClient, running: Running, catalogue: dict[str, str], *, resident: str, exception: str
) -> None:
    tray.insert(running.world.card(resident))
    before = tries(tray)
    page = person.place_card()
    assert page.form("pin-form") is None
    assert error_code(page) == catalogue[exception]
    assert page.elements.texts["error-title"].strip()
    assert tries(tray) == before


def test_one_try_left_stops_unless_the_person_insists(person: Person, tray: TrayClient, running: Running) -> None:
    tray.insert(running.world.card("nokori"))
    page = person.place_card()
    assert page.form("pin-form") is None
    assert page.form("last-try-form") is not None
    assert tries(tray) == 1
    tray.reset_pin()


def test_a_revoked_card_is_refused_by_the_broker(
    person: Person, tray: TrayClient, running: Running, catalogue: dict[str, str]
) -> None:
    tray.insert(running.world.card("shikko"))
    page = person.hand_back(person.enter_pin(person.place_card(), card_pin(running, "shikko")))
    assert error_code(page) == catalogue["CertificateRevoked"]
    assert tries(tray) == 3


def test_no_card_says_so_and_the_next_try_works(
    person: Person, tray: TrayClient, running: Running, catalogue: dict[str, str]
) -> None:
    tray.remove()
    page = person.place_card()
    assert error_code(page) == catalogue["CardAbsent"]
    tray.insert(running.world.card("hanako"))
    page = person.press(page, "retry-form")
    assert page.form("pin-form") is not None


def test_a_card_taken_out_while_the_pin_is_typed_costs_no_try(
    person: Person, tray: TrayClient, running: Running, catalogue: dict[str, str]
) -> None:
    page = person.place_card()
    tray.remove()
    page = person.enter_pin(page)
    assert error_code(page) in {catalogue["CardRemoved"], catalogue["CardAbsent"]}
    tray.insert(running.world.card("hanako"))
    assert tries(tray) == 3


def test_another_card_put_in_while_the_pin_is_typed_never_gets_the_pin(
    person: Person, tray: TrayClient, running: Running
) -> None:
    page = person.place_card()
    tray.insert(running.world.card("taro"))
    page = person.enter_pin(page, "0000")
    assert error_code(page)
    assert tries(tray) == 3


def test_giving_up_at_the_agent_returns_to_the_broker_and_then_to_the_bank(person: Person, tray: TrayClient) -> None:
    page = person.press(person.place_card(), "cancel-form")
    if page.form("error-form") is not None:
        page = person.press(page, "error-form")
    page = person.press(page, "cancel-form")
    assert returned(page)["error"] == "access_denied"
    assert tries(tray) == 3


def test_giving_up_at_the_broker_tells_the_bank_access_denied(person: Person) -> None:
    page = person.press(person.begin(), "cancel-form")
    told = returned(page)
    assert told["error"] == "access_denied"
    assert told["iss"] == person.addresses.broker
    at_bank = person.web.get(page.elements.links["continue-link"])
    assert "greeting" not in at_bank.elements.texts


def test_an_answer_is_taken_once(person: Person, tray: TrayClient, catalogue: dict[str, str]) -> None:
    answer_page = person.enter_pin(person.place_card())
    first = person.press(answer_page, "answer-form", follow=False)
    assert first.status == 303
    second = person.press(answer_page, "answer-form", follow=False)
    assert error_code(second) == catalogue["AnswerReplayed"]


def test_an_answer_opens_nothing_in_another_browser(
    person: Person, tray: TrayClient, running: Running, catalogue: dict[str, str]
) -> None:
    answer_page = person.enter_pin(person.place_card())
    handed = person.press(answer_page, "answer-form", follow=False)
    with Person(running.addresses) as thief:
        stolen = thief.web.get(handed.headers["location"])
        assert error_code(stolen) == catalogue["BrowserMismatch"]
        assert "continue-link" not in stolen.elements.links
    owner = person.web.get(handed.headers["location"])
    assert "greeting" in person.arrive(owner).elements.texts


def test_a_request_is_answered_by_the_agent_once(person: Person, tray: TrayClient, catalogue: dict[str, str]) -> None:
    login_page = person.begin()
    person.hand_back(person.enter_pin(person.place_card(login_page)))
    again = person.place_card(login_page)
    assert error_code(again) == catalogue["RequestReplayed"]
    assert again.form("pin-form") is None


def test_the_agent_answers_no_other_origin_and_no_other_host(
    person: Person, tray: TrayClient, catalogue: dict[str, str]
) -> None:
    form = person.begin().form("card-form")
    assert form is not None
    foreign = person.web.submit(form, origin="https://evil.example")
    assert foreign.status == 403
    assert error_code(foreign) == catalogue["SiteUnknown"]
    assert person.web.submit(form, origin="null").status == 403


def test_the_broker_takes_answers_from_the_agents_page_only(
    person: Person, tray: TrayClient, catalogue: dict[str, str]
) -> None:
    answer_page = person.enter_pin(person.place_card())
    form = answer_page.form("answer-form")
    assert form is not None
    refused = person.web.submit(form, origin="https://evil.example", follow=False)
    assert error_code(refused) == catalogue["AnswerMalformed"]
    taken = person.web.submit(form, origin=origin_of(answer_page.url), follow=False)
    assert taken.status == 303


def test_an_altered_answer_is_refused_and_the_true_one_still_counts(
    person: Person, tray: TrayClient, catalogue: dict[str, str]
) -> None:
    answer_page = person.enter_pin(person.place_card())
    envelope = answer_page.form("answer-form")
    assert envelope is not None
    token = envelope.fields["answer"]
    spoiled = token[:-4] + ("AAAA" if not token.endswith("AAAA") else "BBBB")
    refused = person.web.submit(
        forged(answer_page, "answer-form", answer=spoiled), origin=origin_of(answer_page.url), follow=False
    )
    assert error_code(refused) == catalogue["AnswerMalformed"]
    assert "greeting" in person.arrive(person.hand_back(answer_page)).elements.texts


def test_consent_needs_the_form_of_its_own_login(
    person: Person, tray: TrayClient, running: Running, catalogue: dict[str, str]
) -> None:
    tray.insert(running.world.card("nagai"))
    page = person.hand_back(person.enter_pin(person.place_card(), card_pin(running, "nagai")))
    assert page.form("consent-form") is not None
    refused = person.web.submit(
        forged(page, "consent-form", csrf="0" * 64), origin=origin_of(page.url), decision="approve"
    )
    assert error_code(refused) == catalogue["FormTokenInvalid"]
    denied = person.press(page, "consent-form", decision="deny")
    assert returned(denied)["error"] == "access_denied"


def test_two_logins_at_the_same_moment_never_cross(running: Running) -> None:
    cards = [running.world.card("hanako"), running.world.card("taro")]
    trust = running.root / "agent" / "trust.json"
    start = Barrier(2)
    rounds = 8

    def many(card: Path) -> set[tuple[str, str]]:
        seen = set()
        for _ in range(rounds):
            start.wait(timeout=60)
            result = login(
                broker=running.addresses.broker, bank=running.addresses.bank, resident_card=card, trust=trust
            )
            seen.add((result.claims["sub"], result.customer_number))
        return seen

    with ThreadPoolExecutor(max_workers=2) as both:
        hanako, taro = both.map(many, cards)
    assert len(hanako) == len(taro) == 1
    assert not hanako & taro


def test_a_code_is_redeemed_once_and_only_by_its_client(person: Person, tray: TrayClient) -> None:
    page = person.hand_back(person.enter_pin(person.place_card()))
    if page.form("consent-form") is not None:
        page = person.press(page, "consent-form", decision="approve")
    back = page.elements.links["continue-link"]
    assert "greeting" in person.web.get(back).elements.texts or person.web.get(f"{person.addresses.bank}/api/me")
    with Person(person.addresses) as other:
        refused = other.web.get(back)  # another browser at the bank: no state, no session
        assert "greeting" not in refused.elements.texts


def test_logout_ends_the_session_at_bank_and_broker(person: Person, tray: TrayClient) -> None:
    arrived = person.log_in()
    out = person.press(arrived, "logout-form")
    assert "greeting" not in out.elements.texts
    assert person.web.get(f"{person.addresses.bank}/api/me").status in {401, 403}


def test_nothing_that_is_secret_stands_in_any_log(person: Person, tray: TrayClient, running: Running) -> None:
    canary = "9031"
    page = person.enter_pin(person.place_card(), canary)
    person.hand_back(person.enter_pin(page, PIN))
    person.log_in()
    card = json.loads(running.world.card("hanako").read_text(encoding="utf-8"))
    certificate = x509.load_der_x509_certificate(b64decode(card["auth"]["certificate"]))
    common_name = certificate.subject.rfc4514_string().split("CN=")[1].split(",")[0]
    cookies = [value for jar in person.web._cookies.values() for value in jar.values()]
    secrets = {
        common_name,
        str(certificate.serial_number),
        f"{certificate.serial_number:x}",
        card["auth"]["certificate"][:48],
        *cookies,
    }
    # four digits stand by chance inside times and random names: as a word of their own they would be the PIN
    typed = re.compile(rf"(?<![\w.-]){canary}(?![\w.-])")
    texts = {log.name: log.read_text(encoding="utf-8", errors="replace") for log in (running.root / "logs").iterdir()}
    assert {"broker.log", "agent.log", "bank.log", "world.log"} <= set(texts)
    assert texts["broker.log"].count('"event": "request"') > 3
    found = [(name, secret[:8]) for name, text in texts.items() for secret in secrets if secret in text]
    assert found == []
    assert [name for name, text in texts.items() if typed.search(text)] == []


def test_hostile_forms_reach_no_card(person: Person, tray: TrayClient) -> None:
    for request in ("", "x", "a.b.c", "A" * 20_000):
        page = person.web.submit(
            Form(action=f"{person.addresses.agent}/v1/sign", method="post", fields={"request": request}),
            origin=person.addresses.broker,
        )
        assert page.status >= 400
        assert error_code(page)
    assert tries(tray) == 3
