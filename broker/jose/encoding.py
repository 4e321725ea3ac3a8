"""Base64url and JSON as JOSE wants them, and nothing else: every text has one spelling (RFC 7515 §2, 8259, 8725)."""

from __future__ import annotations

import base64
import json
import math
import re
from typing import Any, Final, NoReturn

from broker.errors import InvalidToken

MAX_TOKEN: Final = 16 * 1024
MAX_DEPTH: Final = 16
_DATES: Final = ("exp", "nbf", "iat", "auth_time")
_LATEST: Final = 253_402_300_799  # the last second of the year 9999
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


# Whole groups of four, then nothing, or two or three characters whose last carries no bits of its own (RFC 4648 §3.5).
_BASE64URL: Final = re.compile(
    r"(?:[A-Za-z0-9_-]{4})*+(?:[A-Za-z0-9_-][AQgw]|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])?\Z", re.ASCII
)
_PADDING: Final = ("", "", "==", "=")


def b64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def b64url_decode(text: str) -> bytes:
    """The bytes of unpadded base64url `text`; only their one canonical spelling passes. Raises InvalidToken."""
    if not _BASE64URL.match(text):
        raise InvalidToken("not the canonical base64url of anything")
    return base64.urlsafe_b64decode(text + _PADDING[len(text) % 4])


def parse_json(data: bytes, *, limit: int = MAX_TOKEN) -> dict[str, Any]:
    """A JSON object (RFC 8259, UTF-8) of at most `limit` octets: no member twice, no NaN, lone surrogate or deep
    nesting. Raises InvalidToken.
    """
    value = _parse(data, limit)
    if not isinstance(value, dict):
        raise InvalidToken("JSON is not an object")
    return value


def parse_json_array(data: bytes) -> list[Any]:
    """A JSON array, as strictly read as `parse_json` reads an object. Raises InvalidToken."""
    value = _parse(data, MAX_TOKEN)
    if not isinstance(value, list):
        raise InvalidToken("JSON is not an array")
    return value


def _parse(data: bytes, limit: int) -> Any:
    if len(data) > limit:
        raise InvalidToken("JSON is too long")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidToken("JSON is not UTF-8") from None
    _check_depth(text)
    try:
        value = _decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidToken("JSON holds half of a surrogate pair") from None
    except (ValueError, RecursionError):
        raise InvalidToken("not JSON") from None
    return value


def _check_depth(text: str) -> None:
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return
    depth = 0
    for character in _STRING.sub("", text):
        if character in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise InvalidToken("JSON is nested too deeply")
        elif character in "}]":
            depth -= 1


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidToken("JSON holds a member twice")
    return members


def _no_constant(_name: str) -> NoReturn:
    raise InvalidToken("JSON holds a number that is none")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise InvalidToken("JSON holds a number out of range")
    return value


_decode: Final = json.JSONDecoder(
    object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite
).decode


_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def parse_claims(payload: bytes) -> dict[str, Any]:
    """The claims set (RFC 7519 §4) in `payload`; `exp`, `nbf`, `iat` and `auth_time` are numbers. Raises InvalidToken.

    Judges form only: whether a date lies in the future is the caller's question.
    """
    claims = parse_json(payload)
    for name in _DATES:
        value = claims.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
            raise InvalidToken(f"{name} is not a NumericDate")
    return claims


def compact_json(value: Any) -> bytes:
    """`value` as JSON without white space, in UTF-8, members in their order."""
    return _encode(value).encode("utf-8")
