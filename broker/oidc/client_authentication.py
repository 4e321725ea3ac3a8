"""`private_key_jwt` (OIDC Core §9, RFC 7523 §3): what an assertion must say once its signature holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from broker.errors import InvalidClient
from broker.ids import ClientID

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("ES256", "PS256", "RS256")
"""What the `oidc` profile accepts; RS256 because OIDC Core §15.1 makes it the common one."""
MAX_LIFETIME = timedelta(minutes=60)
SKEW = timedelta(seconds=10)
"""FAPI 2.0 §5.3.2.1: up to 10 s ahead is a clock, more is a mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """A judged assertion; `jti` may be used once until `expires_at`."""

    client_id: ClientID
    jti: str
    expires_at: datetime


def claimed_client(claims: Mapping[str, Any], form_client_id: str | None) -> ClientID:
    """Whose keys to try: `sub` of the still unverified assertion. Raises InvalidClient."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject or len(subject) > 64:
        raise InvalidClient("assertion without sub")
    if form_client_id is not None and form_client_id != subject:
        raise InvalidClient("client_id is not the assertion's")
    return ClientID(subject)


def check_assertion(
    claims: Mapping[str, Any], client_id: ClientID, *, audiences: frozenset[str], now: datetime
) -> Assertion:
    """Judge verified claims (RFC 7523 §3). Raises InvalidClient.

    `audiences` are the words the client's profile allows for us: issuer, and for `oidc` the token endpoint.
    """
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise InvalidClient("iss and sub must both be the client")
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or len(named) != 1 or named[0] not in audiences:
        raise InvalidClient("aud must name this server alone")
    expires = _date(claims, "exp")
    if expires is None or now >= expires:
        raise InvalidClient("expired")
    if expires - now > MAX_LIFETIME + SKEW:
        raise InvalidClient("lives longer than an hour")
    for name in ("iat", "nbf"):
        date = _date(claims, name)
        if date is not None and date > now + SKEW:
            raise InvalidClient(f"{name} lies in the future")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 1 <= len(jti) <= 256:
        raise InvalidClient("jti is required")
    return Assertion(client_id=client_id, jti=jti, expires_at=expires)


def _date(claims: Mapping[str, Any], name: str) -> datetime | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidClient(f"{name} is not a NumericDate")
    try:
        return datetime.fromtimestamp(value, tz=UTC)
    except (ValueError, OverflowError, OSError) as beyond:
        raise InvalidClient(f"{name} is beyond the calendar") from beyond
