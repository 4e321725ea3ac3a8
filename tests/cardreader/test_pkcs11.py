"""A card behind OpenSC's PKCS #11 module gives what our own driver gives, and costs the same tries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from cardreader.agent.command import agent
from cardreader.agent.direct import answer_request
from cardreader.authentication import APDUCards
from cardreader.cardfile import CardFile
from cardreader.errors import (
    CardAbsent,
    CardRemoved,
    NoAuthCertificate,
    PINBlocked,
    PINFormatInvalid,
    PINRejected,
    PINRequired,
    ReaderBusy,
    ServiceNotRunning,
)
from cardreader.pkcs11 import PKCS11Cards
from tests.cardreader.agent.conftest import ISSUER, NOW, Broker, Hierarchy, spki
from tests.cardreader.conftest import CardMaker, ThroughPCSCD

pytest.importorskip("pkcs11", reason="missing: python-pkcs11")
MODULES = ("/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so", "/usr/lib/aarch64-linux-gnu/opensc-pkcs11.so")
Insert = Callable[..., CardFile]


@pytest.fixture
def cards(through_pcscd: ThroughPCSCD, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PKCS11Cards:
    found = next((path for path in MODULES if Path(path).exists()), None)
    if found is None:
        pytest.skip("no opensc-pkcs11.so (Debian package opensc-pkcs11)")
    configuration = tmp_path / "opensc.conf"
    configuration.write_text(
        "app default { card_drivers = jpki; framework pkcs15 { use_file_caching = no; }\n"
        "reader_driver pcsc { disconnect_action = unpower; } }\n",
        encoding="ascii",
    )
    monkeypatch.setenv("OPENSC_CONF", str(configuration))
    monkeypatch.setenv("HOME", str(tmp_path))
    return PKCS11Cards(Path(found))


@pytest.fixture
def insert(through_pcscd: ThroughPCSCD, card_maker: CardMaker) -> Insert:
    def put(*, usage: tuple[bool, bool] = (True, False), **options: int) -> CardFile:
        card = card_maker(certificate=_certificate(card_maker, signature=usage[0], commitment=usage[1]), **options)  # type: ignore[arg-type]  # tries only
        through_pcscd.insert(card)
        return card

    return put


def _certificate(card_maker: CardMaker, signature: bool, commitment: bool) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "card side test")])
    off = dict.fromkeys(
        ("key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign", "encipher_only"), False
    )
    usage = x509.KeyUsage(digital_signature=signature, content_commitment=commitment, decipher_only=False, **off)
    builder = x509.CertificateBuilder(name, name, card_maker.key.public_key(), 7)
    builder = builder.not_valid_before(datetime(2026, 1, 1, tzinfo=UTC)).not_valid_after(
        datetime(2031, 1, 1, tzinfo=UTC)
    )
    return builder.add_extension(usage, critical=True).sign(card_maker.key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_both_ways_give_the_same_certificate_and_the_same_signature(
    cards: PKCS11Cards, insert: Insert, through_pcscd: ThroughPCSCD, card_maker: CardMaker
) -> None:
    card = insert()
    outcomes = []
    for way in (cards, APDUCards(through_pcscd.readers)):
        with way.connect() as held:
            face = held.present()
            held.verify_pin("1234")
            outcomes.append(
                (face.certificate, face.tries_left, held.certificate(), held.algorithm, held.sign(b"frame"))
            )
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][:2] == (card.auth.certificate, 3)
    card_maker.key.public_key().verify(outcomes[0][4], b"frame", padding.PKCS1v15(), hashes.SHA256())


def test_a_wrong_pin_costs_one_try_and_the_right_one_gives_it_back(
    cards: PKCS11Cards, insert: Insert, through_pcscd: ThroughPCSCD
) -> None:
    insert()
    with cards.connect() as held:
        held.present()
        with pytest.raises(PINRejected) as rejected:
            held.verify_pin("9999")
        assert rejected.value.tries_left == 2
        assert through_pcscd.status().auth_tries == 2
        held.verify_pin("1234")
        assert held.sign(b"frame")
    assert through_pcscd.status().auth_tries == 3


def test_the_last_try_is_announced_and_its_loss_is_called_a_block(
    cards: PKCS11Cards, insert: Insert, through_pcscd: ThroughPCSCD
) -> None:
    insert(tries=1)
    with cards.connect() as held:
        assert held.present().tries_left == 1
        with pytest.raises(PINBlocked) as blocked:
            held.verify_pin("9999")
    assert blocked.value.by_this_try is not False
    assert through_pcscd.status().auth_tries == 0


def test_a_blocked_card_is_told_before_any_pin(
    cards: PKCS11Cards, card_maker: CardMaker, through_pcscd: ThroughPCSCD
) -> None:
    certificate = _certificate(card_maker, signature=True, commitment=False)
    through_pcscd.insert(card_maker(certificate=certificate, tries=0, blocked_status=0x63C0))
    with cards.connect() as held:
        assert held.present().tries_left == 0
        with pytest.raises(PINBlocked) as blocked:
            held.verify_pin("1234")
    assert blocked.value.by_this_try is False


def test_opensc_hides_a_blocked_card_that_answers_6984_and_nothing_is_tried(cards: PKCS11Cards, insert: Insert) -> None:
    insert(tries=0)
    with pytest.raises(NoAuthCertificate), cards.connect():
        pass


def test_nothing_is_signed_before_the_pin_and_a_malformed_pin_never_reaches_the_module(
    cards: PKCS11Cards, insert: Insert, through_pcscd: ThroughPCSCD
) -> None:
    insert()
    with cards.connect() as held:
        with pytest.raises(PINRequired):
            held.sign(b"frame")
        for pin in ("12345", "１２３４", "abcd", ""):
            with pytest.raises(PINFormatInvalid):
                held.verify_pin(pin)
    assert through_pcscd.status().auth_tries == 3


def test_a_card_taken_away_before_the_pin_is_removed_and_not_in_doubt(
    cards: PKCS11Cards, insert: Insert, through_pcscd: ThroughPCSCD
) -> None:
    insert()
    with cards.connect() as held:
        held.present()
        through_pcscd.remove()
        with pytest.raises(CardRemoved):
            held.verify_pin("1234")
    insert()
    with cards.connect() as held:
        assert held.present().tries_left == 3


def test_an_empty_reader_and_a_card_for_signatures_only_are_named(
    cards: PKCS11Cards, insert: Insert, through_pcscd: ThroughPCSCD
) -> None:
    through_pcscd.remove()
    with pytest.raises(CardAbsent), cards.connect():
        pass
    insert(usage=(True, True))
    with pytest.raises(NoAuthCertificate), cards.connect():
        pass


def test_one_card_at_a_time_and_a_missing_module_is_named(cards: PKCS11Cards, insert: Insert, tmp_path: Path) -> None:
    insert()
    with cards.connect(), pytest.raises(ReaderBusy), cards.connect():
        pass
    with pytest.raises(ServiceNotRunning), PKCS11Cards(tmp_path / "none.so").connect():
        pass


def test_a_kiosk_which_watches_its_readers_takes_no_module(tmp_path: Path) -> None:
    module = tmp_path / "module.so"
    module.touch()
    refused = CliRunner().invoke(agent, ["--kiosk", "--pkcs11", str(module)])
    assert refused.exit_code == 2
    assert "not a PKCS #11 module" in refused.output


def test_the_agents_core_answers_a_request_through_the_module(
    cards: PKCS11Cards, through_pcscd: ThroughPCSCD, card_maker: CardMaker
) -> None:
    hierarchy = Hierarchy(key=rsa.generate_private_key(65537, 2048), subject_key=card_maker.key.public_key())
    broker = Broker(issuer=ISSUER, ca_keys=[spki(hierarchy.key.public_key())])
    through_pcscd.insert(card_maker(certificate=hierarchy.certificate()))
    answer = answer_request(
        broker.request(), origin=ISSUER, trust=broker.trust(), cards=cards, pin=lambda _: "1234", now=NOW
    )
    assert answer.count(".") == 4  # a JWE in compact form: the signature was proved with the certificate before it
