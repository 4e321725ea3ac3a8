"""The sample e-bidding service of a prefecture: who logs in bids only within the power that their company gave them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.bidding.app import create_bidding
from sandbox.bidding.settings import CLIENT_ID, HOST, NAME, PORT, BiddingSettings
from sandbox.party.key import public_jwks
from sandbox.party.settings import DETAIL, ISSUER

__all__ = [
    "CLIENT_ID",
    "HOST",
    "ISSUER",
    "NAME",
    "PORT",
    "BiddingSettings",
    "create_bidding",
    "public_jwks",
    "registration",
]


def registration(base_url: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """What the service hands to the broker's operator: the JSON of `broker client add --file` (RFC 7591 names)."""
    return {
        "client_id": CLIENT_ID,
        "client_name": NAME,
        "redirect_uris": [f"{base_url}/callback"],
        "post_logout_redirect_uris": [f"{base_url}/signed-out"],
        "jwks": dict(jwks),
        "profile": "oidc",
        "vetted": True,
        "scope": "openid",
        "rights": ["mandate_questions"],
        "authorization_details_types": [DETAIL],
    }
