"""One object of what a principal signs, member by member: read strictly, and written canonically (RFC 8785)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Final, TypeVar

from broker.delegation.rules import Rule
from broker.errors import PowerRefused
from broker.jose import compact_json

MAX_BYTES: Final = 32 * 1024
"""Of all that is signed."""
MAX_ENTRIES: Final = 64
MAX_TEXT: Final = 300
JST: Final = timezone(timedelta(hours=9))
NUMBER: Final = re.compile(r"[A-Za-z0-9_-]{22,64}\Z")  # 128 random bits or more
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\+09:00\Z", re.ASCII)
_T = TypeVar("_T")


class Members:
    """One object of the document: each member is taken once, and none may be left."""

    def __init__(self, members: Any, where: str = "") -> None:
        if not isinstance(members, dict):
            raise PowerRefused(Rule.FORM, where)
        self._left: dict[str, Any] = dict(members)
        self._where = where

    def at(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name

    def of(self, name: str) -> Any:
        try:
            return self._left.pop(name)
        except KeyError:
            raise PowerRefused(Rule.FORM, self.at(name)) from None

    def optional(self, name: str, reader: Callable[[Any, str], _T]) -> _T | None:
        return reader(self._left.pop(name), self.at(name)) if name in self._left else None

    def text(self, name: str) -> str:
        return _text(self.of(name), self.at(name))

    def matching(self, name: str, pattern: re.Pattern[str]) -> str:
        value = self.of(name)
        if not isinstance(value, str) or pattern.match(value) is None:
            raise PowerRefused(Rule.FORM, self.at(name))
        return value

    def one(self, kind: Callable[[Any], _T], name: str) -> _T:
        return one_of(kind, self.of(name), self.at(name))

    def flag(self, name: str) -> bool:
        value = self.of(name)
        if not isinstance(value, bool):
            raise PowerRefused(Rule.FORM, self.at(name))
        return value

    def whole(self, name: str, least: int, most: int, rule: Rule = Rule.FORM) -> int:
        value = self.of(name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise PowerRefused(rule, self.at(name))
        return value

    def part(self, name: str) -> Members:
        return Members(self.of(name), self.at(name))

    def parts(self, name: str, most: int) -> tuple[Members, ...]:
        where = self.at(name)
        return tuple(Members(each, f"{where}.{n}") for n, each in enumerate(_array(self.of(name), where, most)))

    def texts(self, name: str, most: int = MAX_ENTRIES) -> tuple[str, ...]:
        where = self.at(name)
        texts = tuple(_text(each, where) for each in _array(self.of(name), where, most))
        if len(set(texts)) != len(texts):
            raise PowerRefused(Rule.FORM, where)
        return texts

    def has(self, name: str) -> bool:
        return name in self._left

    def done(self) -> None:
        if self._left:
            raise PowerRefused(Rule.FORM, self.at(min(self._left)))


def _array(value: Any, where: str, most: int) -> list[Any]:
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        raise PowerRefused(Rule.FORM, where)
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT or value != value.strip():
        raise PowerRefused(Rule.FORM, where)
    if any(ord(each) < 0x20 or 0x7F <= ord(each) < 0xA0 or 0xD800 <= ord(each) < 0xE000 for each in value):
        raise PowerRefused(Rule.FORM, where)
    return value


def one_of(kind: Callable[[Any], _T], value: Any, where: str) -> _T:
    """Raises PowerRefused where `kind` raises ValueError."""
    try:
        return kind(value)
    except ValueError:
        raise PowerRefused(Rule.FORM, where) from None


def number_of(value: Any, where: str) -> str:
    """A mandate's number. Raises PowerRefused."""
    if not isinstance(value, str) or NUMBER.match(value) is None:
        raise PowerRefused(Rule.FORM, where)
    return value


def moment_of(value: Any, where: str) -> datetime:
    """RFC 3339 in Japanese time, to the second, in one spelling."""
    if not isinstance(value, str) or _TIME.match(value) is None:
        raise PowerRefused(Rule.FORM, where)
    return one_of(datetime.fromisoformat, value, where)


def canonical(document: Mapping[str, Any]) -> bytes:
    """RFC 8785, for what stands in grants: ASCII names of members, texts, whole numbers, booleans."""
    return compact_json(json.loads(json.dumps(document, sort_keys=True)))


def stamp(moment: datetime) -> str:
    """As times stand in a grant: Japanese time, to the second."""
    return moment.astimezone(JST).replace(microsecond=0).isoformat()


def present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
