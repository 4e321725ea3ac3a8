"""What a sample service is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

ISSUER: Final = "http://localhost:8000"
DETAIL: Final = "urn:jpki-broker:details:mandate"
"""The type of a question about a power of attorney (docs/integrators.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a service stands. Raises ValueError for what is no base address.

    `state` is its own folder; `base_url` is how browsers reach it, without a final slash.
    """

    state: Path
    base_url: str
    issuer: str = ISSUER
    issuer_ca: Path | None = None
    """PEM file of the authorities that the issuer's certificate must lead to; None for the system's."""

    def __post_init__(self) -> None:
        for url in (self.base_url, self.issuer):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.netloc or url.endswith("/"):
                raise ValueError(f"not a base address without a final slash: {url!r}")

    @property
    def host(self) -> str:
        """The Host header that this service answers to."""
        return urlsplit(self.base_url).netloc


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyPlace(Place):
    """The place of one relying party, under the name that the broker knows it by."""

    client_id: str
