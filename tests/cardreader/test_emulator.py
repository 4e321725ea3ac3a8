"""What the software card alone promises: the state, files and status words that cards have been seen to have."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, utils

from cardreader.cardfile import CardFile
from cardreader.emulator import SoftwareCard
from tests.cardreader.conftest import CardMaker

SELECT_AP = "00A4040C0AD392F000260100000001"
VERIFY_AUTH = "002000980431323334"
VERIFY_SIGN = "0020009B06414243313233"


def ask(card: SoftwareCard, command: str) -> str:
    return card.process(bytes.fromhex(command)).hex().upper()


@pytest.fixture
def card(card_maker: CardMaker) -> SoftwareCard:
    card = SoftwareCard(card_maker())
    card.power_on()
    return card


@pytest.mark.parametrize("command", ["00B0860020", "00200098", "802A0097013000", "00A4020C020018"])
def test_nothing_answers_before_the_application_is_selected(card: SoftwareCard, command: str) -> None:
    assert ask(card, command) in ("6985", "6A82")


def test_a_verified_pin_survives_a_reset_but_not_the_power(card: SoftwareCard) -> None:
    ask(card, SELECT_AP)
    assert ask(card, VERIFY_AUTH) == "9000"
    card.reset()
    assert ask(card, "00200098") == "6985"
    ask(card, SELECT_AP)
    assert ask(card, "00200098") == "9000"
    card.power_off()
    card.power_on()
    ask(card, SELECT_AP)
    assert ask(card, "00200098") == "63C3"


def test_the_signing_certificate_needs_the_signing_password(card: SoftwareCard, card_maker: CardMaker) -> None:
    ask(card, SELECT_AP)
    ask(card, VERIFY_AUTH)
    assert ask(card, "00B0810000") == "6982"
    assert ask(card, VERIFY_SIGN) == "9000"
    assert ask(card, "00B0810000") == card_maker.certificate[:256].hex().upper() + "9000"


def test_each_pin_opens_its_own_key_only(card: SoftwareCard) -> None:
    ask(card, SELECT_AP)
    ask(card, VERIFY_AUTH)
    assert ask(card, "802A009A013000") == "6982"
    assert ask(card, "802A0097013000").endswith("9000")


@pytest.mark.parametrize("p1", range(6))
def test_p1_says_who_hashes_and_how_it_is_padded(card: SoftwareCard, card_maker: CardMaker, p1: int) -> None:
    ask(card, SELECT_AP)
    ask(card, VERIFY_AUTH)
    digest = hashlib.sha256(b"message").digest()
    info = bytes.fromhex("3031300d060960864801650304020105000420") + digest
    data = {0: info, 1: b"message", 2: digest, 3: b"message", 4: digest, 5: b"message"}[p1]
    reply = card.process(bytes([0x80, 0x2A, p1, 0x97, len(data)]) + data + b"\0")
    assert reply[-2:] == b"\x90\x00"
    public = card_maker.key.public_key()
    if p1 == 1:
        assert public.recover_data_from_signature(reply[:-2], padding.PKCS1v15(), None) == digest
    elif p1 >= 4:
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
        public.verify(reply[:-2], digest, pss, utils.Prehashed(hashes.SHA256()))
    else:
        public.verify(reply[:-2], b"message", padding.PKCS1v15(), hashes.SHA256())
    assert ask(card, "802A0697013000") == "6A86"


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("00A4020C02FFFF", "6A82"),
        ("00A4040C07A0000000031010", "6A82"),
        ("00A4090C020018", "6A86"),
        ("00B0880003", "8F8F009000"),
        ("00B097000A", "6981"),
        ("00B0000000", "6986"),
        ("00CA010000", "6D00"),
        ("90B0000000", "6E00"),
        ("00200080", "6986"),
        ("0020009E", "6A88"),
    ],
)
def test_status_words_are_those_that_cards_give(card: SoftwareCard, command: str, status: str) -> None:
    ask(card, SELECT_AP)
    assert ask(card, command) == status


def test_reading_past_the_end_of_a_file_is_6b00(card: SoftwareCard) -> None:
    ask(card, SELECT_AP)
    ask(card, "00A4020C020006")
    assert len(ask(card, "00B0000000")) == 2 * (160 + 2)
    assert ask(card, "00B000A000") == "6B00"


def test_the_file_goes_on_after_the_certificate(card: SoftwareCard, card_maker: CardMaker) -> None:
    ask(card, SELECT_AP)
    ask(card, "00A4020C02000A")
    offset = len(card_maker.certificate)
    assert ask(card, f"00B0{offset:04X}04") == "FFFFFFFF9000"


def test_a_pin_is_changed_only_when_verified_and_only_to_a_pin(card: SoftwareCard) -> None:
    ask(card, SELECT_AP)
    assert ask(card, "002401980439393939") == "6982"
    ask(card, VERIFY_AUTH)
    assert ask(card, "0024019803313233") == "6A80"
    assert ask(card, "002401980441424344") == "6A80"
    assert ask(card, "002401980439393939") == "9000"
    card.power_off()
    card.power_on()
    ask(card, SELECT_AP)
    assert ask(card, VERIFY_AUTH) == "63C2"
    assert ask(card, "002000980439393939") == "9000"


def test_counters_are_reported_before_the_answer_leaves(card_maker: CardMaker) -> None:
    seen: list[CardFile] = []
    card = SoftwareCard(card_maker(), on_change=seen.append)
    card.power_on()
    ask(card, SELECT_AP)
    ask(card, "002000980430303030")
    assert [change.auth.tries for change in seen] == [2]
    ask(card, VERIFY_AUTH)
    assert [change.auth.tries for change in seen] == [2, 3]


def test_a_card_without_a_signing_key_has_no_signing_files(card_maker: CardMaker) -> None:
    card = SoftwareCard(card_maker(sign=False))
    card.power_on()
    ask(card, SELECT_AP)
    assert ask(card, "00A4020C02001B") == "6A82"
    assert ask(card, "0020009B") == "6A88"
    assert ask(card, "00B0880003") == "008F009000"
