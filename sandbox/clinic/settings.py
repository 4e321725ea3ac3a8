"""What the clinic is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sandbox.party.settings import PartyPlace

CLIENT_ID: Final = "clinic"
NAME: Final = "見本クリニック（架空の診療所）"
HOST: Final = "127.0.0.5"
PORT: Final = 8005


@dataclass(frozen=True, slots=True, kw_only=True)
class ClinicSettings(PartyPlace):
    """`state` holds the clinic's key and its records."""

    base_url: str = f"http://{HOST}:{PORT}"
    client_id: str = CLIENT_ID
