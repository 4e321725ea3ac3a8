"""What the bidding service is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sandbox.party.settings import PartyPlace

CLIENT_ID: Final = "bidding"
NAME: Final = "架空県電子入札（見本）"
HOST: Final = "127.0.0.6"
PORT: Final = 8006


@dataclass(frozen=True, slots=True, kw_only=True)
class BiddingSettings(PartyPlace):
    """`state` holds the service's key and its bids."""

    base_url: str = f"http://{HOST}:{PORT}"
    client_id: str = CLIENT_ID
