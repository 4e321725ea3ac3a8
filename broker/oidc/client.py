"""A relying party (RP) as the broker knows it: RFC 6749 §2, RFC 7591 §2, OIDC Registration §2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from broker.errors import InvalidRequest
from broker.ids import ClientID, SectorID

MAX_REDIRECT_URIS = 16
MAX_URI_LENGTH = 512
_CLIENT_ID = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_LOOPBACK = re.compile(r"127(\.(0|[1-9][0-9]{0,2})){3}")  # a literal: 127.example.com is a name like any other
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class SecurityProfile(StrEnum):
    """How strictly a client is held. `fapi2` (design 4.8) comes with PAR and DPoP; until then only this one exists."""

    OIDC = "oidc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One registered client. It authenticates with `private_key_jwt` against `jwks` (RFC 7523 §3)."""

    client_id: ClientID
    name: str
    vetted: bool
    """An operator checked who stands behind the name; else people are shown the host and 未審査."""
    profile: SecurityProfile
    redirect_uris: tuple[str, ...]
    post_logout_redirect_uris: tuple[str, ...] = ()
    jwks: Mapping[str, Any] = field(repr=False)
    sector: SectorID

    def __post_init__(self) -> None:
        if not _CLIENT_ID.fullmatch(self.client_id):
            raise InvalidRequest("client_id: 1 to 64 characters of A-Z a-z 0-9 . _ ~ -")
        if not self.name.strip() or len(self.name) > 80 or _CONTROL.search(self.name):
            raise InvalidRequest("client name: 1 to 80 characters without control or direction marks")
        if not 1 <= len(self.redirect_uris) <= MAX_REDIRECT_URIS:
            raise InvalidRequest(f"1 to {MAX_REDIRECT_URIS} redirect URIs")
        for uri in self.redirect_uris + self.post_logout_redirect_uris:
            check_redirect_uri(uri)
        keys = self.jwks.get("keys")
        if not isinstance(keys, list) or not keys:
            raise InvalidRequest("jwks: a JWK Set with at least one key")

    @property
    def host(self) -> str:
        """The host people are shown beside, or instead of, an unvetted name."""
        return urlsplit(self.redirect_uris[0]).netloc


def check_redirect_uri(uri: str) -> None:
    """Refuse what RFC 6749 §3.1.2 and RFC 9700 §2.1 do not allow to be registered. Raises InvalidRequest.

    Plain http is accepted for loopback only (RFC 8252 §7.3); matching is byte for byte later on.
    """
    if len(uri) > MAX_URI_LENGTH or not uri.isascii() or _CONTROL.search(uri) or " " in uri:
        raise InvalidRequest("redirect URI: ASCII, no spaces, at most 512 characters")
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError as broken:
        raise InvalidRequest("redirect URI cannot be parsed") from broken
    if parts.fragment or "#" in uri:
        raise InvalidRequest("redirect URI must not carry a fragment")
    if parts.username is not None or parts.password is not None or not host:
        raise InvalidRequest("redirect URI must name a host and no user")
    if parts.scheme == "https" or (parts.scheme == "http" and (host == "localhost" or _LOOPBACK.fullmatch(host))):
        return
    raise InvalidRequest("redirect URI must be https (http on loopback only)")
