"""The relying parties of the outside programs, as the broker's operator is told of them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc.jwk import ECKey

CALLBACK: Final = "http://127.0.0.5:9/callback"
LEFT: Final = "http://127.0.0.5:9/left"
"""Nobody listens there: the resident's browser stops in front of it and hands over what it would have brought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelyingParty:
    """One of them: what the broker is told, and what only the program knows."""

    client_id: str
    registration: dict[str, Any]
    jwk: Mapping[str, Any] = field(repr=False)
    """Private."""
    secret: str = field(default="", repr=False)

    def settings(self, issuer: str, **parameters: str) -> dict[str, Any]:
        """What its program is given: `parameters` go into the authorization request."""
        return {
            "issuer": issuer,
            "parameters": parameters,
            "client": {
                "client_id": self.client_id,
                "redirect_uri": CALLBACK,
                "post_logout_redirect_uri": LEFT,
                "scope": self.registration.get("scope", "openid"),
                "jwk": dict(self.jwk),
                "secret": self.secret,
            },
        }


def relying_party(client_id: str, **members: Any) -> RelyingParty:
    """With a key of its own, and a secret where it authenticates by one; None leaves a member out."""
    kid = secrets.token_hex(4)
    key = ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": "ES256"}, private=True)
    by_secret = str(members.get("token_endpoint_auth_method", "")).startswith("client_secret")
    secret = secrets.token_urlsafe(32) if by_secret else ""
    registration: dict[str, Any] = {
        "client_id": client_id,
        "client_name": client_id,
        "redirect_uris": [CALLBACK],
        "post_logout_redirect_uris": [LEFT],
        "jwks": {"keys": [key.as_dict(private=False)]},
        "profile": "oidc",
        "vetted": True,
        **({"client_secret": secret} if secret else {}),
        **members,
    }
    return RelyingParty(
        client_id=client_id,
        registration={name: value for name, value in registration.items() if value is not None},
        jwk=key.as_dict(private=True),
        secret=secret,
    )


_OFFLINE: Final = {"scope": "openid offline_access", "grant_types": ["authorization_code", "refresh_token"]}

CLIENTS: Final = {
    party.client_id: party
    for party in (
        relying_party("code"),
        relying_party("offline", **_OFFLINE),
        relying_party("authlib", token_endpoint_auth_method="client_secret_basic", jwks=None, **_OFFLINE),
        relying_party("authlib-post", token_endpoint_auth_method="client_secret_post", jwks=None, **_OFFLINE),
        relying_party("fapi2", profile="fapi2", dpop_bound_access_tokens=True, **_OFFLINE),
        relying_party(
            "machine",
            token_endpoint_auth_method="client_secret_basic",
            jwks=None,
            redirect_uris=[],
            post_logout_redirect_uris=[],
            grant_types=["client_credentials"],
        ),
        relying_party(
            "television",
            application_type="native",
            token_endpoint_auth_method="none",
            jwks=None,
            grant_types=["urn:ietf:params:oauth:grant-type:device_code"],
            redirect_uris=[],
            post_logout_redirect_uris=[],
        ),
    )
}
