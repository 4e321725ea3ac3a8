"""A service that has residents sign contracts, written to the public interface of the デジタル認証アプリ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

CLIENT_ID: Final = "sample-contracts"
REDIRECT_URI: Final = "http://127.0.0.4:8004/callback"
"""Nobody listens there: `python -m sandbox sign` is browser and service at once, and reads the address."""


def registration(jwks: Mapping[str, Any]) -> dict[str, Any]:
    """What the sandbox's broker is told about it; the rights are an operator's to grant."""
    return {
        "client_id": CLIENT_ID,
        "client_name": "見本契約サービス",
        "redirect_uris": [REDIRECT_URI],
        "grant_types": ["authorization_code", "client_credentials"],
        "scope": "openid sign",
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": dict(jwks),
        "vetted": True,
        "profile": "oidc",
        "rights": ["direct_signing", "raw_signing", "signature_verifier"],
    }
