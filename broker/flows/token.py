"""The story of a token: an authenticated client turns what it was granted into tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from broker.audit.entry import Entry, Event
from broker.errors import (
    InvalidAccessToken,
    InvalidGrant,
    InvalidRequest,
    InvalidToken,
    ProtocolError,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from broker.flows.call import Call
from broker.flows.client_authentication import authenticate
from broker.flows.ports import KeyUse, Ports, Transaction
from broker.flows.secret import digest
from broker.flows.sender import Sender, bind
from broker.ids import ClientID, GrantID
from broker.jose import b64url, parse_claims, sign_jws, verify_jws
from broker.oidc.authorization import single_values
from broker.oidc.claims import userinfo as userinfo_claims
from broker.oidc.client import GrantType
from broker.oidc.grants import CodeRequest, Grant, redeem
from broker.oidc.tokens import (
    ACCESS_TOKEN_LIFETIME,
    ACCESS_TOKEN_TYPE,
    AccessToken,
    access_token_claims,
    check_access_token,
    id_token_claims,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenResponse:
    """RFC 6749 §5.1 with the ID token of OIDC Core §3.1.3.3."""

    access_token: str = field(repr=False)
    token_type: str = "Bearer"  # noqa: S105 -- the name of a type
    id_token: str | None = field(default=None, repr=False)
    expires_in: int
    scope: str

    def members(self) -> dict[str, Any]:
        """As sent; what there is none of is left out."""
        told: dict[str, Any] = {
            "access_token": self.access_token,
            "token_type": self.token_type,
            "expires_in": self.expires_in,
            "scope": self.scope,
            "id_token": self.id_token,
        }
        return {name: value for name, value in told.items() if value is not None}


def exchange(call: Call, *, ports: Ports) -> TokenResponse:
    """Answer a token request (RFC 6749 §4.1.3). Raises ProtocolError or StoreUnavailable.

    The assertion's jti and the code are consumed, and the token and audit rows written, in one
    transaction; what is signed afterwards is already accounted for (R16).
    """
    parameters = single_values(call.pairs)
    who = authenticate(call, parameters, ports=ports)
    client, sender = who.client, bind(call, who, ports=ports)
    grant_type = parameters.get("grant_type")
    if grant_type is None:
        raise InvalidRequest("grant_type is required")
    if grant_type not in {GrantType.AUTHORIZATION_CODE}:
        raise UnsupportedGrantType("only authorization_code is served")
    if grant_type not in client.grant_types:
        raise UnauthorizedClient("the client is not registered for this grant")
    code = parameters.get("code")
    if code is None:
        raise InvalidRequest("code is required")
    request = CodeRequest(
        client_id=client.client_id,
        redirect_uri=parameters.get("redirect_uri"),
        code_verifier=parameters.get("code_verifier"),
        jkt=sender.jkt,
    )
    now = ports.clock()
    with ports.store.transaction() as tx:
        outcome = (
            sender.use_up(tx)
            or who.use_up(tx)
            or _redeem(tx, digest(code), request, sender=sender, now=now, ports=ports)
        )
    if isinstance(outcome, ProtocolError):
        raise outcome
    grant, token = outcome
    return TokenResponse(
        access_token=_signed(token, ports),
        token_type="Bearer" if token.jkt is None else "DPoP",
        id_token=sign_jws(
            id_token_claims(grant, issuer=ports.policy.issuer, now=now),
            signer=ports.keys.signer(KeyUse.ID_TOKEN),
            typ="JWT",
        ),
        expires_in=int(ACCESS_TOKEN_LIFETIME.total_seconds()),
        scope=" ".join(sorted(grant.scope)),
    )


def _signed(token: AccessToken, ports: Ports) -> str:
    return sign_jws(
        access_token_claims(token, issuer=ports.policy.issuer),
        signer=ports.keys.signer(KeyUse.ACCESS_TOKEN),
        typ=ACCESS_TOKEN_TYPE,
    )


def _redeem(
    tx: Transaction, code_digest: bytes, request: CodeRequest, *, sender: Sender, now: datetime, ports: Ports
) -> tuple[Grant, AccessToken] | InvalidGrant:
    """Consume the code; a refusal is returned, not raised, so that the consumption commits."""
    code = tx.codes.consume(code_digest, now=now)
    if code is None:
        replayed = tx.codes.used(code_digest)
        if replayed is not None:
            end_replayed(tx, replayed, request.client_id, event=Event.CODE_REPLAYED, now=now)
        return InvalidGrant("unknown or used code")
    try:
        grant = redeem(code, request, now=now)
        if grant.session_digest is None or tx.sessions.get(grant.session_digest) is None:
            raise InvalidGrant("the session has ended")
    except InvalidGrant as refusal:
        tx.audit.append(
            Entry(
                at=now,
                event=Event.TOKEN_REFUSED,
                client_id=request.client_id,
                account=code.grant.account,
                detail={"reason": str(refusal)},
            )
        )
        return refusal
    tx.grants.prolong(grant.grant_id, expires_at=now + ACCESS_TOKEN_LIFETIME)
    return grant, issue_access_token(tx, grant, sender=sender, now=now, ports=ports)


def end_replayed(tx: Transaction, grant_id: GrantID, client_id: ClientID, *, event: Event, now: datetime) -> None:
    """Something that works once came a second time: everything it brought ends (RFC 9700 §4.2.4, §4.14.2)."""
    ended = tx.grants.end(grant_id, now=now)
    tx.audit.append(Entry(at=now, event=event, client_id=client_id, reference=grant_id, detail={"ended": ended}))


def issue_access_token(tx: Transaction, grant: Grant, *, sender: Sender, now: datetime, ports: Ports) -> AccessToken:
    """A token row with its audit row (R16); the caller's transaction makes both real."""
    token = AccessToken(
        jti=b64url(ports.entropy(16)),
        client_id=grant.client_id,
        account=grant.account,
        subject=grant.subject,
        scope=grant.scope,
        audience=(ports.policy.issuer,),
        grant_id=grant.grant_id,
        jkt=sender.jkt,
        x5t=sender.x5t,
        issued_at=now,
        expires_at=now + ACCESS_TOKEN_LIFETIME,
    )
    tx.tokens.issue(token)
    tx.audit.append(
        Entry(at=now, event=Event.TOKEN_ISSUED, client_id=grant.client_id, account=grant.account, reference=token.jti)
    )
    return token


def userinfo(token: str, *, ports: Ports) -> dict[str, Any]:
    """What the userinfo endpoint answers (OIDC Core §5.3). Raises InvalidAccessToken, InsufficientScope."""
    now = ports.clock()
    try:
        claims = parse_claims(
            verify_jws(token, jwks=ports.keys.jwks(KeyUse.ACCESS_TOKEN), algorithms=("ES256",), typ=ACCESS_TOKEN_TYPE)
        )
    except InvalidToken as invalid:
        raise InvalidAccessToken("not a token of ours") from invalid
    jti = check_access_token(claims, issuer=ports.policy.issuer, now=now)
    with ports.store.transaction() as tx:
        stored = tx.tokens.get(jti, now=now)
    if stored is None:
        raise InvalidAccessToken("ended or unknown")
    return userinfo_claims(stored)
