"""The boxes of a form, as text: each is bounded, and a refusal names the rule and the box."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import Final, TypeVar

from broker.delegation.members import MAX_TEXT
from broker.delegation.rules import Rule
from broker.errors import PowerRefused

_MAX_DIGITS: Final = 16
_T = TypeVar("_T")


class Boxes:
    """Every method raises PowerRefused."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields

    def text(self, name: str, *, needed: bool = False) -> str:
        value = unicodedata.normalize("NFC", self._fields.get(name, "")).strip()
        if len(value) > MAX_TEXT or (needed and not value):
            raise PowerRefused(Rule.FORM, name)
        return value

    def one(self, kind: type[_T], name: str) -> _T:
        try:
            return kind(self._fields.get(name, ""))  # type: ignore[call-arg]  # an enumeration of strings
        except ValueError:
            raise PowerRefused(Rule.FORM, name) from None

    def whole(self, name: str, least: int, most: int, rule: Rule = Rule.FORM) -> int:
        """`least` where the box is empty."""
        value = self._fields.get(name, "").replace(",", "") or str(least)
        if not (value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS and least <= int(value) <= most):
            raise PowerRefused(rule, name)
        return int(value)

    def day(self, name: str, rule: Rule = Rule.TERM) -> date:
        try:
            found = date.fromisoformat(self._fields.get(name, ""))
        except ValueError:
            raise PowerRefused(rule, name) from None
        if not 1900 <= found.year <= 2200:
            raise PowerRefused(rule, name)
        return found

    def words(self, name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.text(name).replace(",", " ").replace("、", " ").split()))
