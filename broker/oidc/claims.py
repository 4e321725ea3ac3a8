"""Which claims stand where: the ID token (OIDC Core §2) and userinfo (§5.3.2)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from broker.errors import InsufficientScope
from broker.oidc import claims_request, verified_claims
from broker.oidc.claims_request import Place
from broker.oidc.grants import Grant
from broker.oidc.tokens import ID_TOKEN_LIFETIME, AccessToken


def id_token_claims(grant: Grant, *, issuer: str, now: datetime, refreshed: bool = False) -> dict[str, Any]:
    """`acr` and `amr` are absent when a session answered, never null (design 4.10).

    A refreshed one repeats the original authentication, without nonce and session (OIDC Core §12.2).
    """
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": grant.subject,
        "aud": grant.client_id,
        "iat": int(now.timestamp()),
        "exp": int((now + ID_TOKEN_LIFETIME).timestamp()),
        **_authentication(grant),
    }
    if grant.nonce is not None and not refreshed:
        claims["nonce"] = grant.nonce
    if grant.session_id is not None and not refreshed:
        claims["sid"] = grant.session_id
    return claims | _verified(grant, Place.ID_TOKEN, now)


def userinfo_claims(token: AccessToken, grant: Grant | None, *, now: datetime) -> dict[str, Any]:
    """The claims that the token's scope allows, and those asked for by name; unknown ones are absent, never null.

    Raises InsufficientScope.
    """
    if "openid" not in token.scope:
        raise InsufficientScope("openid is needed")
    if grant is None or not grant.claims:
        return {"sub": token.subject}
    request = claims_request.from_json(grant.claims)
    wanted = claims_request.wanted(request, token.scope, Place.USERINFO)
    known = {name: value for name, value in _authentication(grant).items() if name in wanted}
    told = claims_request.select(request, Place.USERINFO, known, now=now)
    return {**told, "sub": token.subject} | _verified(grant, Place.USERINFO, now)


def _authentication(grant: Grant) -> dict[str, Any]:
    told: dict[str, Any] = {"auth_time": int(grant.authentication.time.timestamp())}
    if grant.authentication.acr is not None:
        told["acr"] = grant.authentication.acr
    if grant.authentication.amr:
        told["amr"] = list(grant.authentication.amr)
    return told


def _verified(grant: Grant, place: Place, now: datetime) -> dict[str, Any]:
    """`verified_claims` (OpenID Connect for Identity Assurance) where it was asked for, and only there."""
    if "verified_claims" not in grant.claims:
        return {}
    asked = claims_request.from_json(grant.claims).verified(place)
    answer = verified_claims.answer(asked, None, now=now)  # nothing has been proved by the 署名用 key yet
    return {} if answer is None else {"verified_claims": answer}
