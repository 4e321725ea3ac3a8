"""The holder's attributes: found by object identifier, kept to the character, and no age without a proof."""

from __future__ import annotations

from datetime import date

import pytest
from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import CertificateMalformed
from broker.jpki.attributes import BirthDate, Era, HolderAttributes, Sex, Text, holder_attributes
from broker.jpki.path import validate_path
from broker.jpki.profile import DIGITAL_SIGNATURE, USER_AUTHENTICATION
from tests.broker.jpki.jpki_authority import NOW, SIGN_TEST, Authority, key_usage, policies, tlv

CA = Authority()
ON_THE_CARD = (1, 4, 3, 5, 2, 6)
HANAKO = {1: "山田花子", 2: "0000", 3: "2", 4: "319850412", 5: "東京都千代田区千代田1-1", 6: "0" * 13}


def certificate(
    values: dict[int, str], *, order: tuple[int, ...] = ON_THE_CARD, tag: int = 0x0C, twice: int | None = None
) -> bytes:
    names = [
        x509.OtherName(ObjectIdentifier(f"1.2.392.200149.8.5.5.{number}"), tlv(tag, values[number].encode()))
        for number in (*order, *([twice] if twice else []))
        if number in values
    ]
    usage = key_usage("digital_signature", "content_commitment")
    extra = ((x509.SubjectAlternativeName(names), False),) if names else ()
    return CA.leaf(policy=policies(SIGN_TEST), usage=usage, extra=extra)


def read(values: dict[int, str], **changes: object) -> HolderAttributes:
    leaf = certificate({**HANAKO, **values}, **changes)  # type: ignore[arg-type] -- the keywords of certificate()
    return holder_attributes(validate_path(leaf, anchors=[CA.der], at=NOW, profile=DIGITAL_SIGNATURE))


@pytest.mark.parametrize("order", [ON_THE_CARD, (1, 2, 3, 4, 5, 6), (6, 5, 4, 3, 2, 1)])
def test_attributes_are_found_by_identifier_in_any_order(order: tuple[int, ...]) -> None:
    hanako = read({}, order=order)
    assert (hanako.name.text, hanako.address.text) == ("山田花子", "東京都千代田区千代田1-1")
    assert (hanako.birth.exact, hanako.sex) == (date(1985, 4, 12), Sex.FEMALE)
    assert hanako.name.is_exact
    assert hanako.address.is_exact


def test_flag_belongs_to_its_own_character_beyond_the_basic_plane_and_with_selectors() -> None:
    name = read({1: "𠮷田葛\U000e0100城", 2: "0010"}).name
    assert name.characters == ("𠮷", "田", "葛\U000e0100", "城")
    assert name.substituted == (False, False, True, False)
    assert name.text == "𠮷田葛\U000e0100城"
    by_code_point = read({1: "𠮷田葛\U000e0100城", 2: "00100"}).name
    assert by_code_point == name
    assert not name.is_exact


@given(st.text(st.characters(min_codepoint=0x3041, max_codepoint=0x2FFFF, exclude_categories=["Cs", "Cc"]), min_size=1))
def test_text_comes_out_as_it_went_in(text: str) -> None:
    flags = tuple(False for each in text if not 0xFE00 <= ord(each) <= 0xFE0F) or (False,)
    if not 0xFE00 <= ord(text[0]) <= 0xFE0F:
        assert "".join(Text(text=text, substituted=flags).characters) == text


def test_partial_birth_date_proves_no_age() -> None:
    for digits, parts in (
        ("319850400", (1985, 4, None)),
        ("319850000", (1985, None, None)),
        ("000000000", (None, None, None)),
    ):
        birth = read({4: digits}).birth
        assert (birth.year, birth.month, birth.day) == parts
        assert birth.exact is None
        assert not birth.has_reached(0, on=date(2026, 11, 20))


def test_year_outside_its_era_or_a_day_that_never_was_proves_no_age() -> None:
    for digits in ("519850412", "419850412", "319850230", "320200101"):
        assert read({4: digits}).birth.exact is None
    assert read({4: "019850412"}).birth.exact == date(1985, 4, 12)
    assert (read({4: "520190501"}).birth.era, read({4: "420190430"}).birth.era) == (Era.REIWA, Era.HEISEI)


def test_age_turns_on_the_birthday() -> None:
    birth = BirthDate(era=Era.HEISEI, year=2008, month=2, day=29)
    assert not birth.has_reached(18, on=date(2026, 2, 28))
    assert birth.has_reached(18, on=date(2026, 3, 1))
    assert birth.has_reached(16, on=date(2024, 2, 29))


@given(st.dates(min_value=date(1868, 1, 1)), st.dates(min_value=date(1868, 1, 1)), st.integers(0, 150))
def test_nobody_grows_younger(born: date, on: date, years: int) -> None:
    birth = BirthDate(era=Era.NONE, year=born.year, month=born.month, day=born.day)
    if birth.has_reached(years + 1, on=on):
        assert birth.has_reached(years, on=on)
    assert not (on < born and birth.has_reached(0, on=on))


@pytest.mark.parametrize(
    ("code", "sex"),
    [("1", Sex.MALE), ("2", Sex.FEMALE), ("9", Sex.NOT_APPLICABLE), ("3", Sex.UNKNOWN), ("２", Sex.UNKNOWN)],
)
def test_sex_is_read_by_its_code_and_never_guessed(code: str, sex: Sex) -> None:
    assert read({3: code}).sex is sex


@pytest.mark.parametrize(
    "values",
    [
        {2: "000"},
        {2: "00000"},
        {2: "0002"},
        {1: "", 2: ""},
        {1: "山田\n花子", 2: "00000"},
        {4: "19850412"},
        {4: "3１9850412"},
        {4: "619850412"},
        {4: "319851312"},
        {1: "山" * 1000, 2: "0" * 1000},
    ],
)
def test_attribute_that_cannot_be_read_is_refused(values: dict[int, str]) -> None:
    with pytest.raises(CertificateMalformed):
        read(values)


def test_missing_double_and_differently_typed_attributes_are_refused() -> None:
    for changes in ({"order": (1, 4, 3, 5, 2)}, {"order": ()}, {"twice": 4}, {"tag": 0x13}):
        with pytest.raises(CertificateMalformed):
            read({}, **changes)


def test_only_the_signing_certificate_is_asked() -> None:
    trusted = validate_path(CA.leaf(), anchors=[CA.der], at=NOW, profile=USER_AUTHENTICATION)
    with pytest.raises(ValueError, match="only a certificate"):
        holder_attributes(trusted)


def test_person_is_not_in_the_representation() -> None:
    shown = repr(read({}))
    assert not any(value in shown for value in ("山田", "千代田", "1985"))
