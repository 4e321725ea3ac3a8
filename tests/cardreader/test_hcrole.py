"""The licence in an HPKI certificate: found where ISO 17090 puts it, refused in any other form."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from cardreader.errors import MalformedCardData
from cardreader.hcrole import hc_roles
from tests.cardreader.conftest import CardMaker

ACTOR = bytes.fromhex("0606288185420001")
SCHEME = bytes.fromhex("060a2a830886910f01060101")
OTHER_SCHEME = bytes.fromhex("06022a03")


def tlv(tag: int, *parts: bytes) -> bytes:
    value = b"".join(parts)
    length = bytes([len(value)]) if len(value) < 0x80 else b"\x81" + bytes([len(value)])
    return bytes([tag]) + length + value


def actor(role: str, *, scheme: bytes = SCHEME, tag: int = 0x0C) -> bytes:
    coded = tlv(0x31, tlv(0xA0, scheme), tlv(0xA2, tlv(tag, role.encode())))
    return tlv(0x30, tlv(0xA0, coded))


def attributes(*values: bytes, kind: bytes = ACTOR) -> bytes:
    return tlv(0x30, tlv(0x30, kind, tlv(0x31, *values)))


def certificate(card_maker: CardMaker, extension: bytes | None) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "card side test")])
    builder = x509.CertificateBuilder(name, name, card_maker.key.public_key(), 7)
    builder = builder.not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
    builder = builder.not_valid_after(datetime(2031, 1, 1, tzinfo=UTC))
    if extension is not None:
        raw = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.9"), extension)
        builder = builder.add_extension(raw, critical=False)
    return builder.sign(card_maker.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(
    ("extension", "roles"),
    [
        (None, ()),
        (attributes(actor("Medical Doctor")), ("Medical Doctor",)),
        (attributes(actor("Pharmacist", tag=0x13)), ("Pharmacist",)),
        (attributes(actor("Medical Doctor"), actor("Director of Clinic")), ("Medical Doctor", "Director of Clinic")),
        (attributes(tlv(0x31, actor("Medical Doctor"))), ("Medical Doctor",)),
        (attributes(actor("Medical Doctor", scheme=OTHER_SCHEME)), ()),
        (attributes(tlv(0x0C, b"x"), kind=OTHER_SCHEME), ()),
    ],
    ids=["none", "one", "printable", "two", "a set as the standard has it", "another list", "another attribute"],
)
def test_the_licences_are_read_from_where_the_standard_puts_them(
    card_maker: CardMaker, extension: bytes | None, roles: tuple[str, ...]
) -> None:
    assert hc_roles(certificate(card_maker, extension)) == roles


@pytest.mark.parametrize(
    "extension",
    [
        attributes(actor("")),
        attributes(actor("x" * 65)),
        attributes(actor("Medical Doctor", tag=0x04)),
        attributes(actor("Médecin", tag=0x13)),
        attributes(actor("Medical\x1b[2JDoctor")),
        attributes(actor("rotcoD\u202elacideM")),
        attributes(actor("Medical Doctor"), actor("Medical Doctor")),
        attributes(*(actor(str(number)) for number in range(6)), tlv(0x30)),
        attributes(tlv(0x30, tlv(0xA0, tlv(0x31, tlv(0xA2, tlv(0x0C, b"x")))))),
        attributes(tlv(0x30, tlv(0xA0, tlv(0x31, tlv(0xA0, SCHEME))))),
        attributes(actor("Medical Doctor")) + b"\0",
        attributes(actor("Medical Doctor"))[:-1],
        b"\x30\x80\x00\x00",
        b"\x30\x81\x00",
        b"",
    ],
)
def test_half_a_licence_is_malformed_and_never_none(card_maker: CardMaker, extension: bytes) -> None:
    with pytest.raises(MalformedCardData):
        hc_roles(certificate(card_maker, extension))


@pytest.mark.parametrize("der", [b"", b"\x30\x03\x02\x01\x00", b"\x30\x80", bytes(5000)])
def test_what_is_no_certificate_is_malformed(der: bytes) -> None:
    with pytest.raises(MalformedCardData):
        hc_roles(der)


@given(st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_certificate_with_bytes_changed_anywhere_is_read_or_malformed(
    card_maker: CardMaker, changes: list[tuple[int, int]]
) -> None:
    der = bytearray(certificate_once(card_maker))
    for at, value in changes:
        der[at % len(der)] = value
    with contextlib.suppress(MalformedCardData):
        assert all(role for role in hc_roles(bytes(der)))


_MADE: list[bytes] = []


def certificate_once(card_maker: CardMaker) -> bytes:
    if not _MADE:
        _MADE.append(certificate(card_maker, attributes(actor("Medical Doctor"))))
    return _MADE[0]
