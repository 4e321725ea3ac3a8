"""What the bank is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

CLIENT_ID: Final = "bank"
NAME: Final = "みほん銀行（架空の銀行）"
OPENING_SCOPES: Final = (
    "name",
    "address",
    "birthdate",
    "gender",
    "profile",
    "age_over_15",
    "age_over_18",
    "age_over_20",
    "age_over_65",
)
"""What the bank may ask for when an account is opened."""
HOST: Final = "127.0.0.2"
PORT: Final = 8001
ISSUER: Final = "http://localhost:8000"


@dataclass(frozen=True, slots=True, kw_only=True)
class BankSettings:
    """`state` is the bank's own folder (key, accounts); `base_url` is how browsers reach it, without a final slash."""

    state: Path
    base_url: str = f"http://{HOST}:{PORT}"
    issuer: str = ISSUER
    client_id: str = CLIENT_ID
    issuer_ca: Path | None = None
    """PEM file of the authorities that the issuer's certificate must lead to; None for the system's."""

    def __post_init__(self) -> None:
        for url in (self.base_url, self.issuer):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.netloc or url.endswith("/"):
                raise ValueError(f"not a base address without a final slash: {url!r}")

    @property
    def host(self) -> str:
        """The Host header that this bank answers to."""
        return urlsplit(self.base_url).netloc
