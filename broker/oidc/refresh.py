"""Refresh tokens (RFC 6749 §6, RFC 9700 §4.14): a random value that brings new access tokens from the same grant."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import datetime

from broker.errors import InvalidGrant
from broker.ids import ClientID, GrantID
from broker.oidc.client import Client, GrantType
from broker.oidc.grants import Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """A refresh token as stored. The token itself is kept only as SHA-256."""

    digest: bytes = field(repr=False)
    grant_id: GrantID
    jkt: str | None = None
    """The DPoP key that a public client's token is bound to (RFC 9449 §5); others prove who they are instead."""
    x5t: str | None = None
    """The certificate that a public client's token is bound to (RFC 8705 §4)."""
    issued_at: datetime
    expires_at: datetime
    """The grant's absolute end, however often tokens rotate."""
    used_at: datetime | None = None
    """Set where tokens rotate."""


def rotates(client: Client) -> bool:
    """Whether each refresh brings a new token and ends the old one.

    A public client's does (RFC 9700 §4.14.2). One that authenticates keeps its token: a lost answer is asked for
    again, and nobody is logged out by a network that failed (FAPI 2.0 §5.3.2.1).
    """
    return client.public


def offline(grant: Grant, client: Client) -> bool:
    """Whether the grant may bring refresh tokens: the resident agreed to it and the client is registered for it."""
    return "offline_access" in grant.scope and GrantType.REFRESH_TOKEN in client.grant_types


def judge(
    token: RefreshToken | None,
    grant: Grant | None,
    *,
    client_id: ClientID,
    jkt: str | None,
    x5t: str | None,
    now: datetime,
) -> tuple[RefreshToken, Grant]:
    """The token and its grant, where this client with these keys may use it now. Raises InvalidGrant.

    Whether a rotating token was used before is judged by the store, in the statement that uses it up.
    """
    if token is None or grant is None:
        raise InvalidGrant("unknown or ended refresh token")
    if grant.client_id != client_id:
        raise InvalidGrant("issued to another client")
    if now >= min(token.expires_at, grant.expires_at):
        raise InvalidGrant("expired")
    for bound, presented in ((token.jkt, jkt), (token.x5t, x5t)):
        if bound is not None and not hmac.compare_digest(bound.encode(), (presented or "").encode()):
            raise InvalidGrant("bound to another key")
    return token, grant
