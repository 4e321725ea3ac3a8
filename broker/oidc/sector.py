"""Sectors: which clients see the same pseudonym of a resident (OIDC Core §8.1, design 4.9).

Subjects themselves are random and stored; nothing derives one. A sector is an opaque id, chosen once, when a client is
registered.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

from broker.errors import InvalidClientMetadata, InvalidToken
from broker.ids import SectorID
from broker.jose import parse_json_array

MAX_URI: Final = 512


def check_sector_uri(uri: str) -> None:
    """Refuse a sector_identifier_uri that is not a plain https address (OIDC Registration §5).

    Raises InvalidClientMetadata.
    """
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError as broken:
        raise InvalidClientMetadata("sector_identifier_uri cannot be parsed") from broken
    if len(uri) > MAX_URI or not uri.isascii() or not uri.isprintable() or " " in uri:
        raise InvalidClientMetadata(f"sector_identifier_uri: ASCII, no spaces, at most {MAX_URI} characters")
    if parts.scheme != "https" or not host or "#" in uri or parts.username is not None or parts.password is not None:
        raise InvalidClientMetadata("sector_identifier_uri is https, names a host, no user and no fragment")


def check_sector_document(document: bytes, redirect_uris: Collection[str]) -> None:
    """Refuse a sector document that does not vouch for every redirect URI of the client (OIDC Registration §5).

    It is a JSON array of texts, of 16 kB at most, and nothing else; addresses are compared byte for byte.
    Raises InvalidClientMetadata.
    """
    try:
        listed = parse_json_array(document)
    except InvalidToken as broken:
        raise InvalidClientMetadata(f"sector document: {broken}") from None
    if not all(isinstance(entry, str) for entry in listed):
        raise InvalidClientMetadata("sector document: an array of texts")
    if not redirect_uris or not set(redirect_uris) <= set(listed):
        raise InvalidClientMetadata("sector document: a redirect URI of the client is missing (OIDC Registration §5)")


def choose_sector(
    own: SectorID, *, sector_identifier_uri: str | None, native: bool, approved: Mapping[str, SectorID]
) -> SectorID:
    """The sector of a new client: `own`, freshly made by chance, or a shared one that an administrator `approved`.

    The document behind the URI has been fetched and judged. A native client never shares: anybody can pretend to be
    one, and would learn who is who at the others. Raises InvalidClientMetadata.
    """
    if sector_identifier_uri is None:
        return own
    if native:
        raise InvalidClientMetadata("a native client has a sector of its own")
    check_sector_uri(sector_identifier_uri)
    if sector_identifier_uri not in approved:
        raise InvalidClientMetadata("sector_identifier_uri awaits an administrator's approval")
    return approved[sector_identifier_uri]


def check_frozen(registered: str | None, asked: str | None) -> None:
    """Refuse to move a registered client to another sector (RFC 7592 §2.2): every pseudonym would change.

    Raises InvalidClientMetadata.
    """
    if registered != asked:
        raise InvalidClientMetadata("sector_identifier_uri cannot change after registration")
