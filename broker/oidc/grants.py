"""The authorization code and what it turns into (RFC 6749 §4.1.3, RFC 7636 §4.6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from broker.errors import InvalidGrant
from broker.ids import AccountID, ClientID, Subject
from broker.oidc.pkce import check_verifier

CODE_LIFETIME = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """How the resident proved who they are. `acr` and `amr` stand only for a fresh card signature (design 4.10)."""

    time: datetime
    acr: str | None = None
    amr: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationCode:
    """A code as stored: everything its redemption is judged by. The code itself is kept only as SHA-256."""

    digest: bytes = field(repr=False)
    client_id: ClientID
    redirect_uri: str
    code_challenge: str
    scope: frozenset[str]
    nonce: str | None
    account: AccountID = field(repr=False)
    subject: Subject = field(repr=False)
    authentication: Authentication
    session_digest: bytes = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRequest:
    """The token request of an authenticated client."""

    client_id: ClientID
    redirect_uri: str | None
    code_verifier: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a client now may know, and of whom."""

    client_id: ClientID
    account: AccountID = field(repr=False)
    subject: Subject = field(repr=False)
    scope: frozenset[str]
    nonce: str | None
    authentication: Authentication


def redeem(code: AuthorizationCode, request: CodeRequest, *, now: datetime) -> Grant:
    """Turn a code into a grant. Raises InvalidGrant.

    `code` has already been consumed: single use is the store's promise (ports.CodeStore), not ours.
    """
    if request.client_id != code.client_id:
        raise InvalidGrant("issued to another client")
    if now >= code.expires_at:
        raise InvalidGrant("expired")
    if request.redirect_uri != code.redirect_uri:
        raise InvalidGrant("redirect_uri is not the one authorized")
    check_verifier(request.code_verifier, code.code_challenge)
    return Grant(
        client_id=code.client_id,
        account=code.account,
        subject=code.subject,
        scope=code.scope,
        nonce=code.nonce,
        authentication=code.authentication,
    )
