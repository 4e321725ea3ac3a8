"""What residents register once and give to the services they choose: in their own words, and verified by nobody.

An attribute is a scope of its own; a client that asks for it shows purpose and retention like for every item. Values
are the person's alone: sealed at rest, told in userinfo while the consent lasts, changed and removed at any time.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from broker.accounts import individual_number
from broker.errors import FieldRefused

_INVISIBLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_PHONE: Final = r"0[0-9](?:[ -]?[0-9]){8,9}|\+[1-9](?:[ -]?[0-9]){7,14}"  # in Japan, or E.164


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One box of a form. `choices` are the values of a selection; none: free text."""

    name: str
    longest: int
    choices: tuple[str, ...] = ()
    pattern: str = ""
    """What free text must be, where any text will not do; after NFKC."""
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One thing that can be registered. `name` is the scope that asks for it, `claim` what it is called in userinfo."""

    name: str
    claim: str
    fields: tuple[Field, ...]


ATTRIBUTES: Final = (
    Attribute(
        name="language",
        claim="locale",  # OIDC Core §5.1
        fields=(
            Field(
                name="language",
                longest=8,
                choices=("ja", "ja-Hira", "en", "zh-Hans", "zh-Hant", "ko", "vi", "pt", "es", "tl", "ne", "id"),
            ),
        ),
    ),
    Attribute(
        name="called",
        claim="nickname",  # OIDC Core §5.1
        fields=(Field(name="called", longest=40),),
    ),
    Attribute(
        name="communication",
        claim="urn:jpki-broker:claim:communication",
        fields=(
            Field(
                name="communication",
                longest=16,
                choices=("speech", "writing", "sign_language", "large_print", "plain_words", "braille"),
            ),
            Field(name="communication_note", longest=200, required=False),
        ),
    ),
    Attribute(
        name="dietary_needs",
        claim="urn:jpki-broker:claim:dietary_needs",
        fields=(Field(name="dietary_needs", longest=200),),
    ),
    Attribute(
        name="emergency_contact",
        claim="urn:jpki-broker:claim:emergency_contact",
        fields=(
            Field(name="emergency_name", longest=60),
            Field(name="emergency_relation", longest=40, required=False),
            Field(name="emergency_phone", longest=20, pattern=_PHONE),
        ),
    ),
)
BY_NAME: Final[Mapping[str, Attribute]] = {attribute.name: attribute for attribute in ATTRIBUTES}
SCOPES: Final = frozenset(BY_NAME)


def checked(attribute: Attribute, given: Mapping[str, str]) -> dict[str, str]:
    """The values of one form, tidied. Raises FieldRefused, which names the first box that cannot be taken and why.

    Text is NFKC where a pattern holds it, else as it was typed in one line; what nobody sees is refused, and so is
    anything that reads like a 12-digit Individual Number (design 4.22).
    """
    values = {}
    for box in attribute.fields:
        typed = given.get(box.name, "").strip()
        if box.pattern:
            typed = unicodedata.normalize("NFKC", typed)
        reason = _fault(box, typed)
        if reason:
            raise FieldRefused(box.name, reason)
        if typed:
            values[box.name] = typed
    return values


def _fault(box: Field, typed: str) -> str:
    if not typed:
        return "empty" if box.required else ""
    if box.choices:
        return "" if typed in box.choices else "choice"
    if len(typed) > box.longest:
        return "long"
    if _INVISIBLE.search(typed) or any(unicodedata.category(sign) in {"Cs", "Co", "Cn"} for sign in typed):
        return "signs"
    if box.pattern:  # twelve digits after a plus are a telephone number abroad
        return "" if re.fullmatch(box.pattern, typed) else "form"
    return "individual_number" if individual_number.holds_one(typed) else ""


def to_bytes(values: Mapping[str, str]) -> bytes:
    """What is sealed."""
    return json.dumps(dict(values), ensure_ascii=False, separators=(",", ":")).encode()


def from_bytes(stored: bytes) -> dict[str, str]:
    """What `to_bytes` wrote."""
    values = json.loads(stored)
    return {str(name): str(value) for name, value in values.items()}


def told(attribute: Attribute, values: Mapping[str, str]) -> str | dict[str, str]:
    """As it stands in userinfo: the value alone where the attribute has one box, else an object of its boxes."""
    if len(attribute.fields) == 1:
        return values[attribute.fields[0].name]
    short = {box.name: box.name.rpartition("_")[2] for box in attribute.fields}
    return {short[name]: value for name, value in values.items()}


def context_of(account: str, name: str) -> bytes:
    """What a sealed value is bound to: it opens for this account and attribute alone."""
    return f"attribute\x00{account}\x00{name}".encode()
