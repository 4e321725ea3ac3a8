"""What the bank is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sandbox.party.settings import PartyPlace

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


@dataclass(frozen=True, slots=True, kw_only=True)
class BankSettings(PartyPlace):
    """`state` holds the bank's key and accounts."""

    base_url: str = f"http://{HOST}:{PORT}"
    client_id: str = CLIENT_ID
