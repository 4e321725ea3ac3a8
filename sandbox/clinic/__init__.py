"""The sample clinic: health records of mother and child (母子健康情報), shown to a parent who acts for the child, and
a consultation room where a doctor and a patient come with a card each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.clinic.app import create_clinic
from sandbox.clinic.settings import CLIENT_ID, HOST, NAME, PORT, ClinicSettings
from sandbox.party.key import public_jwks
from sandbox.party.settings import DETAIL, ISSUER

__all__ = [
    "CLIENT_ID",
    "HOST",
    "ISSUER",
    "NAME",
    "PORT",
    "ClinicSettings",
    "create_clinic",
    "public_jwks",
    "registration",
]


def registration(base_url: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """What the clinic hands to the broker's operator: the JSON of `broker client add --file` (RFC 7591 names)."""
    return {
        "client_id": CLIENT_ID,
        "client_name": NAME,
        "redirect_uris": [f"{base_url}/callback", f"{base_url}/consultation/callback"],
        "post_logout_redirect_uris": [f"{base_url}/signed-out"],
        "jwks": dict(jwks),
        "profile": "oidc",
        "vetted": True,
        "grant_types": ["authorization_code", "client_credentials"],
        "scope": "openid hpki joint",
        "rights": ["family_mandates", "healthcare", "mandate_questions"],
        "authorization_details_types": [DETAIL],
    }
