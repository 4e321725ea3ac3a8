"""The keys of clients: what a registered or published JWK Set must be, and how long a published one may be kept.

RFC 7517 §5, OIDC Core §10.1.1, OIDC Registration §2. Fetching is the shell's; when to fetch is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from broker.errors import InvalidClientMetadata, InvalidToken
from broker.jose import PRIVATE_MEMBERS, compact_json, load_public_key, parse_json

MAX_CLIENT_KEYS: Final = 20
MAX_REGISTERED: Final = 32 * 1024
"""Octets of a JWK Set that is registered itself."""
MAX_PUBLISHED: Final = 64 * 1024
"""Octets of the document at a jwks_uri."""
FRESH: Final = timedelta(minutes=5)
"""How long a published set is used unasked."""
AGAIN: Final = timedelta(minutes=1)
"""A key that nobody knows makes us ask again, at most this often."""
PAUSE: Final = timedelta(seconds=10)
"""After a failure with nothing to fall back on."""
STALE: Final = timedelta(hours=1)
"""How old a set may become while the client's server does not answer."""
_USES: Final = frozenset({"sig", "enc"})


# --- what a set must be ----------------------------------------------------------------------------------------------


def check_jwks(jwks: Mapping[str, Any]) -> None:
    """Refuse a set that is not 1 to 20 public keys within our limits, each `kid` once. Raises InvalidClientMetadata."""
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not 1 <= len(keys) <= MAX_CLIENT_KEYS:
        raise InvalidClientMetadata(f"jwks: 1 to {MAX_CLIENT_KEYS} keys")
    if len(compact_json(jwks)) > MAX_REGISTERED:
        raise InvalidClientMetadata(f"jwks: at most {MAX_REGISTERED} octets")
    for jwk in keys:
        if not isinstance(jwk, dict) or _is_private(jwk):
            raise InvalidClientMetadata("jwks: public keys only")
        _check_limits(jwk)
        try:
            load_public_key(jwk)
        except InvalidToken as invalid:
            raise InvalidClientMetadata(f"jwks: {invalid}") from None
    kids = [jwk["kid"] for jwk in keys if "kid" in jwk]
    if len(set(kids)) != len(kids):
        raise InvalidClientMetadata("jwks: each kid once")


def _is_private(jwk: Mapping[str, Any]) -> bool:
    return jwk.get("kty") == "oct" or bool(PRIVATE_MEMBERS & jwk.keys())


def _check_limits(jwk: Mapping[str, Any]) -> None:
    """RFC 7517 §4.2 to §4.5, as far as they decide what a key is for."""
    operations = jwk.get("key_ops", [])
    if not isinstance(operations, list) or not all(isinstance(entry, str) for entry in operations):
        raise InvalidClientMetadata("jwks: key_ops is a list of texts")
    if not all(isinstance(jwk.get(name, ""), str) for name in ("use", "alg", "kid")):
        raise InvalidClientMetadata("jwks: use, alg and kid are texts")
    if jwk.get("use", "sig") not in _USES:
        raise InvalidClientMetadata("jwks: use is sig or enc")


def read_published(document: bytes) -> Mapping[str, Any]:
    """The usable keys of what stands at a jwks_uri; those of a kind unknown here are left out (RFC 7517 §5).

    A set with a private key in it is no secret's home: refused as a whole. Raises InvalidToken.
    """
    keys = parse_json(document, limit=MAX_PUBLISHED).get("keys")
    if not isinstance(keys, list) or len(keys) > MAX_CLIENT_KEYS or not all(isinstance(jwk, dict) for jwk in keys):
        raise InvalidToken(f"not a JWK Set of at most {MAX_CLIENT_KEYS} keys")
    if any(_is_private(jwk) for jwk in keys):
        raise InvalidToken("a private key is published")
    return {"keys": [jwk for jwk in keys if _is_usable(jwk)]}


def _is_usable(jwk: Mapping[str, Any]) -> bool:
    try:
        _check_limits(jwk)
        load_public_key(jwk)
    except (InvalidToken, InvalidClientMetadata):
        return False
    return True


# --- how long it may be kept -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A set as it stood at a jwks_uri."""

    jwks: Mapping[str, Any] = field(repr=False)
    fetched_at: datetime


def must_fetch(held: Published | None, *, kid: str | None, tried_at: datetime | None, now: datetime) -> bool:
    """Whether the address is asked now. `tried_at` is the last time it was, with or without an answer.

    A clock that was set back asks again.
    """
    pause = PAUSE if held is None else AGAIN
    if tried_at is not None and tried_at <= now < tried_at + pause:
        return False
    if held is None or not held.fetched_at <= now < held.fetched_at + FRESH:
        return True
    return kid is not None and all(jwk.get("kid") != kid for jwk in held.jwks["keys"])


def still_good(held: Published | None, *, now: datetime) -> Mapping[str, Any]:
    """The set to use when nothing newer came. Raises InvalidToken: there is none, or it is too old."""
    if held is None or now >= held.fetched_at + STALE:
        raise InvalidToken("the client's keys cannot be had from its jwks_uri")
    return held.jwks
