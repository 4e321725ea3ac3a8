"""Which claims stand where: the ID token (OIDC Core §2) and userinfo (§5.3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from broker.errors import InsufficientScope
from broker.oidc import claims_request, verified_claims
from broker.oidc.claims_request import ClaimsRequest, Place
from broker.oidc.grants import Grant
from broker.oidc.linked_id import LinkedID
from broker.oidc.proof import IdentityProof, verified, within
from broker.oidc.tokens import ID_TOKEN_LIFETIME, AccessToken
from broker.oidc.verified_claims import VerifiedData


def id_token_claims(
    grant: Grant,
    *,
    issuer: str,
    now: datetime,
    scope: frozenset[str] | None = None,
    proof: IdentityProof | None = None,
    linked: LinkedID | None = None,
    stated: Mapping[str, Any] | None = None,
    refreshed: bool = False,
    authority: VerifiedData | None = None,
) -> dict[str, Any]:
    """`acr` and `amr` are absent when a session answered, never null (design 4.10).

    `scope` is what of the grant the token is for (None: all of it), `proof` what was proved of the person, `linked` the
    client's own number for them, `stated` what a login of another kind proved (oidc.licence), `authority` which powers
    of theirs were confirmed. A refreshed one repeats the original authentication, without nonce, session (OIDC Core
    §12.2) and receipt.
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
    if grant.receipt_id is not None and not refreshed:
        claims["receipt"] = grant.receipt_id
    agreed = grant.scope if scope is None else scope
    told = _told(grant, agreed, proof, linked, Place.ID_TOKEN, issuer=issuer, now=now, authority=authority)
    told |= dict(stated or {})
    return told | claims  # nothing that was asked for by name takes the place of what a token must say


def userinfo_claims(
    token: AccessToken,
    grant: Grant | None,
    *,
    issuer: str,
    now: datetime,
    proof: IdentityProof | None = None,
    linked: LinkedID | None = None,
    authority: VerifiedData | None = None,
    stated: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The claims that the token's scope allows, and those asked for by name; unknown ones are absent, never null.

    Raises InsufficientScope.
    """
    if "openid" not in token.scope:
        raise InsufficientScope("openid is needed")
    if grant is None:
        return {"sub": token.subject}
    told = _told(grant, token.scope, proof, linked, Place.USERINFO, issuer=issuer, now=now, authority=authority)
    return told | dict(stated or {}) | {"sub": token.subject}


def _authentication(grant: Grant) -> dict[str, Any]:
    told: dict[str, Any] = {"auth_time": int(grant.authentication.time.timestamp())}
    if grant.authentication.acr is not None:
        told["acr"] = grant.authentication.acr
    if grant.authentication.amr:
        told["amr"] = list(grant.authentication.amr)
    return told


def _told(
    grant: Grant,
    scope: frozenset[str],
    proof: IdentityProof | None,
    linked: LinkedID | None,
    place: Place,
    *,
    issuer: str,
    now: datetime,
    authority: VerifiedData | None,
) -> dict[str, Any]:
    """What was asked for in `place`, by scope or by name, is known, and satisfies what was said about it."""
    if proof is None and linked is None and not grant.claims:
        return {}
    request = claims_request.from_json(grant.claims)
    allowed = None if proof is None else within(proof, scope)
    known = _authentication(grant) | ({} if allowed is None else dict(allowed.claims))
    known |= {} if linked is None else linked.claims()
    wanted = claims_request.wanted(request, scope, place)
    wanted |= {claims_request.SUBSTITUTED} if place is Place.USERINFO else frozenset()
    told = claims_request.select(request, place, {name: known[name] for name in known if name in wanted}, now=now)
    _tell_substitutes(told)
    return told | _verified(request, allowed, authority, place, issuer=issuer, now=now)


def _tell_substitutes(told: dict[str, Any]) -> None:
    """Stand-ins are told of those values alone that are told in the same place."""
    found = told.pop(claims_request.SUBSTITUTED, {})
    if left := {name: where for name, where in found.items() if name in told}:
        told[claims_request.SUBSTITUTED] = left


def _verified(
    request: ClaimsRequest,
    proof: IdentityProof | None,
    authority: VerifiedData | None,
    place: Place,
    *,
    issuer: str,
    now: datetime,
) -> dict[str, Any]:
    """`verified_claims` (OpenID Connect for Identity Assurance) where it was asked for, and only there."""
    asked = request.verified(place)
    if not asked:
        return {}
    proved = None if proof is None else verified(proof, issuer=issuer)
    answer = verified_claims.answer(asked, proved, authority, now=now)
    return {} if answer is None else {"verified_claims": answer}
