"""The doctor's card: found through its directories, in process and through the real daemon, and as OpenSC sees it."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from hypothesis import given
from hypothesis import strategies as st

from cardreader import hpki_ap, jpki_ap, pkcs15
from cardreader.apdu import CommandAPDU, ResponseAPDU, converse
from cardreader.authentication import APDUCards
from cardreader.cardfile import CardFile
from cardreader.errors import (
    CardError,
    HPKICardGiven,
    HPKIPINBlocked,
    HPKIPINFormatInvalid,
    HPKIPINRejected,
    MalformedCardData,
    NotHPKICard,
    NotJPKICard,
    PINRequired,
)
from cardreader.hpki_ap import HPKIApplication
from cardreader.hpki_emulator import HPKICard, Layout
from cardreader.softcard import PrivatePCSCD
from tests.cardreader.conftest import CardMaker, Rig, ThroughPCSCD

MESSAGE = b"prescription"
ATR = bytes.fromhex("3B80800101")  # a card without contacts that says nothing of itself (PC/SC part 3)


def doctors(card_maker: CardMaker) -> CardFile:
    card = card_maker(kind="hpki")
    assert card.sign is not None
    return replace(card, atr=ATR, sign=replace(card.sign, pin="7777", tries=3, tries_max=3))


def test_both_applications_show_count_verify_and_sign(rig: Rig, card_maker: CardMaker) -> None:
    rig.insert(doctors(card_maker))
    with rig.readers.connect() as connection:
        for application, pin in ((HPKIApplication.AUTH, "1234"), (HPKIApplication.SIGN, "7777")):
            objects = converse(hpki_ap.open_application(application), connection.transmit)
            assert converse(hpki_ap.read_certificate(objects), connection.transmit) == card_maker.certificate
            with pytest.raises(PINRequired):
                converse(hpki_ap.sign(objects, MESSAGE), connection.transmit)
            with pytest.raises(HPKIPINRejected) as wrong:
                converse(hpki_ap.verify_pin(objects, "0000"), connection.transmit)
            assert wrong.value.tries_left == 2
            assert converse(hpki_ap.tries_left(objects), connection.transmit) == 2
            converse(hpki_ap.verify_pin(objects, pin), connection.transmit)
            signature = converse(hpki_ap.sign(objects, MESSAGE), connection.transmit)
            card_maker.key.public_key().verify(signature, MESSAGE, padding.PKCS1v15(), hashes.SHA256())


def test_each_application_knows_its_own_pin_and_forgets_it_when_left(card_maker: CardMaker) -> None:
    card = HPKICard(doctors(card_maker))
    auth = converse(hpki_ap.open_application(HPKIApplication.AUTH), card.transmit)
    converse(hpki_ap.verify_pin(auth, "1234"), card.transmit)
    converse(hpki_ap.open_application(HPKIApplication.SIGN), card.transmit)
    converse(hpki_ap.open_application(HPKIApplication.AUTH), card.transmit)
    with pytest.raises(PINRequired):
        converse(hpki_ap.sign(auth, MESSAGE), card.transmit)


def test_objects_are_found_wherever_the_maker_put_them(card_maker: CardMaker) -> None:
    elsewhere = Layout(
        certificate=0x6001,
        ca_certificate=0x6002,
        key=0x6003,
        pin_reference=0x93,
        private_keys=0x6004,
        certificates=0x6005,
        authentication=0x6006,
    )
    card = HPKICard(doctors(card_maker), layout=elsewhere)
    objects = converse(hpki_ap.open_application(HPKIApplication.SIGN), card.transmit)
    assert (objects.certificate.file.identifier, objects.key.file.identifier) == (0x6001, 0x6003)
    assert objects.pin == pkcs15.PINObject(authentication=b"\x01", reference=0x93, shortest=4, longest=16)
    converse(hpki_ap.verify_pin(objects, "7777"), card.transmit)
    assert len(converse(hpki_ap.sign(objects, MESSAGE), card.transmit)) == 256


def test_the_last_wrong_pin_blocks_and_no_right_one_helps(card_maker: CardMaker) -> None:
    card = HPKICard(doctors(card_maker))
    objects = converse(hpki_ap.open_application(HPKIApplication.AUTH), card.transmit)
    for expected in (HPKIPINRejected, HPKIPINRejected, HPKIPINBlocked, HPKIPINBlocked):
        with pytest.raises(expected):
            converse(hpki_ap.verify_pin(objects, "9999"), card.transmit)
    with pytest.raises(HPKIPINBlocked):
        converse(hpki_ap.verify_pin(objects, "1234"), card.transmit)
    assert converse(hpki_ap.tries_left(objects), card.transmit) == 0


@pytest.mark.parametrize("pin", ["", "123", "1" * 17, "１２３４", "12 4"])
def test_what_cannot_be_a_pin_costs_no_try(card_maker: CardMaker, pin: str) -> None:
    card = HPKICard(doctors(card_maker))
    objects = converse(hpki_ap.open_application(HPKIApplication.AUTH), card.transmit)
    with pytest.raises(HPKIPINFormatInvalid):
        converse(hpki_ap.verify_pin(objects, pin), card.transmit)
    assert card.card.auth.tries == 3


def test_the_two_kinds_of_card_are_told_apart(rig: Rig, card_maker: CardMaker) -> None:
    rig.insert(card_maker())
    with rig.readers.connect() as connection, pytest.raises(NotHPKICard):
        converse(hpki_ap.open_application(HPKIApplication.AUTH), connection.transmit)
    rig.insert(doctors(card_maker))
    with rig.readers.connect() as connection, pytest.raises(NotJPKICard):
        converse(jpki_ap.read_card(), connection.transmit)


def test_a_key_on_a_curve_is_found_and_signs_a_hash(card_maker: CardMaker) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    card = doctors(card_maker)
    assert card.sign is not None
    held = HPKICard(replace(card, sign=replace(card.sign, private_key=pem)))
    objects = converse(hpki_ap.open_application(HPKIApplication.SIGN), held.transmit)
    assert (objects.key.kind, objects.profile.algorithm) == ("EC", "ES384")
    converse(hpki_ap.verify_pin(objects, "7777"), held.transmit)
    signature = converse(hpki_ap.sign(objects, MESSAGE), held.transmit)
    r, s = (int.from_bytes(half, "big") for half in (signature[:48], signature[48:]))
    key.public_key().verify(utils.encode_dss_signature(r, s), MESSAGE, ec.ECDSA(hashes.SHA384()))
    other = converse(hpki_ap.open_application(HPKIApplication.AUTH), held.transmit)
    assert (other.key.kind, other.profile.algorithm) == ("RSA", "RS256")


def test_a_login_calls_the_card_by_its_name_and_uses_no_try(rig: Rig, card_maker: CardMaker) -> None:
    rig.insert(doctors(card_maker))
    with APDUCards(rig.readers).connect() as card, pytest.raises(HPKICardGiven):
        card.present()
    assert rig.status().auth_tries == 3
    rig.insert(card_maker(token_label="SOMETHINGELSE", certificate=None))
    with APDUCards(rig.readers).connect() as card, pytest.raises(NotJPKICard):
        card.present()


def test_a_card_without_the_signing_application_is_told_so(card_maker: CardMaker) -> None:
    card = HPKICard(replace(doctors(card_maker), sign=None))
    with pytest.raises(NotHPKICard):
        converse(hpki_ap.open_application(HPKIApplication.SIGN), card.transmit)


def test_opensc_lists_the_objects_that_we_find(
    private_pcscd: PrivatePCSCD, through_pcscd: ThroughPCSCD, card_maker: CardMaker, tmp_path: Path
) -> None:
    if shutil.which("pkcs15-tool") is None:
        pytest.skip("missing: pkcs15-tool (Debian package opensc)")
    configuration = "app default { enable_default_driver = true; }"  # no driver of OpenSC's claims such a card
    (tmp_path / "opensc.conf").write_text(configuration, encoding="ascii")
    environment = {
        **private_pcscd.environment,
        "OPENSC_CONF": str(tmp_path / "opensc.conf"),
        "HOME": str(tmp_path),
    }
    through_pcscd.insert(doctors(card_maker))
    for application in HPKIApplication:
        shown = subprocess.run(
            ["pkcs15-tool", "--aid", application.value.hex(), "-D"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert shown.returncode == 0, shown.stderr
        assert shown.stdout.count("X.509 Certificate [") == 2
        assert shown.stdout.count("Private RSA Key [") == 1
        assert "PIN [HPKI PIN]" in shown.stdout
        assert "Reference      : 136 (0x88)" in shown.stdout
        assert re.findall("Authority +: (yes|no)", shown.stdout) == ["yes", "no"]


# A card that lies


@given(st.binary(max_size=200))
def test_any_bytes_as_a_directory_are_read_or_refused_as_card_data(raw: bytes) -> None:
    for read in (pkcs15.directories, pkcs15.certificates, pkcs15.private_keys, pkcs15.pins):
        with contextlib.suppress(MalformedCardData):
            read(raw)


@given(
    st.sampled_from([0x5031, 0x4401, 0x4402, 0x4403, 0x0016]),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_a_card_with_bytes_changed_anywhere_raises_only_what_a_card_may(
    card_maker: CardMaker, file: int, changes: list[tuple[int, int]]
) -> None:
    card = HPKICard(doctors(card_maker))
    current = 0
    sent = 0

    def lie(command: CommandAPDU) -> ResponseAPDU:
        nonlocal current, sent
        sent += 1
        assert sent < 200
        if command.ins == 0xA4:
            current = int.from_bytes(command.data[-2:], "big")
        reply = card.transmit(command)
        if command.ins != 0xB0 or current != file or command.p1 or command.p2:
            return reply
        data = bytearray(reply.data)
        for at, value in changes:
            if at < len(data):
                data[at] = value
        return ResponseAPDU(data=bytes(data), sw=reply.sw)

    with contextlib.suppress(CardError):
        objects = converse(hpki_ap.open_application(HPKIApplication.AUTH), lie)
        converse(hpki_ap.read_certificate(objects), lie)
        converse(hpki_ap.verify_pin(objects, "1234"), lie)
        converse(hpki_ap.sign(objects, MESSAGE), lie)


@pytest.mark.parametrize(
    "raw",
    [
        "a40430020400",  # an empty path
        "a48000",  # indefinite length
        "a483000001",  # a length of three octets
        "a4053003040150",  # half an identifier
        "a40a3008040250310202ffff",  # begins before the file does
        "a43001",  # longer than the file
        "bf2000",  # a tag of two bytes
    ],
)
def test_an_object_directory_that_is_none_is_refused(raw: str) -> None:
    with pytest.raises(MalformedCardData):
        pkcs15.directories(bytes.fromhex(raw))


def test_more_objects_than_a_card_has_are_refused() -> None:
    with pytest.raises(MalformedCardData):
        pkcs15.directories(bytes.fromhex("a406300404025031") * (pkcs15.MAX_ENTRIES + 1))


def test_a_file_without_end_is_read_no_further_than_an_object_may_be_long(card_maker: CardMaker) -> None:
    endless = 0

    def pour(command: CommandAPDU) -> ResponseAPDU:
        nonlocal endless
        endless += 1
        return ResponseAPDU(data=b"\xa4" * (command.le or 0), sw=0x9000)

    with pytest.raises(MalformedCardData):
        converse(hpki_ap.open_application(HPKIApplication.AUTH), pour)
    assert endless <= 20
