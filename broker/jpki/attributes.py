"""The four attributes (基本4情報) in a 署名用 certificate: name, address, birth date, sex, as the CA wrote them.

They stand as otherName entries of subjectAltName (RFC 5280 §4.2.1.6) under 1.2.392.200149.8.5.5; they are found by
object identifier, because their order differs from what their numbers suggest. Nothing is normalised: a character
beyond JIS level 2 or with a variation selector is the person's own name. Never log what is in here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Final

from cryptography import x509

from broker.errors import CertificateMalformed
from broker.jpki import der
from broker.jpki.certificate import TrustedCertificate, parse

_ARC: Final = "1.2.392.200149.8.5.5"
NAME, NAME_FLAGS, SEX, BIRTH, ADDRESS, ADDRESS_FLAGS = (f"{_ARC}.{number}" for number in (1, 2, 3, 4, 5, 6))
_MAX_VALUE: Final = 2048
_UTF8_STRING: Final = 0x0C
_SELECTORS: Final = frozenset((*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
"""Variation selectors (Unicode §23.4): each belongs to the character before it, as the glyphs of 戸籍 need."""


class Sex(Enum):
    """性別 by its code: 1, 2, 9; whatever else stands there is not guessed."""

    MALE = "1"
    FEMALE = "2"
    NOT_APPLICABLE = "9"
    UNKNOWN = ""


class Era(Enum):
    """元号 by its code, the first of a birth date's nine digits. NONE says nothing about the year."""

    NONE = "0"
    MEIJI = "1"
    TAISHO = "2"
    SHOWA = "3"
    HEISEI = "4"
    REIWA = "5"


_YEARS: Final = {
    Era.NONE: (1, 9999),
    Era.MEIJI: (1868, 1912),
    Era.TAISHO: (1912, 1926),
    Era.SHOWA: (1926, 1989),
    Era.HEISEI: (1989, 2019),
    Era.REIWA: (2019, 9999),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A name or address. `substituted` has one flag for each of `characters`: is it a stand-in for one the CA lacks?"""

    text: str = field(repr=False)
    substituted: tuple[bool, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.substituted) != len(self.characters):
            raise ValueError("one flag per character")

    @property
    def characters(self) -> tuple[str, ...]:
        """The characters, each with its variation selector; one outside the Basic Multilingual Plane is one."""
        return _characters(self.text)

    @property
    def is_exact(self) -> bool:
        """No character is a stand-in."""
        return not any(self.substituted)


@dataclass(frozen=True, slots=True, kw_only=True)
class BirthDate:
    """生年月日. `year` is Gregorian whatever the era; a part that is not known is None."""

    era: Era = field(repr=False)
    year: int | None = field(repr=False)
    month: int | None = field(repr=False)
    day: int | None = field(repr=False)

    @property
    def exact(self) -> date | None:
        """The day; None where a part is unknown, or there is no such day, or its year does not lie in its era."""
        if self.year is None or self.month is None or self.day is None:
            return None
        first, last = _YEARS[self.era]
        try:
            return date(self.year, self.month, self.day) if first <= self.year <= last else None
        except ValueError:
            return None

    def has_reached(self, years: int, *, on: date) -> bool:
        """Whether the person is `years` old on that day for certain; a date that is not exact proves no age.

        Counted by birthdays; for 29 February the first of March counts where the year has no such day.
        """
        born = self.exact
        return born is not None and (on.year - born.year, on.month, on.day) >= (years, born.month, born.day)


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderAttributes:
    """基本4情報 of one certificate's holder, at the day the certificate was issued."""

    name: Text = field(repr=False)
    address: Text = field(repr=False)
    birth: BirthDate = field(repr=False)
    sex: Sex = field(repr=False)


def holder_attributes(certificate: TrustedCertificate) -> HolderAttributes:
    """Read a 署名用 certificate's attributes. Raises CertificateMalformed where one is missing, double or unreadable.

    Raises ValueError for a certificate of another profile: only a 署名用 one carries them, and asking is our own fault.
    """
    if certificate.profile != "digital-signature":
        raise ValueError("only a certificate for digital signatures carries attributes")
    values = _values(certificate.der)
    try:
        return HolderAttributes(
            name=_text(values[NAME], values[NAME_FLAGS]),
            address=_text(values[ADDRESS], values[ADDRESS_FLAGS]),
            birth=_birth(values[BIRTH]),
            sex=_sex(values[SEX]),
        )
    except KeyError:
        raise CertificateMalformed("an attribute of the holder is missing") from None
    except ValueError:
        raise CertificateMalformed("an attribute of the holder cannot be read") from None


def _values(certificate: bytes) -> dict[str, str]:
    names = parse(certificate).extension(x509.SubjectAlternativeName)
    values: dict[str, str] = {}
    for name in names.value if names is not None else ():
        if not isinstance(name, x509.OtherName) or not name.type_id.dotted_string.startswith(f"{_ARC}."):
            continue
        if name.type_id.dotted_string in values or len(name.value) > _MAX_VALUE:
            raise CertificateMalformed("an attribute of the holder stands twice, or is too long")
        try:
            values[name.type_id.dotted_string] = der.whole(name.value, _UTF8_STRING).value.decode("utf-8")
        except ValueError:
            raise CertificateMalformed("an attribute of the holder is no UTF8String") from None
    return values


def _text(text: str, flags: str) -> Text:
    """`flags` has a digit for each character; one for each code point, selectors too, is understood as well."""
    if not text.strip() or any(ord(each) < 0x20 or 0x7F <= ord(each) < 0xA0 for each in text):
        raise ValueError("empty, or with control characters")
    if set(flags) - {"0", "1"}:
        raise ValueError("a flag is 0 or 1")
    characters = _characters(text)
    if len(flags) == len(characters):
        return Text(text=text, substituted=tuple(flag == "1" for flag in flags))
    if len(flags) != len(text):
        raise ValueError("one flag per character")
    rest = iter(flags)
    return Text(text=text, substituted=tuple("1" in [next(rest) for _ in each] for each in characters))


def _characters(text: str) -> tuple[str, ...]:
    characters: list[str] = []
    for each in text:
        if characters and ord(each) in _SELECTORS:
            characters[-1] += each
        else:
            characters.append(each)
    return tuple(characters)


def _birth(digits: str) -> BirthDate:
    """EYYYYMMDD: the era's code, then the Gregorian year, month and day; zeros where a part is not known."""
    if len(digits) != 9 or not digits.isascii() or not digits.isdigit():
        raise ValueError("not nine digits")
    year, month, day = int(digits[1:5]), int(digits[5:7]), int(digits[7:9])
    if month > 12 or day > 31:
        raise ValueError("no such month or day")
    return BirthDate(era=Era(digits[0]), year=year or None, month=month or None, day=day or None)


def _sex(code: str) -> Sex:
    return next((sex for sex in Sex if sex.value == code), Sex.UNKNOWN)
