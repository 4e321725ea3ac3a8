"""Access tokens: what is stored of them, and their claims (RFC 9068 §2.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from broker.errors import InvalidAccessToken
from broker.ids import AccountID, ClientID, GrantID, Subject
from broker.oidc.grants import Grant

ID_TOKEN_LIFETIME = timedelta(minutes=5)
ACCESS_TOKEN_LIFETIME = timedelta(minutes=10)
ACCESS_TOKEN_TYPE = "at+jwt"  # noqa: S105 -- RFC 9068 §2.1, a media type and no secret


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """An issued access token as stored: its `jti`, never the token itself."""

    jti: str
    client_id: ClientID
    account: AccountID | None = field(repr=False)
    """None: the client's own token (client_credentials)."""
    subject: Subject = field(repr=False)
    scope: frozenset[str]
    audience: tuple[str, ...]
    authorization_details: str = ""
    """RFC 9396 as JSON; empty for none."""
    actor: str = ""
    """`act` as JSON (RFC 8693 §4.1): who acts for `subject`; empty where the subject acts for themselves. `account` is
    the one who acts."""
    grant_id: GrantID | None
    """What it came from; it ends with that."""
    jkt: str | None = None
    """`cnf.jkt`: the DPoP key it is bound to (RFC 9449 §6)."""
    x5t: str | None = None
    """`cnf.x5t#S256`: the client certificate it is bound to (RFC 8705 §3.1)."""
    issued_at: datetime
    expires_at: datetime

    @property
    def type(self) -> str:
        """`token_type` (RFC 6749 §7.1, RFC 9449 §5)."""
        return "Bearer" if self.jkt is None else "DPoP"

    @property
    def confirmation(self) -> dict[str, str]:
        """`cnf` (RFC 7800 §3.1); empty for a bearer token."""
        bound = {"jkt": self.jkt, "x5t#S256": self.x5t}
        return {name: value for name, value in bound.items() if value is not None}


def access_token_claims(token: AccessToken, *, issuer: str, grant: Grant | None = None) -> dict[str, Any]:
    """RFC 9068 §2.2; `aud` is one name or a list of them (RFC 7519 §4.1.3).

    Another resource server also learns how the resident proved who they are (§2.2.1), to ask for more (RFC 9470).
    """
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": token.subject,
        "aud": token.audience[0] if len(token.audience) == 1 else list(token.audience),
        "client_id": token.client_id,
        "jti": token.jti,
        "iat": int(token.issued_at.timestamp()),
        "exp": int(token.expires_at.timestamp()),
    }
    if token.scope:
        claims["scope"] = " ".join(sorted(token.scope))
    if token.confirmation:
        claims["cnf"] = token.confirmation
    if token.authorization_details:
        claims["authorization_details"] = json.loads(token.authorization_details)  # RFC 9396 §9.1
    if token.actor:
        claims["act"] = json.loads(token.actor)
    if grant is not None and token.audience != (issuer,):
        claims["auth_time"] = int(grant.authentication.time.timestamp())
        if grant.authentication.acr is not None:
            claims["acr"] = grant.authentication.acr
        if grant.authentication.amr:
            claims["amr"] = list(grant.authentication.amr)
    return claims


def check_access_token(claims: Mapping[str, Any], *, issuer: str, now: datetime) -> str:
    """Judge the claims of an access token for our own endpoints, whose signature has been verified; answers its `jti`.

    RFC 9068 §4. Raises InvalidAccessToken. Whether it was ended early is the store's word.
    """
    audience = claims.get("aud")
    if issuer not in (audience if isinstance(audience, list) else [audience]):
        raise InvalidAccessToken("not for this issuer")
    return token_id(claims, issuer=issuer, now=now)


def token_id(claims: Mapping[str, Any], *, issuer: str, now: datetime) -> str:
    """The `jti` of an access token of ours for anybody, from its verified claims. Raises InvalidAccessToken."""
    if claims.get("iss") != issuer:
        raise InvalidAccessToken("of another issuer")
    expires = claims.get("exp")
    if not isinstance(expires, int) or now.timestamp() >= expires:
        raise InvalidAccessToken("expired")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not jti:
        raise InvalidAccessToken("without jti")
    return jti
