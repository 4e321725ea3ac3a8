"""Names and values as a client sent them, one by one and bounded, so that `oidc` can see what stands twice."""

from __future__ import annotations

import re
from io import BytesIO

from flask import Request, request
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.routing import BaseConverter

from broker.errors import InvalidRequest
from broker.web.endpoint import FORM, pairs

_HANDLE = r"[A-Za-z0-9_-]{16,64}"


class FormRequest(Request):
    """Uploaded files stay in memory: the body is bounded, and no document of anybody's is ever written to a disk."""

    def _get_file_stream(self, *_about: object, **_more: object) -> BytesIO:
        return BytesIO()


class HandleConverter(BaseConverter):
    """`<handle:…>` in a route: the base64url form of our interaction and transaction ids; all else is 404."""

    regex = _HANDLE


def is_handle(text: str | None) -> bool:
    """Could this be an id of ours? (The same rule for the query string.)"""
    return text is not None and re.fullmatch(_HANDLE, text) is not None


def query_pairs() -> list[tuple[str, str]]:
    """The query string. Raises InvalidRequest."""
    return pairs(request.query_string)


def body_pairs() -> list[tuple[str, str]]:
    """A form body. Raises InvalidRequest, or werkzeug's 413 and 415."""
    if request.mimetype != FORM:
        raise UnsupportedMediaType
    return pairs(request.get_data(cache=False))


def body_values() -> dict[str, str]:
    """A form of our own page: one value a name. Raises as `body_pairs`."""
    pairs = body_pairs()
    values = dict(pairs)
    if len(values) != len(pairs):
        raise InvalidRequest("a field stands twice")
    return values
