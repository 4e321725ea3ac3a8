"""Rich authorization requests: the `authorization_details` parameter (RFC 9396).

A type belongs to whoever serves it: it is a row of a registry with a check of its own. Here stands what holds for all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from broker.errors import InvalidAuthorizationDetails, InvalidToken
from broker.jose import compact_json, parse_json, parse_json_array
from broker.oidc import mandate_question
from broker.oidc.mandate_question import MandateQuestion

MAX_LENGTH: Final = 8 * 1024
"""Octets."""
_MAX_STORED: Final = 2 * MAX_LENGTH
"""With what has been added since: pins."""
MAX_DETAILS: Final = 16
MAX_ENTRIES: Final = 32
MAX_TEXT: Final = 512
"""Characters of a common field's value."""
_LISTS: Final = frozenset({"locations", "actions", "datatypes", "privileges"})  # RFC 9396 §2.2
_TEXTS: Final = frozenset({"type", "identifier"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """One object of the array; equal where all its members are, in whatever order they came."""

    type: str
    json: str
    """All members, `type` too, sorted."""

    @property
    def members(self) -> dict[str, Any]:
        """The object; a fresh copy."""
        return parse_json(self.json.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailType:
    """A type that the server understands."""

    check: Callable[[Mapping[str, Any]], None]
    """Raises InvalidAuthorizationDetails for unknown or missing fields and wrong values (RFC 9396 §5)."""
    covers: Callable[[Mapping[str, Any], Mapping[str, Any]], bool] | None = None
    """Whether what was granted (first) includes what is asked now (second); None: `narrower` decides."""


Registry: TypeAlias = Mapping[str, DetailType]

TYPES: Final[Registry] = MappingProxyType(
    {mandate_question.TYPE: DetailType(check=mandate_question.check, covers=mandate_question.covers)}
)
"""The types served. Their names are the metadata's `authorization_details_types_supported`."""


def parse(text: str, *, allowed: Collection[str], types: Registry = TYPES) -> tuple[Detail, ...]:
    """The details that the parameter's `text` asks for, each of a type served and `allowed` to the client.

    Raises InvalidAuthorizationDetails (RFC 9396 §5). The same object twice is one.
    """
    details = tuple(dict.fromkeys(_detail(given) for given in _array(text)))
    if len(to_json(details).encode()) > MAX_LENGTH:  # numbers can be longer in full than they were written
        raise InvalidAuthorizationDetails(f"at most {MAX_LENGTH} octets")
    for detail in details:
        if detail.type not in types:
            raise InvalidAuthorizationDetails("of a type that is not served")
        if detail.type not in allowed:
            raise InvalidAuthorizationDetails("of a type that this client is not registered for")
        types[detail.type].check(detail.members)
    return details


def _array(text: str, *, longest: int = MAX_LENGTH) -> list[Any]:
    data = text.encode("utf-8", "surrogatepass")
    if len(data) > longest:
        raise InvalidAuthorizationDetails(f"at most {longest} octets")
    try:
        given = parse_json_array(data)
    except InvalidToken as broken:
        raise InvalidAuthorizationDetails(str(broken)) from None
    if not 1 <= len(given) <= MAX_DETAILS:
        raise InvalidAuthorizationDetails(f"an array of 1 to {MAX_DETAILS} objects")
    return given


def _detail(given: Any) -> Detail:
    if not isinstance(given, dict):
        raise InvalidAuthorizationDetails("an array of objects")
    if "type" not in given:
        raise InvalidAuthorizationDetails("without a type")
    for name in _TEXTS & given.keys():
        _check_text(name, given[name])
    for name in _LISTS & given.keys():
        entries = given[name]
        if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_ENTRIES:
            raise InvalidAuthorizationDetails(f"{name} is an array of 1 to {MAX_ENTRIES} texts")
        for entry in entries:
            _check_text(name, entry)
    return Detail(type=given["type"], json=_canonical(given))


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT:
        raise InvalidAuthorizationDetails(f"{name} holds something else than a text of 1 to {MAX_TEXT} characters")


def _canonical(value: Any) -> str:
    return compact_json(_sorted(value)).decode()


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_sorted(entry) for entry in value]
    return value


def narrow(granted: tuple[Detail, ...], asked: tuple[Detail, ...], *, types: Registry = TYPES) -> tuple[Detail, ...]:
    """The details for one access token (RFC 9396 §6.1): all that were granted, or the `asked` ones among them.

    Raises InvalidAuthorizationDetails where one of the asked is not covered by any that was granted.
    """
    for detail in asked:
        if not any(_covers(whole, detail, types) for whole in granted):
            raise InvalidAuthorizationDetails("more than was granted")
    return asked or granted


def _covers(granted: Detail, asked: Detail, types: Registry) -> bool:
    if granted.type != asked.type or granted.type not in types:
        return False
    rule = types[granted.type].covers or narrower
    return rule(granted.members, asked.members)


def narrower(granted: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether `asked` is `granted` with fewer entries in the common lists, and all else the same.

    A list left out is not fewer: what its absence means is known to its type alone.
    """
    if granted.keys() != asked.keys():
        return False
    return all(
        set(asked[name]) <= set(value) if name in _LISTS else _canonical(asked[name]) == _canonical(value)
        for name, value in granted.items()
    )


def with_members(detail: Detail, **members: Any) -> Detail:
    """The same object with `members` added or replaced; one that is None is left out."""
    told = {name: value for name, value in (detail.members | members).items() if value is not None}
    return Detail(type=detail.type, json=_canonical(told))


def questions(text: str) -> tuple[MandateQuestion, ...]:
    """The questions about mandates among the details that `to_json` wrote."""
    return tuple(
        mandate_question.read(detail.members) for detail in from_json(text) if detail.type == mandate_question.TYPE
    )


def to_json(details: tuple[Detail, ...]) -> str:
    """For storage, token and introspection answers (RFC 9396 §7, §9); empty for none."""
    return f"[{','.join(detail.json for detail in details)}]" if details else ""


def from_json(text: str) -> tuple[Detail, ...]:
    """What `to_json` wrote; types are not judged again. Raises InvalidAuthorizationDetails if it did not write it."""
    return tuple(_detail(given) for given in _array(text, longest=_MAX_STORED)) if text else ()
