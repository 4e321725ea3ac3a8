"""The JPKI application in process: both keys and PINs, every signing mode, presence, and the announced P-384 card."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from asn1crypto.cms import CMSAttributes
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

from cardreader import jpki_ap
from cardreader.apdu import CommandAPDU, Conversation, ResponseAPDU, converse
from cardreader.cardfile import CardFile
from cardreader.channel import Channel
from cardreader.cms import SCHEMES, signed_attributes, verify_attributes
from cardreader.emulator import SoftwareCard
from cardreader.errors import (
    CardError,
    CardRemoved,
    MalformedCardData,
    NoSignCertificate,
    PINChangeOutcomeUnknown,
    PINChangeRefused,
    PINFormatInvalid,
    PINRejected,
    PINRequired,
    SignatureMismatch,
    SignPasswordBlocked,
    SignPasswordFormatInvalid,
    SignPasswordOutcomeUnknown,
    SignPasswordRejected,
    SignPasswordRequired,
)
from cardreader.jpki_profile import P_384, CardKind, SigningMode
from tests.cardreader.conftest import CardMaker


def powered(file: CardFile, *, short_identifiers: bool = True) -> SoftwareCard:
    card = SoftwareCard(file, short_identifiers=short_identifiers)
    card.power_on()
    converse(jpki_ap.select_jpki_ap(), card.transmit)
    return card


@pytest.fixture(params=[True, False], ids=["short identifiers", "select first"])
def card(request: pytest.FixtureRequest, card_maker: CardMaker) -> SoftwareCard:
    return powered(card_maker(), short_identifiers=bool(request.param))


def test_the_signing_side_has_its_own_certificate_counter_and_key(card: SoftwareCard, card_maker: CardMaker) -> None:
    channel = Channel()
    assert converse(jpki_ap.sign_tries_left(channel), card.transmit) == 5
    with pytest.raises(SignPasswordRequired):
        converse(jpki_ap.read_sign_certificate(channel), card.transmit)
    with pytest.raises(SignPasswordRequired):
        converse(jpki_ap.sign_with_sign_key(b"message", channel), card.transmit)
    converse(jpki_ap.verify_sign_password("abc123", channel), card.transmit)
    assert converse(jpki_ap.read_sign_certificate(channel), card.transmit) == card_maker.certificate
    assert converse(jpki_ap.read_sign_ca_certificate(channel), card.transmit) == card_maker.certificate
    signature = converse(jpki_ap.sign_with_sign_key(b"message", channel), card.transmit)
    card_maker.key.public_key().verify(signature, b"message", padding.PKCS1v15(), hashes.SHA256())
    with pytest.raises(PINRequired):
        converse(jpki_ap.sign_with_auth_key(b"message", channel), card.transmit)


def test_a_wrong_password_never_touches_the_other_counter(card: SoftwareCard) -> None:
    channel = Channel()
    with pytest.raises(SignPasswordRejected) as caught:
        converse(jpki_ap.verify_sign_password("WRONG1", channel), card.transmit)
    assert caught.value.tries_left == 4
    with pytest.raises(PINRejected) as other:
        converse(jpki_ap.verify_auth_pin("9999", channel), card.transmit)
    assert other.value.tries_left == 2
    assert converse(jpki_ap.sign_tries_left(channel), card.transmit) == 4
    assert converse(jpki_ap.auth_tries_left(channel), card.transmit) == 2


def test_the_right_pin_goes_to_the_right_file_whatever_was_read_between(card: SoftwareCard) -> None:
    channel = Channel()
    converse(jpki_ap.read_card(channel), card.transmit)
    converse(jpki_ap.sign_tries_left(channel), card.transmit)
    converse(jpki_ap.read_auth_ca_certificate(channel), card.transmit)
    converse(jpki_ap.verify_auth_pin("1234", channel), card.transmit)
    assert card.card.auth.tries == 3
    assert card.card.sign is not None
    assert card.card.sign.tries == 5


def test_the_fifth_wrong_password_blocks_the_signing_side_alone(card_maker: CardMaker) -> None:
    file = card_maker()
    assert file.sign is not None
    card = powered(replace(file, sign=replace(file.sign, tries=1)))
    with pytest.raises(SignPasswordBlocked) as caught:
        converse(jpki_ap.verify_sign_password("WRONG1"), card.transmit)
    assert caught.value.by_this_try is True
    with pytest.raises(SignPasswordBlocked):
        converse(jpki_ap.verify_sign_password("ABC123"), card.transmit)
    converse(jpki_ap.verify_auth_pin("1234"), card.transmit)


@pytest.mark.parametrize("password", ["", "ABC12", "A" * 17, "ＡＢＣ１２３", "ABC 123", "ABC-123", "ABCÄ12", "ßßßßßß"])
def test_what_is_no_password_is_refused_before_the_card(password: str) -> None:
    def transmit(command: CommandAPDU) -> ResponseAPDU:
        raise AssertionError(command)

    with pytest.raises(SignPasswordFormatInvalid):
        converse(jpki_ap.verify_sign_password(password), transmit)
    with pytest.raises(SignPasswordFormatInvalid):
        converse(jpki_ap.change_sign_password("ABC123", password), transmit)
    with pytest.raises(PINFormatInvalid):
        converse(jpki_ap.change_auth_pin("1234", password), transmit)


def test_a_card_without_the_signing_key_says_so(card_maker: CardMaker) -> None:
    for short_identifiers in (True, False):
        card = powered(card_maker(sign=False), short_identifiers=short_identifiers)
        for conversation in (jpki_ap.sign_tries_left, jpki_ap.read_sign_ca_certificate, jpki_ap.read_sign_certificate):
            with pytest.raises(NoSignCertificate):
                converse(conversation(Channel()), card.transmit)
        assert converse(jpki_ap.read_presence(), card.transmit) == jpki_ap.Presence(auth=True, sign=False)


@pytest.mark.parametrize("kind", ["plastic", "android", "iphone"])
def test_the_label_tells_what_carries_the_application(card_maker: CardMaker, kind: str) -> None:
    card = powered(card_maker(kind=kind))  # type: ignore[arg-type]  # the row's word is one of the kinds
    assert converse(jpki_ap.read_kind(), card.transmit) is CardKind(kind)
    only_iphone = card.transmit(CommandAPDU(cla=0x80, ins=0xFC)).sw
    assert only_iphone == (0x9000 if kind == "iphone" else 0x6700)


@pytest.mark.parametrize("mode", SigningMode)
def test_every_signing_mode_signs_the_message_and_nothing_else(
    card: SoftwareCard, card_maker: CardMaker, mode: SigningMode
) -> None:
    channel = Channel()
    converse(jpki_ap.verify_auth_pin("1234", channel), card.transmit)
    signature = converse(jpki_ap.sign_with_auth_key(b"message", channel, mode=mode), card.transmit)
    key, digest = card_maker.key.public_key(), hashlib.sha256(b"message").digest()
    if mode is SigningMode.CARD_HASH_BARE:
        assert key.recover_data_from_signature(signature, padding.PKCS1v15(), None) == digest
    elif mode in (SigningMode.PSS_HASH, SigningMode.PSS_CARD_HASH):
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
        key.verify(signature, b"message", pss, hashes.SHA256())
    else:
        key.verify(signature, b"message", padding.PKCS1v15(), hashes.SHA256())


def test_what_goes_to_the_card_by_default_is_a_digest_info_made_here(card: SoftwareCard) -> None:
    sent: list[CommandAPDU] = []

    def transmit(command: CommandAPDU) -> ResponseAPDU:
        sent.append(command)
        return card.transmit(command)

    converse(jpki_ap.verify_auth_pin("1234"), card.transmit)
    already_hashed = bytes.fromhex("3031300d060960864801650304020105000420") + bytes(32)
    converse(jpki_ap.sign_with_auth_key(already_hashed), transmit)
    assert sent[-1].data[19:] == hashlib.sha256(already_hashed).digest()
    assert len(sent[-1].data) == 51


@pytest.mark.parametrize("length", [0, 246])
def test_a_message_too_long_for_the_card_to_hash_is_our_mistake(card: SoftwareCard, length: int) -> None:
    with pytest.raises(ValueError, match="1 to 245"):
        converse(jpki_ap.sign_with_auth_key(bytes(length), mode=SigningMode.PKCS1_CARD_HASH), card.transmit)


def test_a_pin_is_changed_and_a_refused_one_leaves_the_old(card: SoftwareCard) -> None:
    channel = Channel()
    converse(jpki_ap.change_auth_pin("1234", "9876", channel), card.transmit)
    converse(jpki_ap.change_sign_password("abc123", "newpass", channel), card.transmit)
    assert card.card.sign is not None
    assert (card.card.auth.pin, card.card.sign.pin) == ("9876", "NEWPASS")

    def refusing(command: CommandAPDU) -> ResponseAPDU:
        return ResponseAPDU(sw=0x6A80) if command.ins == 0x24 else card.transmit(command)

    def dying(command: CommandAPDU) -> ResponseAPDU:
        if command.ins == 0x24:
            raise CardRemoved
        return card.transmit(command)

    with pytest.raises(PINChangeRefused):
        converse(jpki_ap.change_auth_pin("9876", "1111", channel), refusing)
    with pytest.raises(PINChangeOutcomeUnknown):
        converse(jpki_ap.change_auth_pin("9876", "1111", channel), dying)
    with pytest.raises(PINRejected):
        converse(jpki_ap.change_auth_pin("0000", "1111", channel), card.transmit)


def test_a_password_s_verdict_lost_on_the_way_is_unknown_in_its_own_words(card: SoftwareCard) -> None:
    def dying(command: CommandAPDU) -> ResponseAPDU:
        if command.data == b"ABC123":
            raise CardRemoved
        return card.transmit(command)

    with pytest.raises(SignPasswordOutcomeUnknown):
        converse(jpki_ap.verify_sign_password("abc123"), dying)


Begin = Callable[[Channel], Conversation[object]]


@pytest.mark.parametrize(
    "begin",
    [
        lambda channel: jpki_ap.verify_auth_pin("1234", channel),
        lambda channel: jpki_ap.verify_sign_password("ABC123", channel),
    ],
)
@pytest.mark.parametrize("sw", [0x6A86, 0x6A88, 0x6B00, 0x6986, 0x6700, 0x6F00])
def test_a_pin_is_sent_once_even_where_its_short_identifier_fails(begin: Begin, sw: int) -> None:
    """What the counter's answer promised may still fail: the PIN is not tried by the other way."""
    sent: list[CommandAPDU] = []

    def transmit(command: CommandAPDU) -> ResponseAPDU:
        sent.append(command)
        return ResponseAPDU(sw=sw if command.data else 0x63C3)

    channel = Channel()
    converse(jpki_ap.auth_tries_left(channel), transmit)
    converse(jpki_ap.sign_tries_left(channel), transmit)
    with pytest.raises(CardError):
        converse(begin(channel), transmit)
    assert sum(1 for command in sent if command.data) == 1


@pytest.fixture(scope="module")
def announced(card_maker: CardMaker) -> tuple[SoftwareCard, ec.EllipticCurvePublicKey]:
    key = ec.generate_private_key(ec.SECP384R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    file = card_maker()
    return powered(replace(file, auth=replace(file.auth, private_key=pem))), key.public_key()


def test_the_same_driver_signs_with_a_p_384_card_by_another_profile(
    announced: tuple[SoftwareCard, ec.EllipticCurvePublicKey],
) -> None:
    card, key = announced
    channel = Channel(profile=P_384)
    assert converse(jpki_ap.read_card(channel), card.transmit).tries_left == 3
    converse(jpki_ap.verify_auth_pin("1234", channel), card.transmit)
    signature = converse(jpki_ap.sign_with_auth_key(b"message", channel), card.transmit)
    der = utils.encode_dss_signature(int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big"))
    key.verify(der, b"message", ec.ECDSA(hashes.SHA384()))
    with pytest.raises(ValueError, match="ES384"):
        converse(jpki_ap.sign_with_auth_key(b"message", channel, mode=SigningMode.PSS_HASH), card.transmit)


def test_a_signature_by_another_key_is_never_handed_out(card: SoftwareCard, card_maker: CardMaker) -> None:
    scheme = SCHEMES["RS256"]
    moment = datetime(2026, 11, 20, tzinfo=UTC)
    attributes = signed_attributes(
        digest=bytes(32), certificate=card_maker.certificate, signed_at=moment, scheme=scheme
    )
    converse(jpki_ap.verify_auth_pin("1234"), card.transmit)
    signature = converse(jpki_ap.sign_with_auth_key(attributes), card.transmit)
    verify_attributes(attributes, signature, certificate=card_maker.certificate)
    with pytest.raises(SignatureMismatch):
        verify_attributes(attributes + b"x", signature, certificate=card_maker.certificate)


@pytest.mark.parametrize(("year", "tag"), [(2049, 0x17), (2050, 0x18)])
def test_the_signing_time_changes_its_form_in_2050(card_maker: CardMaker, year: int, tag: int) -> None:
    """RFC 5652 section 11.3: UTCTime through 2049, GeneralizedTime after it."""
    moment = datetime(year, 12, 31, 1, 2, 3, tzinfo=UTC)
    attributes = signed_attributes(
        digest=bytes(32), certificate=card_maker.certificate, signed_at=moment, scheme=SCHEMES["RS256"]
    )
    (told,) = (each["values"][0] for each in CMSAttributes.load(attributes) if each["type"].native == "signing_time")
    assert (told.native, told.chosen.dump()[0]) == (moment, tag)


def test_a_certificate_that_only_looks_like_one_is_malformed_card_data(card_maker: CardMaker) -> None:
    """Both were found by the campaign: one library names the version, the other stumbles over the identifier."""
    version, algorithm = bytes.fromhex("a003020102"), bytes.fromhex("06092a864886f70d010101")
    assert version in card_maker.certificate
    scheme, moment = SCHEMES["RS256"], datetime(2026, 11, 20, tzinfo=UTC)
    for odd in (
        card_maker.certificate.replace(version, bytes.fromhex("a00302012c")),
        card_maker.certificate.replace(algorithm, bytes.fromhex("060900000048f70d010101")),
        card_maker.certificate[:40],
    ):
        with pytest.raises(MalformedCardData):  # noqa: PT012 - either step may be the one that sees it
            attributes = signed_attributes(digest=bytes(32), certificate=odd, signed_at=moment, scheme=scheme)
            verify_attributes(attributes, bytes(256), certificate=odd)
