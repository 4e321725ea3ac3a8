"""Documents signed after the login's own signature: two entries in order, two counters, one card throughout."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms as asn1_cms
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256
from flask import Flask

from cardreader.agent.app import create_agent
from cardreader.agent.direct import answer_request
from cardreader.agent.documents import present_signing_key
from cardreader.agent.entry import EntryUnavailable, PinPrompt, Secret
from cardreader.agent.frame import build_frame
from cardreader.agent.trust import AgentState
from cardreader.authentication import APDUCards
from cardreader.cardfile import CardFile
from cardreader.emulator import SoftwareCard
from cardreader.errors import (
    LoginCancelled,
    NoSignCertificate,
    PasswordEntryMissing,
    SigningWayMissing,
    SignLastTryNotConfirmed,
    SignPasswordFormatInvalid,
    SignPasswordRejected,
)
from cardreader.hpki_emulator import software_card
from cardreader.transport import Readers
from cardreader.tray import SoftwareReaders, Tray
from tests.cardreader.agent.conftest import (
    AGENT,
    ISSUER,
    NOW,
    PHRASE,
    Broker,
    Desk,
    Hierarchy,
    Person,
    Terminal,
    Window,
    b64url,
    document,
    proof,
    public_jwk,
    raw_document,
    sign,
    spki,
    thumbprint,
)
from tests.cardreader.conftest import CardMaker, Rig

OPENSSL = shutil.which("openssl")
MakeCard = Callable[..., CardFile]
OpenSSL = Callable[..., None]


@pytest.fixture
def make_card(card_maker: CardMaker, hierarchy: Hierarchy) -> MakeCard:
    """A card of the accepted hierarchy with both keys, unless told otherwise."""

    def make(**options: Any) -> CardFile:
        whole = {"certificate": hierarchy.certificate(), "sign_certificate": hierarchy.certificate(signing=True)}
        return card_maker(**{**whole, **options})

    return make


@pytest.fixture
def agent(broker: Broker, tmp_path: Path) -> Callable[..., Flask]:
    def make(readers: Readers, *answers: Any, kiosk: Terminal | None = None, **options: Any) -> Flask:
        window = options.pop("window", Window(*answers))
        options = {"hold_seconds": 20, "deadline_seconds": 5, **options}
        return create_agent(
            cards=APDUCards(readers),
            trust=options.pop("trust", broker.trust()),
            state=AgentState(tmp_path / "signing"),
            clock=lambda: NOW,
            password_asker=window,
            kiosk=kiosk,
            **options,
        )

    return make


@pytest.fixture
def sit(desk: Desk, agent: Callable[..., Flask], make_card: MakeCard) -> Callable[..., Person]:
    """A person before the PIN page of a proof; what is typed in the window comes in order."""

    def begin(
        *answers: Any, card: CardFile | None = None, request: dict[str, Any] | None = None, **options: Any
    ) -> Person:
        desk.tray.insert_card(SoftwareCard(card or make_card()))
        person = Person(agent(desk.readers, *answers, **options).test_client())
        person.open_request(desk.broker.request(**(proof() if request is None else request)))
        return person

    return begin


def _tries(desk: Desk) -> tuple[int | None, int | None]:
    status = desk.tray.status()
    return status.auth_tries, status.sign_tries


def _raw(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _check_frame(broker: Broker, claims: dict[str, Any], members: dict[str, Any]) -> None:
    der = _raw(members["unverified_certificate"])
    frame = build_frame(
        tag="JPKI-FED-PROOF/1",
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
    _key(der).verify(_raw(members["signature"]), frame, padding.PKCS1v15(), SHA256())


def _key(der: bytes) -> rsa.RSAPublicKey:
    key = x509.load_der_x509_certificate(der).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    return key


@pytest.fixture
def openssl(tmp_path: Path, hierarchy: Hierarchy) -> OpenSSL:
    """Judges a CMS as OpenSSL does, and holds its members against what was agreed."""

    def judge(signed: bytes, *, content: bytes, certificate: bytes) -> None:
        _check_members(signed, certificate)
        if OPENSSL is None:
            pytest.skip("missing: openssl")
        ca = x509.load_der_x509_certificate(hierarchy.ca_certificate())
        pem, p7s, data = tmp_path / "ca.pem", tmp_path / "signed.p7s", tmp_path / "content"
        pem.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
        p7s.write_bytes(signed)
        data.write_bytes(content)
        command = [OPENSSL, "cms", "-verify", "-inform", "DER", "-binary", "-in", str(p7s), "-content", str(data)]
        options = ["-CAfile", str(pem), "-purpose", "any", "-attime", str(int(NOW.timestamp())), "-out", os.devnull]
        done = subprocess.run([*command, *options], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    return judge


def _check_members(signed: bytes, certificate: bytes) -> None:
    data = asn1_cms.ContentInfo.load(signed, strict=True)["content"]
    (signer,) = data["signer_infos"]
    (leaf,) = data["certificates"]
    assert leaf.dump() == certificate
    assert data["encap_content_info"]["content"].native is None
    kinds = [attribute["type"].native for attribute in signer["signed_attrs"]]
    assert kinds == ["content_type", "signing_time", "message_digest", "signing_certificate_v2"]
    (identifier,) = signer["signed_attrs"][3]["values"][0]["certs"]
    assert identifier["cert_hash"].native == hashlib.sha256(certificate).digest()
    assert identifier["issuer_serial"].native is None
    assert signer["signed_attrs"][1]["values"][0].native == NOW


def test_both_entries_in_order_end_in_an_answer_that_openssl_accepts(
    rig: Rig, agent: Callable[..., Flask], broker: Broker, make_card: MakeCard, openssl: OpenSSL
) -> None:
    card = make_card()
    rig.insert(card)
    window = Window("abc123")
    person = Person(agent(rig.readers, window=window).test_client())
    claims = broker.claims(**proof(document("申込書の本文", name="口座開設の申込書")))
    person.open_request(sign(claims, broker.key, typ="card-request+jwt"))
    assert person.text("tries-left") == "3"
    assert person.sees("password-follows")
    assert window.prompts == []
    person.enter("1234")
    assert person.sees("password-form")
    assert "data-submit" in person.body
    assert 'type="password"' not in person.body
    assert person.text("tries-left") == "5"
    assert window.prompts == []
    person.press("password")
    members = broker.open(person.field("answer-form", "answer"))
    _check_frame(broker, claims, members)
    (signed,) = members["cms"]
    assert not members.keys() & {"raw_signatures", "sign_certificate"}
    assert members["pin_entry"] == "page"
    assert card.sign is not None
    assert card.sign.certificate is not None
    content = "申込書の本文".encode()
    openssl(_raw(signed), content=content, certificate=card.sign.certificate)
    (prompt,) = window.prompts
    assert (prompt.secret, prompt.tries_left, prompt.phrase, prompt.client) == (
        Secret.SIGNING, 5, PHRASE, "みほん銀行",
    )  # fmt: skip
    assert [row.name for row in prompt.act.documents] == ["口座開設の申込書"]
    status = rig.status()
    assert (status.auth_tries, status.sign_tries) == (3, 5)
    with rig.readers.connect():
        pass  # the card was let go


def test_one_password_signs_every_document_in_its_form(
    desk: Desk, sit: Callable[..., Person], make_card: MakeCard, openssl: OpenSSL
) -> None:
    card = make_card()
    digest = hashlib.sha256(b"unseen").digest()
    rows = [document(str(number), type="application/pdf") for number in range(8)]
    rows += [raw_document(digest), document("last", size=None, type=None)]
    person = sit("ABC123", card=card, request=proof(*rows, kind="sign", release=[]))
    assert person.body.count("document-name") == 10
    person.enter("1234")
    person.press("password")
    members = desk.broker.open(person.field("answer-form", "answer"))
    assert card.sign is not None
    assert card.sign.certificate is not None
    assert len(members["cms"]) == 9
    assert "sign_certificate" not in members
    for content, signed in zip([*"01234567", "last"], members["cms"], strict=True):
        openssl(_raw(signed), content=content.encode(), certificate=card.sign.certificate)
    (bare,) = members["raw_signatures"]
    _key(card.sign.certificate).verify(_raw(bare), digest, padding.PKCS1v15(), utils.Prehashed(SHA256()))


def test_raw_signatures_alone_bring_their_certificate(
    desk: Desk, sit: Callable[..., Person], make_card: MakeCard
) -> None:
    card = make_card()
    person = sit("ABC123", card=card, request=proof(raw_document(b"d" * 32), kind="sign", release=[]))
    assert "確かめていません" in person.body
    person.enter("1234")
    person.press("password")
    members = desk.broker.open(person.field("answer-form", "answer"))
    assert "cms" not in members
    assert card.sign is not None
    assert _raw(members["sign_certificate"]) == card.sign.certificate
    assert len(members["raw_signatures"]) == 1


def test_wrong_password_reports_its_own_tries_and_is_asked_again_by_a_click_only(
    rig: Rig, agent: Callable[..., Flask], broker: Broker, make_card: MakeCard
) -> None:
    rig.insert(make_card())
    window = Window("WRONG1", "ABC123")
    person = Person(agent(rig.readers, window=window).test_client())
    person.open_request(broker.request(**proof()))
    person.enter("1234")
    person.press("password")
    assert person.text("error-code") == "CARD-026"
    assert person.text("tries-left") == "4"
    assert "data-submit" not in person.body
    assert person.text("pin-try") == "署名用パスワードの回数が1回減りました。4桁の暗証番号の回数は減っていません。"
    status = rig.status()
    assert (status.auth_tries, status.sign_tries) == (3, 4)
    person.press("password")
    assert isinstance(window.prompts[1].error, SignPasswordRejected)
    assert window.prompts[1].tries_left == 4
    assert person.sees("answer-form")
    assert rig.status().sign_tries == 5


@pytest.mark.parametrize("typed", ["1234", "ABC12", "ABCDEFGH123456789", "ＡＢＣ１２３", "ABC 123", "abc-123"])
def test_what_is_no_signing_password_never_reaches_the_card(desk: Desk, sit: Callable[..., Person], typed: str) -> None:
    person = sit(typed, "ABC123")
    person.enter("1234")
    before = desk.readers.apdus
    person.press("password")
    assert person.text("error-code") == "CARD-024"
    assert desk.readers.apdus == before
    assert _tries(desk) == (3, 5)
    person.press("password")
    assert person.sees("answer-form")


def test_page_takes_no_password_whatever_is_posted_to_it(desk: Desk, sit: Callable[..., Person]) -> None:
    person = sit("ABC123")
    person.enter("1234")
    before = desk.readers.apdus
    fields = {name: person.field("password-form", name) for name in ("sitting", "token")}
    for pin in ("ABC123", "1234"):
        data = {**fields, "pin": pin}
        reply = person.client.post("/v1/pin", data=data, base_url=AGENT, headers={"Origin": AGENT})
        assert reply.status_code == 403
    assert desk.readers.apdus == before
    assert _tries(desk) == (3, 5)


def test_locked_password_is_told_before_anything_is_asked_and_logging_in_stays_possible(
    desk: Desk, sit: Callable[..., Person], make_card: MakeCard
) -> None:
    person = sit(card=make_card(sign_tries=0))
    assert person.text("error-code") == "CARD-027"
    assert person.text("pin-try") == "署名用パスワードの回数は減っていません。"
    assert "4桁の暗証番号によるログインは、今までどおり使えます" in person.body
    assert desk.readers.held == 0
    person.open_request(desk.broker.request())
    person.enter("1234")
    assert person.sees("answer-form")


def test_last_try_is_asked_for_only_after_a_second_confirmation(
    desk: Desk, sit: Callable[..., Person], make_card: MakeCard
) -> None:
    window = Window("WRONG1")
    person = sit(card=make_card(sign_tries=1), window=window)
    person.enter("1234")
    assert person.sees("last-try-form")
    assert person.text("which-secret").startswith("署名用パスワード")
    assert window.prompts == []
    fields = {name: person.field("last-try-form", name) for name in ("sitting", "token")}
    person.client.post("/v1/elsewhere", data=fields, base_url=AGENT, headers={"Origin": AGENT})
    assert window.prompts == []
    person.open_request(desk.broker.request(**proof()))
    person.press("take-over")
    person.enter("1234")
    person.press("last-try")
    assert person.sees("password-form")
    person.press("password")
    assert person.text("error-code") == "CARD-027"
    assert person.text("pin-try").startswith("署名用パスワードの回数が1回減りました")
    assert _tries(desk) == (3, 0)
    assert desk.readers.held == 0


def test_confirmation_for_the_pins_last_try_is_none_for_the_passwords(
    sit: Callable[..., Person], make_card: MakeCard
) -> None:
    window = Window("ABC123")
    person = sit(card=make_card(tries=1, sign_tries=1), window=window)
    person.press("last-try")
    person.enter("1234")
    assert person.sees("last-try-form")
    assert window.prompts == []
    person.press("last-try")
    person.press("password")
    assert person.sees("answer-form")


def test_cancel_between_the_entries_lets_the_card_go_and_costs_nothing(desk: Desk, sit: Callable[..., Person]) -> None:
    person = sit("ABC123")
    person.enter("1234")
    assert desk.readers.held == 1
    person.press("cancel")
    assert person.text("error-code") == "AGENT-015"
    assert desk.readers.held == 0
    assert _tries(desk) == (3, 5)
    assert not person.sees("answer-form")


def test_closed_window_is_a_person_who_gave_up(desk: Desk, sit: Callable[..., Person]) -> None:
    person = sit(None)
    person.enter("1234")
    person.press("password")
    assert person.text("error-code") == "AGENT-015"
    assert desk.readers.held == 0
    assert _tries(desk) == (3, 5)


def test_card_swapped_between_the_entries_is_not_used(
    rig: Rig, agent: Callable[..., Flask], broker: Broker, make_card: MakeCard
) -> None:
    rig.insert(make_card())
    person = Person(agent(rig.readers, "WRONG1").test_client())
    person.open_request(broker.request(**proof()))
    person.enter("1234")
    rig.remove()
    rig.insert(make_card())
    person.press("password")
    assert person.text("error-code") == "CARD-007"
    assert not person.sees("answer-form")
    status = rig.status()
    assert (status.auth_tries, status.sign_tries) == (3, 5)


def test_card_taken_away_between_the_entries_has_lost_no_try(desk: Desk, sit: Callable[..., Person]) -> None:
    person = sit("WRONG1")
    person.enter("1234")
    card = desk.tray.card
    desk.tray.remove()
    person.press("password")
    assert person.text("error-code") == "CARD-007"
    assert card is not None
    assert card.card.sign is not None
    assert card.card.sign.tries == 5


def test_locked_one_left_cancelled_and_removed_cost_no_try_through_either_reader(
    rig: Rig, agent: Callable[..., Flask], broker: Broker, make_card: MakeCard
) -> None:
    window = Window("WRONG1")
    person = Person(agent(rig.readers, window=window).test_client())

    def begin(**options: Any) -> None:
        rig.insert(make_card(**options))
        person.open_request(broker.request(**proof()))

    begin(sign_tries=0)
    assert person.text("error-code") == "CARD-027"
    begin(sign_tries=1)
    person.enter("1234")
    assert person.sees("last-try-form")
    person.press("cancel")
    assert (rig.status().auth_tries, rig.status().sign_tries) == (3, 1)
    begin()
    person.enter("1234")
    person.press("cancel")
    assert (rig.status().auth_tries, rig.status().sign_tries) == (3, 5)
    person.open_request(broker.request(**proof()))
    person.enter("1234")
    rig.remove()
    person.press("password")
    assert person.text("error-code") == "CARD-007"
    begin(sign=False)
    assert person.text("error-code") == "CARD-023"
    assert [prompt.tries_left for prompt in window.prompts] == [5]


def test_card_lost_at_any_command_of_a_proof_gives_no_answer_and_costs_no_try(
    desk: Desk, sit: Callable[..., Person]
) -> None:
    seen, at = set(), 0
    while True:
        at += 1
        passed = 0

        def lose(at: int = at) -> None:
            nonlocal passed
            passed += 1
            if passed == at:
                desk.tray.reader_present = False

        person = sit("ABC123", request={})
        person.press("cancel")
        desk.readers.before_transmit = lose
        person.open_request(desk.broker.request(**proof()))
        if person.sees("pin"):
            person.enter("1234")
        if person.sees("password"):
            person.press("password")
        desk.readers.before_transmit = lambda: None
        desk.tray.reader_present = True
        if passed < at:
            break
        seen.add(person.text("error-code"))
        assert not person.sees("answer-form")
        assert desk.readers.held == 0
        assert _tries(desk) == (3, 5)
    assert person.sees("answer-form")
    assert at >= 16
    assert seen == {"CARD-007", "CARD-019", "CARD-028"}  # the last two where a secret was on its way


@pytest.mark.parametrize("kind", ["android", "iphone"])
def test_phone_that_shows_its_certificates_after_the_secrets_only_signs_as_well(
    desk: Desk, sit: Callable[..., Person], make_card: MakeCard, kind: str
) -> None:
    person = sit("ABC123", card=make_card(kind=kind))
    person.enter("1234")
    person.press("password")
    assert len(desk.broker.open(person.field("answer-form", "answer"))["cms"]) == 1


def test_card_that_hangs_over_the_password_leaves_the_try_unknown(desk: Desk, sit: Callable[..., Person]) -> None:
    person = sit("ABC123", deadline_seconds=0.2)
    person.enter("1234")
    hang = threading.Event()
    desk.readers.before_transmit = lambda: (hang.wait(20), None)[1]
    person.press("password")
    hang.set()
    assert person.text("error-code") == "CARD-028"
    assert "署名用パスワードの回数が減ったかどうか" in person.text("pin-try")
    assert not person.sees("answer-form")


def test_request_is_answered_once_also_where_documents_were_signed(desk: Desk, sit: Callable[..., Person]) -> None:
    request = desk.broker.request(**proof())
    person = sit("ABC123", "ABC123", request={})
    person.press("cancel")
    person.open_request(request)
    person.enter("1234")
    person.press("password")
    assert person.sees("answer-form")
    before = desk.readers.apdus
    person.open_request(request)
    assert person.text("error-code") == "AGENT-011"
    assert desk.readers.apdus == before


def test_without_a_window_nothing_is_asked_and_no_card_is_touched(desk: Desk, sit: Callable[..., Person]) -> None:
    person = sit(window=None)
    assert person.text("error-code") == "AGENT-022"
    assert person.sees("back-to-service")
    assert not person.sees("pin")
    assert desk.readers.apdus == 0
    assert _tries(desk) == (3, 5)
    person.open_request(desk.broker.request())
    person.enter("1234")
    assert person.sees("answer-form")


def test_window_that_does_not_open_is_never_replaced_by_the_page(desk: Desk, sit: Callable[..., Person]) -> None:
    person = sit(EntryUnavailable("no display"), "ABC123")
    person.enter("1234")
    person.press("password")
    assert person.text("error-code") == "AGENT-022"
    assert not person.sees("pin")
    assert desk.readers.held == 0
    assert _tries(desk) == (3, 5)


def test_kiosk_signs_nothing_unless_its_operator_says_so(
    desk: Desk, sit: Callable[..., Person], make_card: MakeCard
) -> None:
    person = sit(kiosk=Terminal())
    assert person.text("error-code") == "AGENT-023"
    assert desk.readers.apdus == 0


def test_kiosk_that_signs_still_refuses_the_last_try(
    desk: Desk, sit: Callable[..., Person], make_card: MakeCard
) -> None:
    terminal = Terminal()
    person = sit(kiosk=terminal, allows_signing=True, card=make_card(sign_tries=1))
    assert person.text("error-code") == "AGENT-025"
    assert not person.sees("pin")
    assert _tries(desk) == (3, 1)
    assert terminal.answered == []


def test_kiosk_that_may_sign_does(sit: Callable[..., Person]) -> None:
    terminal = Terminal()
    person = sit("ABC123", kiosk=terminal, allows_signing=True)
    person.enter("1234")
    assert terminal.answered == []
    person.press("password")
    assert person.sees("answer-form")
    assert len(terminal.answered) == 1


def test_card_without_a_signing_certificate_is_told_so_before_the_pin(
    desk: Desk, sit: Callable[..., Person], make_card: MakeCard
) -> None:
    for card in (make_card(sign=False), make_card(sign_certificate=None)):
        person = sit(card=card)
        assert person.text("error-code") == "CARD-023"
        assert not person.sees("pin")
        assert desk.tray.status().auth_tries == 3


def test_signing_certificate_that_is_none_of_this_brokers_signs_nothing(
    desk: Desk, sit: Callable[..., Person], make_card: MakeCard, hierarchy: Hierarchy, foreign: Hierarchy
) -> None:
    cases = {
        "AGENT-026": hierarchy.certificate(),
        "AGENT-027": hierarchy.certificate(signing=True, ends=NOW - timedelta(days=1)),
        "AGENT-019": foreign.certificate(signing=True),
    }
    for code, der in cases.items():
        person = sit("ABC123", card=make_card(sign_certificate=der))
        person.enter("1234")
        person.press("password")
        assert person.text("error-code") == code
        assert not person.sees("answer-form")
        assert desk.readers.held == 0
    assert _tries(desk) == (3, 5)


def test_key_that_does_not_fit_the_signing_certificate_is_found_before_anything_is_sent(
    desk: Desk, sit: Callable[..., Person], make_card: MakeCard
) -> None:
    other = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    card = make_card()
    assert card.sign is not None
    card = replace(card, sign=replace(card.sign, private_key=other.decode()))
    for row in (document(), raw_document(b"d" * 32)):
        person = sit("ABC123", card=card, request=proof(row, kind="sign", release=[]))
        person.enter("1234")
        person.press("password")
        assert person.text("error-code") == "AGENT-020"
        assert not person.sees("answer-form")
        assert desk.readers.held == 0


def test_ca_newer_than_the_trust_file_is_taken_from_the_card_where_the_request_lists_it(
    desk: Desk, sit: Callable[..., Person], make_card: MakeCard, foreign: Hierarchy, hierarchy: Hierarchy
) -> None:
    card = make_card(sign_certificate=foreign.certificate(signing=True))
    assert card.sign is not None
    card = replace(card, sign=replace(card.sign, ca_certificate=foreign.ca_certificate()))
    keys = [spki(hierarchy.key.public_key()), spki(foreign.key.public_key())]
    listed = [b64url(hashlib.sha256(key).digest()) for key in keys]
    person = sit("ABC123", card=card, request={**proof(), "accepted_issuers": listed})
    person.enter("1234")
    person.press("password")
    assert person.sees("answer-form")


def test_time_that_runs_out_between_the_entries_begins_again_with_the_pin(
    desk: Desk, sit: Callable[..., Person]
) -> None:
    window = Window("ABC123")
    person = sit(window=window, hold_seconds=0.3)
    person.enter("1234")
    while desk.readers.held:
        pass
    person.press("password")
    assert person.text("error-code") == "AGENT-014"
    assert _tries(desk) == (3, 5)
    person.press("retry")
    assert person.sees("pin")
    assert window.prompts == []


def test_documents_and_what_they_release_are_shown_before_the_pin_in_both_languages(
    desk: Desk, sit: Callable[..., Person]
) -> None:
    digest = hashlib.sha256("申込書".encode()).hexdigest()
    person = sit(request=proof(release=["name", "age_over_20"]))
    assert person.text("action").startswith("署名用電子証明書による本人確認と、次の情報の提供")
    assert "20歳以上かどうか" in person.text("action")
    assert "本人確認の申込書" in person.text("documents")
    assert "氏名・住所・生年月日・性別" in person.text("sign-release")
    assert digest[:8] in person.text("documents")
    english = sit(request={**proof(release=["age_over_20"]), "ui_locales": "en"})
    assert "Whether you are 20 or older" in english.text("action")
    assert "name, address, date of birth and sex" in english.text("sign-release")


def test_markup_and_direction_marks_in_a_document_name_stay_text(sit: Callable[..., Person]) -> None:
    person = sit(request=proof(document(name="<script>alert(1)</script>\u202efdp")))
    assert "<script>alert" not in person.body
    assert "\u202e" not in person.body


def test_proof_costs_at_most_26_commands(desk: Desk, sit: Callable[..., Person]) -> None:
    person = sit("ABC123")
    person.enter("1234")
    person.press("password")
    assert person.sees("answer-form")
    assert desk.readers.apdus <= 26


# Without a page


def _answer(broker: Broker, card: CardFile, **options: Any) -> str:
    tray = Tray()
    tray.insert_card(software_card(card))
    request = broker.request(**options.pop("request", proof()))
    options = {"pin": lambda _: "1234", "password": lambda _: "ABC123", **options}
    return answer_request(
        request, origin=ISSUER, trust=broker.trust(), cards=APDUCards(SoftwareReaders(tray)), now=NOW, **options
    )


def test_program_signs_documents_with_both_secrets(broker: Broker, make_card: MakeCard) -> None:
    asked: list[PinPrompt] = []

    def password(prompt: PinPrompt) -> str:
        asked.append(prompt)
        return "ABC123"

    members = broker.open(_answer(broker, make_card(), password=password))
    assert len(members["cms"]) == 1
    assert [(prompt.secret, prompt.tries_left) for prompt in asked] == [(Secret.SIGNING, 5)]


def test_program_is_never_asked_for_a_password_without_documents(broker: Broker, make_card: MakeCard) -> None:
    def password(_: PinPrompt) -> str:
        pytest.fail("nothing is to be signed")

    assert "cms" not in broker.open(_answer(broker, make_card(), request={}, password=password))


@pytest.mark.parametrize(
    ("changes", "options", "error"),
    [
        ({}, {"password": None}, PasswordEntryMissing),
        ({}, {"password": lambda _: None}, LoginCancelled),
        ({}, {"password": lambda _: "1234"}, SignPasswordFormatInvalid),
        ({}, {"password": lambda _: "WRONG1"}, SignPasswordRejected),
        ({"sign_tries": 2}, {}, SignLastTryNotConfirmed),
        ({"sign": False}, {}, NoSignCertificate),
    ],
    ids=count(),  # a name of its content would be another in each worker
)
def test_program_without_the_right_password_gets_no_answer(
    broker: Broker, make_card: MakeCard, changes: dict[str, Any], options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        _answer(broker, make_card(**changes), **options)


def test_program_is_refused_at_few_password_tries_before_it_is_asked_for_the_pin(
    broker: Broker, make_card: MakeCard
) -> None:
    def pin(_: PinPrompt) -> str:
        pytest.fail("nothing may be asked")

    with pytest.raises(SignLastTryNotConfirmed):
        _answer(broker, make_card(sign_tries=2), pin=pin)


def test_way_to_a_card_that_leads_to_its_other_key_only_is_named() -> None:
    class OtherKeyOnly:
        reader_kind, algorithm = "pkcs11", "RS256"

    with pytest.raises(SigningWayMissing):
        present_signing_key(OtherKeyOnly())  # type: ignore[arg-type]  # it is looked at by what it can do
