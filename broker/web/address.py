"""From which network somebody calls, as far as that is known: for counting tries, and for comparing two calls."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Mapping
from typing import Any, Final

_PREFIX: Final = 64
"""Bits of an IPv6 address that a household shares; the rest changes from hour to hour (RFC 8981)."""

_LONGEST: Final = 45
"""Characters of an IPv6 address that ends in an IPv4 one (RFC 4291 §2.2)."""


def environ_name(header: str) -> str:
    """Under which name WSGI hands on a header; empty for none."""
    return f"HTTP_{header.upper().replace('-', '_')}" if header else ""


def caller(environ: Mapping[str, Any], *, header: str) -> str | None:
    """The address of the caller, for IPv6 its network. None where it is not known: on loopback stands only the front.

    `header` is the environ's name of what the front on this machine states; empty where there is none.
    """
    stated = environ.get(header) if header else environ.get("REMOTE_ADDR")
    written = str(stated or "").strip().partition("%")[0]
    return _network(written) if len(written) <= _LONGEST else None


@functools.lru_cache(maxsize=1024)
def _network(written: str) -> str | None:
    """Remembered: one browser asks several times."""
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return None if address.is_loopback else str(ipaddress.ip_network((address, _PREFIX), strict=False))
        address = address.ipv4_mapped
    return None if address.is_loopback else str(address)
