"""A sample television: it has no keyboard, and logs in by a code that its owner approves where a card reader is."""

from __future__ import annotations

from typing import Any, Final

CLIENT_ID: Final = "television"
NAME: Final = "みほんテレビ（架空の機器）"
HOST: Final = "127.0.0.4"
PORT: Final = 8003
DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"


def registration(base_url: str) -> dict[str, Any]:
    """What the broker's operator is told about it: a native program with no secret (RFC 8628)."""
    return {
        "client_id": CLIENT_ID,
        "client_name": NAME,
        "application_type": "native",
        "token_endpoint_auth_method": "none",
        "grant_types": [DEVICE_CODE],
        "scope": "openid",
        "client_uri": f"{base_url}/",
        "profile": "oidc",
        "vetted": True,
    }
