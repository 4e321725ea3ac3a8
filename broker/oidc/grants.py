"""Grants, and the authorization code that brings one (RFC 6749 §4.1.3, RFC 7636 §4.6)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from broker.errors import InvalidGrant
from broker.ids import AccountID, ClientID, CredentialID, GrantID, ReceiptID, SessionID, Subject
from broker.oidc.pkce import check_verifier

CODE_LIFETIME = timedelta(seconds=60)
OFFLINE_LIFETIME = timedelta(days=90)
"""How long a grant with offline_access lives at most, from the login on (design section 3)."""
OFFLINE_LIFETIME_ELSEWHERE = timedelta(days=30)
"""The same where it was approved on another device: who sits at the device was never proved (RFC 10027)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """How the resident proved who they are. `acr` and `amr` stand only for a fresh card signature (design 4.10)."""

    time: datetime
    acr: str | None = None
    amr: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What one approval lets a client know, and of whom. Its code and every token of it end when it ends."""

    grant_id: GrantID
    client_id: ClientID
    account: AccountID = field(repr=False)
    credential: CredentialID = field(repr=False)
    subject: Subject = field(repr=False)
    scope: frozenset[str]
    authentication: Authentication
    claims: str = ""
    """The claims request (OIDC Core §5.5) as JSON; empty for none."""
    authorization_details: str = ""
    """RFC 9396 as JSON; empty for none."""
    resources: tuple[str, ...] = ()
    """RFC 8707."""
    nonce: str | None = None
    session_digest: bytes | None = field(default=None, repr=False)
    """None where no browser session stands behind it (approved on another device)."""
    session_id: SessionID | None = None
    session_ends_at: datetime | None = None
    """At a kiosk: no token of it lives longer (R4)."""
    receipt_id: ReceiptID | None = None
    """Where its client is registered to fetch receipts: the one of the login that brought it."""
    created_at: datetime
    expires_at: datetime
    """After it nothing new is issued from the grant."""

    @property
    def offline_until(self) -> datetime:
        """How long it may be refreshed, where it may be."""
        elsewhere = self.session_digest is None
        return self.created_at + (OFFLINE_LIFETIME_ELSEWHERE if elsewhere else OFFLINE_LIFETIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationCode:
    """A code as stored: everything its redemption is judged by. The code itself is kept only as SHA-256."""

    digest: bytes = field(repr=False)
    grant: Grant
    redirect_uri: str
    code_challenge: str
    jkt: str | None = None
    """The thumbprint it is bound to (RFC 9449 §10)."""
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRequest:
    """The token request of an authenticated client."""

    client_id: ClientID
    redirect_uri: str | None
    code_verifier: str | None = field(repr=False)
    jkt: str | None = None
    """Of the DPoP proof that came with it."""


def redeem(code: AuthorizationCode, request: CodeRequest, *, now: datetime) -> Grant:
    """Turn a code into its grant. Raises InvalidGrant.

    `code` has already been consumed: single use is the store's promise (ports.CodeStore), not ours.
    """
    if request.client_id != code.grant.client_id:
        raise InvalidGrant("issued to another client")
    if now >= code.expires_at:
        raise InvalidGrant("expired")
    if request.redirect_uri != code.redirect_uri:
        raise InvalidGrant("redirect_uri is not the one authorized")
    if code.jkt is not None and not hmac.compare_digest(code.jkt, request.jkt or ""):
        raise InvalidGrant("bound to another DPoP key")
    check_verifier(request.code_verifier, code.code_challenge)
    return code.grant
