"""Whose a 商業登記 certificate is: the corporation and its representative, as the registrar states them.

They stand in an extension of the Ministry of Justice's own (registeredCorporationInfo). The number there is the
registry's of twelve digits (会社法人等番号); a corporation's thirteen (法人番号) are that with a check digit in front.
Names may be spelt with substitutes for rare characters, so a corporation is compared by its number and never by its
name (delegation, 1.4).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509

from broker.errors import CertificateMalformed
from broker.jpki import der
from broker.jpki.certificate import parse

OID: Final = "1.2.392.100300.1.1.3"
_MAX_TEXT: Final = 300
_NUMBER: Final = re.compile(r"[0-9]{12}\Z")
_UTF8, _PRINTABLE = 0x0C, 0x13
_NAMES: Final = ("name", "number", "address", "representative", "title")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredCorporation:
    """What the registrar states. `number` is the registry's, of twelve digits."""

    name: str
    number: str
    address: str = field(repr=False)
    representative: str = field(repr=False)
    title: str = ""

    def is_number(self, corporate_number: str) -> bool:
        """Whether a 法人番号 (thirteen digits, its check digit judged elsewhere) is this corporation's."""
        return len(corporate_number) == 13 and corporate_number[1:] == self.number


def registered(certificate: bytes) -> RegisteredCorporation | None:
    """What stands in `certificate` (DER); None where it has no such extension. Raises CertificateMalformed."""
    found = [
        each.value
        for each in parse(certificate).x509.extensions
        if each.oid.dotted_string == OID and isinstance(each.value, x509.UnrecognizedExtension)
    ]
    if not found:
        return None
    try:
        told = dict(_members(found[0].value))
        return RegisteredCorporation(**{name: told.get(place, "") for place, name in enumerate(_NAMES)})
    except (ValueError, UnicodeDecodeError, TypeError):
        raise CertificateMalformed("registeredCorporationInfo cannot be read") from None


def _members(value: bytes) -> list[tuple[int, str]]:
    """Place and text: each is tagged with its place, explicitly. Raises ValueError."""
    told = []
    for each in der.whole(value, der.SEQUENCE).children():
        (text,) = each.children()
        place = each.tag - 0xA0
        if not 0 <= place < 16 or text.tag not in {_UTF8, _PRINTABLE} or len(text.value) > _MAX_TEXT * 4:
            raise ValueError("a member of another form")
        told.append((place, text.value.decode("utf-8")))
    places = [place for place, _ in told]
    if places != sorted(set(places)) or not {0, 1, 3} <= set(places) or not _NUMBER.match(dict(told)[1]):
        raise ValueError("a member twice, or a name, the number or the representative missing")
    return told
