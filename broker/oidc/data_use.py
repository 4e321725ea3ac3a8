"""What a client does with each item it receives: its own words on purpose and retention, shown before anybody agrees.

Registered as the metadata member `data_use`, an object by item (a scope that people agree to). The words are the
client's, so they are bounded here and shown as text wherever they stand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from broker.errors import InvalidClientMetadata

MAX_ITEMS: Final = 16
MAX_WORDS: Final = 200
"""Characters of each text."""
_ITEM: Final = re.compile(r"[a-z_]{1,40}")
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_WORDS: Final = ("purpose", "retention", "purpose_en", "retention_en")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataUse:
    """One item. English words may be left out; then people are shown the Japanese ones, marked as such.

    Raises InvalidClientMetadata for words that are missing, too long, or hold characters nobody sees.
    """

    item: str
    purpose: str
    retention: str
    purpose_en: str = ""
    retention_en: str = ""
    optional: bool = False
    """People may leave it out and use the service all the same."""

    def __post_init__(self) -> None:
        if not _ITEM.fullmatch(self.item):
            raise InvalidClientMetadata("data_use: an item is the name of a scope")
        for name in _WORDS:
            text = getattr(self, name)
            if len(text) > MAX_WORDS or _UNSEEN.search(text) or (not text.strip() and not name.endswith("_en")):
                raise InvalidClientMetadata(f"data_use: {name}: 1 to {MAX_WORDS} characters that can be seen")

    def words(self, language: str) -> tuple[str, str]:
        """Purpose and retention for a page in `language`."""
        if language == "en":
            return self.purpose_en or self.purpose, self.retention_en or self.retention
        return self.purpose, self.retention


def read(member: str, value: Any) -> tuple[DataUse, ...]:
    """The member's object, in the order of its names. Raises InvalidClientMetadata."""
    if not isinstance(value, dict) or len(value) > MAX_ITEMS:
        raise InvalidClientMetadata(f"{member}: an object of at most {MAX_ITEMS} items")
    return tuple(_read(member, item, value[item]) for item in sorted(value))


def _read(member: str, item: str, value: Any) -> DataUse:
    if not isinstance(value, dict) or value.keys() - {*_WORDS, "optional"}:
        raise InvalidClientMetadata(f"{member}: of an item: {', '.join(_WORDS)}, optional")
    if not all(isinstance(value.get(name, ""), str) for name in _WORDS) or not isinstance(
        value.get("optional", False), bool
    ):
        raise InvalidClientMetadata(f"{member}: texts, and optional is true or false")
    words: Mapping[str, str] = {name: value.get(name, "") for name in _WORDS}
    return DataUse(item=item, optional=value.get("optional", False), **words)


def tell(uses: tuple[DataUse, ...]) -> dict[str, Any]:
    """As `read` reads it."""
    told: dict[str, Any] = {}
    for use in uses:
        words = {name: getattr(use, name) for name in _WORDS if getattr(use, name)}
        told[use.item] = {**words, "optional": True} if use.optional else words
    return told
