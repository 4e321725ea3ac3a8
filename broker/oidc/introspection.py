"""What is told about a token (RFC 7662 §2.2), and to whom."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import urlsplit

from broker.oidc.client import Client
from broker.oidc.grants import Grant
from broker.oidc.refresh import RefreshToken
from broker.oidc.tokens import AccessToken

INACTIVE: Final[dict[str, Any]] = {"active": False}
"""All that is said about a token that is unknown, ended, or none of the asker's business (RFC 7662 §2.2)."""


def may_know(client: Client, token: AccessToken) -> bool:
    """Whether the token is the client's own, or for it: a resource server is a client that an operator has vetted,
    and its `client_uri` says where its resources are.
    """
    if token.client_id == client.client_id:
        return True
    if not client.vetted or client.client_uri is None:
        return False
    return any(_origin(uri) == _origin(client.client_uri) for uri in token.audience)


def _origin(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    return (parts.scheme, parts.netloc) if parts.netloc else (uri, "")


def of_access_token(token: AccessToken, grant: Grant | None, *, issuer: str) -> dict[str, Any]:
    """RFC 7662 §2.2, with the confirmation of RFC 7800, `acr` and `auth_time` (RFC 9470 §6.2)."""
    told: dict[str, Any] = {
        "active": True,
        "iss": issuer,
        "sub": token.subject,
        "aud": token.audience[0] if len(token.audience) == 1 else list(token.audience),
        "client_id": token.client_id,
        "jti": token.jti,
        "token_type": token.type,
        "iat": int(token.issued_at.timestamp()),
        "exp": int(token.expires_at.timestamp()),
    }
    if token.scope:
        told["scope"] = " ".join(sorted(token.scope))
    if token.confirmation:
        told["cnf"] = token.confirmation
    if token.authorization_details:
        told["authorization_details"] = json.loads(token.authorization_details)
    if token.actor:
        told["act"] = json.loads(token.actor)  # RFC 8693 §4.1
    if grant is not None:
        told["auth_time"] = int(grant.authentication.time.timestamp())
        if grant.authentication.acr is not None:
            told["acr"] = grant.authentication.acr
    return told


def of_refresh_token(token: RefreshToken, grant: Grant) -> dict[str, Any]:
    """For its own client alone."""
    return {
        "active": True,
        "sub": grant.subject,
        "client_id": grant.client_id,
        "scope": " ".join(sorted(grant.scope)),
        "iat": int(token.issued_at.timestamp()),
        "exp": int(token.expires_at.timestamp()),
    }
