"""Names and values as a client sent them, one by one and bounded, so that `oidc` can see what stands twice."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from flask import request
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.routing import BaseConverter

from broker.errors import InvalidRequest
from broker.oidc.authorization import MAX_PARAMETERS

MAX_BODY = 64 * 1024
"""Octets; a larger body is 413 before it is read."""
FORM = "application/x-www-form-urlencoded"
_HANDLE = r"[A-Za-z0-9_-]{16,64}"


class HandleConverter(BaseConverter):
    """`<handle:…>` in a route: the base64url form of our interaction and transaction ids; all else is 404."""

    regex = _HANDLE


def is_handle(text: str | None) -> bool:
    """Could this be an id of ours? (The same rule for the query string.)"""
    return text is not None and re.fullmatch(_HANDLE, text) is not None


def query_pairs() -> list[tuple[str, str]]:
    """The query string. Raises InvalidRequest."""
    return _pairs(request.query_string)


def body_pairs() -> list[tuple[str, str]]:
    """A form body. Raises InvalidRequest, or werkzeug's 413 and 415."""
    if request.mimetype != FORM:
        raise UnsupportedMediaType
    return _pairs(request.get_data(cache=False))


def body_values() -> dict[str, str]:
    """A form of our own page: one value a name. Raises as `body_pairs`."""
    pairs = body_pairs()
    values = dict(pairs)
    if len(values) != len(pairs):
        raise InvalidRequest("a field stands twice")
    return values


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    if len(raw) > MAX_BODY:
        raise InvalidRequest("too many or too long parameters")
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError as malformed:  # too many fields, or octets that are not UTF-8
        raise InvalidRequest("parameters are too many or not UTF-8") from malformed
    if any("\x00" in name or "\x00" in value for name, value in pairs):
        raise InvalidRequest("a parameter holds NUL")  # a database may not be able to keep it
    return pairs
