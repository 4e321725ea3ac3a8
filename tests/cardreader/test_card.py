"""The driver and the card together, in process and through the real PC/SC daemon: the same sentences must hold."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from bench.card import CountingReaders
from cardreader import jpki_ap
from cardreader.apdu import CommandAPDU, Conversation, converse
from cardreader.authentication import APDUCards
from cardreader.cardfile import Kind
from cardreader.channel import Channel
from cardreader.emulator import SoftwareCard
from cardreader.errors import (
    CardAbsent,
    CardError,
    CardRemoved,
    NoAuthCertificate,
    NotJPKICard,
    OldResidentCard,
    PINBlocked,
    PINFormatInvalid,
    PINOutcomeUnknown,
    PINRejected,
    PINRequired,
    ReaderBusy,
    TransportError,
)
from cardreader.jpki_profile import CardKind
from cardreader.transport import CountingConnection
from cardreader.tray import SoftwareReaders, Tray
from tests.cardreader.conftest import CardMaker, Rig


def login(pin: str, message: bytes) -> Conversation[tuple[jpki_ap.CardFace, bytes]]:
    channel = Channel()
    face = yield from jpki_ap.read_card(channel)
    yield from jpki_ap.verify_auth_pin(pin, channel)
    signature = yield from jpki_ap.sign_with_auth_key(message, channel)
    return face, signature


def test_login_reads_the_certificate_and_signs(rig: Rig, card_maker: CardMaker) -> None:
    rig.insert(card_maker())
    with rig.readers.connect() as connection:
        face, signature = converse(login("1234", b"message"), connection.transmit)
    assert face.kind is CardKind.PLASTIC
    assert face.tries_left == 3
    assert face.certificate == card_maker.certificate
    card_maker.key.public_key().verify(signature, b"message", padding.PKCS1v15(), hashes.SHA256())


def test_login_costs_nine_apdus_and_less_than_1600_bytes_from_the_card(rig: Rig, card_maker: CardMaker) -> None:
    rig.insert(card_maker())
    with rig.readers.connect() as connection:
        counting = CountingConnection(connection)
        face, _ = converse(login("1234", b"message"), counting.transmit)
    assert face.certificate is not None
    assert len(face.certificate) == 1280
    assert counting.apdus == 9
    assert counting.bytes_in <= 1570
    assert counting.bytes_out <= 160


def test_a_card_that_wants_a_select_first_stays_within_thirteen_apdus(card_maker: CardMaker) -> None:
    tray = Tray()
    tray.insert_card(SoftwareCard(card_maker(), short_identifiers=False))
    with SoftwareReaders(tray).connect() as connection:
        counting = CountingConnection(connection)
        converse(login("1234", b"message"), counting.transmit)
    assert counting.apdus == 13


@pytest.mark.parametrize(("short_identifiers", "apdus"), [(True, 9), (False, 13)])
def test_the_way_the_agent_goes_costs_no_more(card_maker: CardMaker, short_identifiers: bool, apdus: int) -> None:
    tray = Tray()
    tray.insert_card(SoftwareCard(card_maker(), short_identifiers=short_identifiers))
    readers = CountingReaders(SoftwareReaders(tray))
    with APDUCards(readers).connect() as card:
        card.present()
        card.verify_pin("1234")
        card.sign(b"message")
    assert readers.last.apdus == apdus


def test_a_signature_alone_costs_three_apdus_on_a_card_known_to_take_short_identifiers(
    rig: Rig, card_maker: CardMaker
) -> None:
    rig.insert(card_maker())
    channel = Channel(takes_short_identifiers=True)
    with rig.readers.connect() as connection:
        counting = CountingConnection(connection)
        converse(jpki_ap.select_jpki_ap(channel), counting.transmit)
        converse(jpki_ap.verify_auth_pin("1234", channel), counting.transmit)
        signature = converse(jpki_ap.sign_with_auth_key(b"message", channel), counting.transmit)
    assert counting.apdus == 3
    card_maker.key.public_key().verify(signature, b"message", padding.PKCS1v15(), hashes.SHA256())


def test_extended_length_brings_the_certificate_in_one_piece(rig: Rig, card_maker: CardMaker) -> None:
    rig.insert(card_maker())
    channel = Channel(extended_length=True)
    with rig.readers.connect() as connection:
        counting = CountingConnection(connection)
        face = converse(jpki_ap.read_card(channel), counting.transmit)
    assert face.certificate == card_maker.certificate
    assert counting.apdus == 3


@pytest.mark.parametrize("short_identifiers", [True, False])
def test_a_card_that_declines_extended_length_is_read_in_pieces(card_maker: CardMaker, short_identifiers: bool) -> None:
    card = SoftwareCard(card_maker(), extended_length=False, short_identifiers=short_identifiers)
    card.power_on()
    channel = Channel(extended_length=True)
    assert converse(jpki_ap.read_card(channel), card.transmit).certificate == card_maker.certificate
    assert channel.extended_length is False


def test_ca_certificate_is_read_from_the_card(rig: Rig, card_maker: CardMaker) -> None:
    rig.insert(card_maker())
    with rig.readers.connect() as connection:
        converse(jpki_ap.select_jpki_ap(), connection.transmit)
        assert converse(jpki_ap.read_auth_ca_certificate(), connection.transmit) == card_maker.certificate


def test_wrong_pin_reports_the_tries_the_card_reports(rig: Rig, card_maker: CardMaker) -> None:
    rig.insert(card_maker())
    with rig.readers.connect() as connection:
        with pytest.raises(PINRejected) as caught:
            converse(login("0000", b"message"), connection.transmit)
        assert caught.value.tries_left == 2
        assert converse(jpki_ap.auth_tries_left(), connection.transmit) == 2
    assert rig.status().auth_tries == 2


def test_right_pin_gives_the_tries_back(rig: Rig, card_maker: CardMaker) -> None:
    rig.insert(card_maker(tries=1))
    with rig.readers.connect() as connection:
        converse(login("1234", b"message"), connection.transmit)
    assert rig.status().auth_tries == 3


def test_third_wrong_pin_blocks_and_says_that_it_did(rig: Rig, card_maker: CardMaker) -> None:
    rig.insert(card_maker(tries=1))
    with rig.readers.connect() as connection, pytest.raises(PINBlocked) as caught:
        converse(login("0000", b"message"), connection.transmit)
    assert caught.value.by_this_try is True
    assert rig.status().auth_tries == 0


@pytest.mark.parametrize("blocked_status", [0x6984, 0x6983, 0x63C0])
def test_blocked_pin_is_seen_before_asking_and_refuses_the_right_pin(
    rig: Rig, card_maker: CardMaker, blocked_status: int
) -> None:
    rig.insert(card_maker(tries=0, blocked_status=blocked_status))
    with rig.readers.connect() as connection:
        face = converse(jpki_ap.read_card(), connection.transmit)
        assert face.tries_left == 0
        with pytest.raises(PINBlocked):
            converse(jpki_ap.verify_auth_pin("1234"), connection.transmit)


@pytest.mark.parametrize("pin", ["", "123", "12345", "12a4", "１２３４", "12 4", "²²²²"])
def test_what_is_no_pin_never_reaches_the_card(rig: Rig, card_maker: CardMaker, pin: str) -> None:
    rig.insert(card_maker())
    with rig.readers.connect() as connection:
        counting = CountingConnection(connection)
        with pytest.raises(PINFormatInvalid):
            converse(jpki_ap.verify_auth_pin(pin), counting.transmit)
        assert counting.apdus == 0
    assert rig.status().auth_tries == 3


def test_pin_does_not_outlive_the_connection(rig: Rig, card_maker: CardMaker) -> None:
    rig.insert(card_maker())
    with rig.readers.connect() as connection:
        converse(login("1234", b"message"), connection.transmit)
    with rig.readers.connect() as connection:
        converse(jpki_ap.select_jpki_ap(), connection.transmit)
        with pytest.raises(PINRequired):
            converse(jpki_ap.sign_with_auth_key(b"message"), connection.transmit)


def test_second_client_finds_the_reader_busy(rig: Rig, card_maker: CardMaker) -> None:
    rig.insert(card_maker())
    with rig.readers.connect() as connection:
        converse(jpki_ap.select_jpki_ap(), connection.transmit)
        with pytest.raises(ReaderBusy), rig.readers.connect():
            pass
        assert converse(jpki_ap.auth_tries_left(), connection.transmit) == 3
    with rig.readers.connect() as connection:
        assert converse(jpki_ap.read_card(), connection.transmit).tries_left == 3


def test_empty_reader_is_named(rig: Rig) -> None:
    rig.remove()
    with pytest.raises(CardAbsent), rig.readers.connect():
        pass


def test_removal_ends_the_session_and_a_new_one_works(rig: Rig, card_maker: CardMaker) -> None:
    card = card_maker()
    rig.insert(card)
    with rig.readers.connect() as connection:
        converse(jpki_ap.select_jpki_ap(), connection.transmit)
        rig.remove()
        with pytest.raises(TransportError):
            converse(jpki_ap.read_token_label(), connection.transmit)
        rig.insert(card)
        with pytest.raises(TransportError):
            converse(jpki_ap.select_jpki_ap(), connection.transmit)
    with rig.readers.connect() as connection:
        assert converse(jpki_ap.read_card(), connection.transmit).tries_left == 3


def test_a_connection_that_was_left_is_dead(rig: Rig, card_maker: CardMaker) -> None:
    rig.insert(card_maker())
    with rig.readers.connect() as connection:
        converse(jpki_ap.select_jpki_ap(), connection.transmit)
    with pytest.raises(TransportError):
        converse(jpki_ap.select_jpki_ap(), connection.transmit)


def test_swapped_card_is_never_taken_for_the_first_one(rig: Rig, card_maker: CardMaker) -> None:
    rig.insert(card_maker())
    with rig.readers.connect() as connection:
        converse(jpki_ap.read_card(), connection.transmit)
        converse(jpki_ap.verify_auth_pin("1234"), connection.transmit)
        rig.insert(card_maker())
        with pytest.raises(TransportError):
            converse(jpki_ap.sign_with_auth_key(b"message"), connection.transmit)
    assert rig.status().auth_tries == 3


def test_card_lost_before_the_pin_costs_no_try_and_says_so(rig: Rig, card_maker: CardMaker) -> None:
    card = card_maker()
    rig.insert(card)
    with rig.readers.connect() as connection:
        converse(jpki_ap.read_card(), connection.transmit)
        rig.remove()
        with pytest.raises(TransportError):
            converse(jpki_ap.verify_auth_pin("1234"), connection.transmit)  # dies at SELECT, before VERIFY
    assert rig.insert(card).auth_tries == 3


def test_card_lost_at_verify_leaves_the_outcome_unknown(rig: Rig, card_maker: CardMaker) -> None:
    rig.insert(card_maker())
    with rig.readers.connect() as connection:
        channel = Channel()
        converse(jpki_ap.read_card(channel), connection.transmit)
        rig.remove()
        with pytest.raises(PINOutcomeUnknown):
            converse(jpki_ap.verify_auth_pin("1234", channel), connection.transmit)


@pytest.mark.parametrize(("kind", "expected"), [("android", "ANDROID"), ("iphone", "IPHONE")])
def test_phone_shows_its_certificate_only_after_the_pin(
    rig: Rig, card_maker: CardMaker, kind: Kind, expected: str
) -> None:
    rig.insert(card_maker(kind=kind))
    with rig.readers.connect() as connection:
        face = converse(jpki_ap.read_card(), connection.transmit)
        assert face.kind is CardKind[expected]
        assert face.certificate is None
        with pytest.raises(PINRequired):
            converse(jpki_ap.read_auth_certificate(), connection.transmit)
        converse(jpki_ap.verify_auth_pin("1234"), connection.transmit)
        assert converse(jpki_ap.read_auth_certificate(), connection.transmit) == card_maker.certificate


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"kind": "juki"}, OldResidentCard),
        ({"token_label": "SOMETHING ELSE", "certificate": None}, NotJPKICard),
        ({"certificate": None}, NoAuthCertificate),
    ],
    ids=["old 住基カード", "unknown label", "no certificate"],
)
def test_unusable_card_is_refused_by_name_without_a_try(
    rig: Rig, card_maker: CardMaker, changes: dict[str, object], error: type[CardError]
) -> None:
    rig.insert(card_maker(**changes))  # type: ignore[arg-type]  # the table holds one keyword per row
    with rig.readers.connect() as connection, pytest.raises(error):
        converse(login("1234", b"message"), connection.transmit)
    assert rig.status().auth_tries == 3


def test_every_refusal_but_verify_leaves_the_counters_alone(rig: Rig, card_maker: CardMaker) -> None:
    rig.insert(card_maker(tries=2))
    with rig.readers.connect() as connection:
        for conversation in (
            jpki_ap.select_jpki_ap(),
            jpki_ap.auth_tries_left(),
            jpki_ap.read_auth_certificate(),
            jpki_ap.read_auth_ca_certificate(),
            jpki_ap.read_token_label(),
        ):
            converse(conversation, connection.transmit)
        with pytest.raises(PINRequired):
            converse(jpki_ap.sign_with_auth_key(b"message"), connection.transmit)
        with pytest.raises(PINFormatInvalid):
            converse(jpki_ap.verify_auth_pin("12345"), connection.transmit)
        connection.transmit(CommandAPDU(ins=0x20, p2=0x98))
        connection.transmit(CommandAPDU(ins=0xCA, p1=0x01, le=256))
    assert rig.status().auth_tries == 2
    assert rig.status().sign_tries == 5


def test_the_same_software_card_put_back_is_another_session(card_maker: CardMaker) -> None:
    tray, card = Tray(), SoftwareCard(card_maker())
    tray.insert_card(card)
    with SoftwareReaders(tray).connect() as connection:
        converse(jpki_ap.select_jpki_ap(), connection.transmit)
        tray.remove()
        tray.insert_card(card)
        with pytest.raises(CardRemoved):
            connection.transmit(CommandAPDU(ins=0x20, p2=0x98))


def test_removed_software_card_is_named(card_maker: CardMaker, in_process: Rig) -> None:
    in_process.insert(card_maker())
    with in_process.readers.connect() as connection:
        in_process.remove()
        with pytest.raises(CardRemoved):
            connection.transmit(CommandAPDU(ins=0xA4))


def test_a_card_still_there_is_told_without_a_word_to_it(rig: Rig, card_maker: CardMaker) -> None:
    rig.insert(card_maker())
    with rig.readers.connect() as connection:
        counting = CountingConnection(connection)
        counting.check_present()
        assert counting.apdus == 0
        rig.remove()
        with pytest.raises(CardRemoved):
            counting.check_present()
