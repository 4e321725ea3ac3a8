"""Claims of the tokens the broker signs: ID token (OIDC Core §2) and JWT access token (RFC 9068 §2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from broker.errors import InvalidAccessToken
from broker.ids import AccountID, ClientID, Subject
from broker.oidc.grants import Grant

ID_TOKEN_LIFETIME = timedelta(minutes=5)
ACCESS_TOKEN_LIFETIME = timedelta(minutes=10)
ACCESS_TOKEN_TYPE = "at+jwt"  # noqa: S105 -- RFC 9068 §2.1, a media type and no secret


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """An issued access token as stored: its `jti`, never the token itself."""

    jti: str
    client_id: ClientID
    account: AccountID = field(repr=False)
    subject: Subject = field(repr=False)
    scope: frozenset[str]
    issued_at: datetime
    expires_at: datetime
    code_digest: bytes = field(repr=False)
    """The code it came from, so that a replayed code can end it (RFC 6749 §4.1.2)."""


def id_token_claims(grant: Grant, *, issuer: str, now: datetime) -> dict[str, Any]:
    """`acr` and `amr` are absent when a session answered, never null (design 4.10)."""
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": grant.subject,
        "aud": grant.client_id,
        "iat": int(now.timestamp()),
        "exp": int((now + ID_TOKEN_LIFETIME).timestamp()),
        "auth_time": int(grant.authentication.time.timestamp()),
    }
    if grant.nonce is not None:
        claims["nonce"] = grant.nonce
    if grant.authentication.acr is not None:
        claims["acr"] = grant.authentication.acr
    if grant.authentication.amr:
        claims["amr"] = list(grant.authentication.amr)
    return claims


def access_token_claims(token: AccessToken, *, issuer: str) -> dict[str, Any]:
    """RFC 9068 §2.2; the audience is the broker's own userinfo endpoint, named by the issuer."""
    return {
        "iss": issuer,
        "sub": token.subject,
        "aud": issuer,
        "client_id": token.client_id,
        "jti": token.jti,
        "scope": " ".join(sorted(token.scope)),
        "iat": int(token.issued_at.timestamp()),
        "exp": int(token.expires_at.timestamp()),
    }


def check_access_token(claims: Mapping[str, Any], *, issuer: str, now: datetime) -> str:
    """Judge the claims of an access token whose signature has been verified; answers its `jti`.

    RFC 9068 §4. Raises InvalidAccessToken. Whether it was ended early is the store's word.
    """
    if claims.get("iss") != issuer or claims.get("aud") != issuer:
        raise InvalidAccessToken("not for this issuer")
    expires = claims.get("exp")
    if not isinstance(expires, int) or now.timestamp() >= expires:
        raise InvalidAccessToken("expired")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not jti:
        raise InvalidAccessToken("without jti")
    return jti
