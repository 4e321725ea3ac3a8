"""Resource indicators: for which resource servers a token is (RFC 8707)."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from broker.errors import InvalidTarget

MAX_RESOURCES: Final = 8
MAX_LENGTH: Final = 512
_URI: Final = re.compile(  # RFC 3986: a scheme, and no character that must be escaped
    r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?@!$&'()*+,;=\[\]-]|%[0-9A-Fa-f]{2})+"
)


def check_indicator(uri: str) -> None:
    """Refuse what is no absolute URI without a fragment (RFC 8707 §2, RFC 3986 §4.3). Raises InvalidTarget."""
    if len(uri) > MAX_LENGTH or not _URI.fullmatch(uri):
        raise InvalidTarget("a resource is an absolute URI without a fragment")
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError as broken:
        raise InvalidTarget("a resource cannot be parsed") from broken
    if parts.scheme in {"http", "https"} and not host:
        raise InvalidTarget("a resource names no host")
    if parts.username is not None or parts.password is not None:
        raise InvalidTarget("a resource names a user")


def parse(text: str, *, known: Collection[str]) -> tuple[str, ...]:
    """The resources asked for, each once, in their order; `text` is the parameter's values joined by spaces.

    `known` are those that both the server and the client have. They are compared byte for byte. Raises InvalidTarget.
    """
    asked = tuple(dict.fromkeys(text.split(" "))) if text else ()
    if len(asked) > MAX_RESOURCES:
        raise InvalidTarget(f"at most {MAX_RESOURCES} resources")
    for uri in asked:
        check_indicator(uri)
        if uri not in known:
            raise InvalidTarget("a resource that this client cannot have tokens for")
    return asked


def narrow(granted: tuple[str, ...], asked: tuple[str, ...]) -> tuple[str, ...]:
    """The resources of one access token (RFC 8707 §2.2): all that were granted, or the `asked` ones among them.

    A grant without resources is for the broker's own endpoints and grows none at the token endpoint.
    Raises InvalidTarget.
    """
    if not set(asked) <= set(granted):
        raise InvalidTarget("a resource beyond what was granted")
    return asked or granted
