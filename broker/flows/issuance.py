"""Tokens out of a grant: rows and audit rows in the caller's unit of work (R16); nothing is signed here."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from broker.accounts.account import State
from broker.audit.entry import Entry, Event
from broker.delegation.answering import Authority
from broker.errors import InvalidGrant, ProtocolError
from broker.flows import joints, mandate_answers, proofing
from broker.flows.ports import Ports, Transaction
from broker.flows.secret import digest, mint
from broker.flows.token_request import Issued, TokenRequest
from broker.ids import AccountID, GrantID, Secret, Subject
from broker.jose import b64url
from broker.oidc.grants import Grant
from broker.oidc.narrowing import Narrowed, of_grant
from broker.oidc.refresh import RefreshToken, offline, rotates
from broker.oidc.tokens import ACCESS_TOKEN_LIFETIME, AccessToken


def redeem_grant(tx: Transaction, grant: Grant, request: TokenRequest, *, ports: Ports) -> Issued | ProtocolError:
    """The first tokens of a grant, whose code (of whatever kind) the caller has just consumed.

    A refusal is answered, not raised, so that the consumption commits.
    """
    if tx.standings.state(grant.account) is not State.OPEN:
        return InvalidGrant("the account is not open")
    if grant.session_ends_at is not None and request.now >= grant.session_ends_at:
        return InvalidGrant("the session at a kiosk is over")
    try:
        part = of_grant(grant, request.client, request.parameters, issuer=ports.policy.issuer, refresh=False)
    except ProtocolError as refusal:
        return refusal
    refresh_token = None
    if offline(grant, request.client) and tx.grants.certificate(grant.grant_id) is not None:
        tx.grants.prolong(grant.grant_id, expires_at=grant.offline_until)
        refresh_token = issue_refresh_token(tx, grant, request, ports=ports)
    token, authority = issue_of_grant(tx, grant, part, request, ports=ports)
    return Issued(
        token=token,
        grant=grant,
        proof=proofing.told(tx, grant, ports=ports),
        stated=joints.told(tx, grant, grant.scope, ports=ports),
        refresh_token=refresh_token,
        authority=authority,
    )


def issue_refresh_token(tx: Transaction, grant: Grant, request: TokenRequest, *, ports: Ports) -> Secret:
    """A refresh token that ends with the grant; a public client's is bound to the keys it came with."""
    secret = mint(ports.entropy)
    public = rotates(request.client)
    tx.refresh_tokens.issue(
        RefreshToken(
            digest=digest(secret),
            grant_id=grant.grant_id,
            jkt=request.sender.jkt if public else None,
            x5t=request.sender.x5t if public else None,
            issued_at=request.now,
            expires_at=grant.offline_until,
        )
    )
    return secret


def issue_of_grant(
    tx: Transaction, grant: Grant, part: Narrowed, request: TokenRequest, *, ports: Ports
) -> tuple[AccessToken, tuple[Authority, ...]]:
    """An access token for a part of what a resident agreed to, with the answers to what was asked about mandates."""
    details = part.authorization_details
    made = mandate_answers.answered(tx, grant, request.client, details, now=request.now, ports=ports)
    token = issue_access_token(
        tx,
        part if made.details == details else replace(part, authorization_details=made.details),
        request,
        account=grant.account,
        subject=grant.subject,
        grant_id=grant.grant_id,
        ends_at=grant.session_ends_at,
        ports=ports,
    )
    return token, made.authority


def issue_access_token(
    tx: Transaction,
    part: Narrowed,
    request: TokenRequest,
    *,
    account: AccountID | None,
    subject: Subject,
    grant_id: GrantID | None,
    ends_at: datetime | None = None,
    actor: str = "",
    ports: Ports,
) -> AccessToken:
    """A token row with its audit row (R16), bound to the keys of the request; it lives no longer than `ends_at`.

    `actor` is who acts for `subject`, as JSON (AccessToken.actor).
    """
    expires_at = request.now + ACCESS_TOKEN_LIFETIME
    token = AccessToken(
        jti=b64url(ports.entropy(16)),
        client_id=request.client.client_id,
        account=account,
        subject=subject,
        scope=part.scope,
        audience=part.audience,
        authorization_details=part.authorization_details,
        actor=actor,
        grant_id=grant_id,
        jkt=request.sender.jkt,
        x5t=request.sender.x5t,
        issued_at=request.now,
        expires_at=expires_at if ends_at is None else min(expires_at, ends_at),
    )
    tx.tokens.issue(token)
    tx.audit.append(
        Entry(at=request.now, event=Event.TOKEN_ISSUED, client_id=token.client_id, account=account, reference=token.jti)
    )
    return token


def refusal_entry(request: TokenRequest, grant: Grant, event: Event, reason: str) -> Entry:
    """An audit row about a grant that brought nothing."""
    return Entry(
        at=request.now,
        event=event,
        client_id=request.client.client_id,
        account=grant.account,
        reference=grant.grant_id,
        detail={"reason": reason},
    )


def end_replayed(tx: Transaction, grant_id: GrantID, request: TokenRequest, event: Event) -> None:
    """Something that works once came a second time: everything it brought ends (RFC 9700 §4.2.4, §4.14.2)."""
    ended = tx.grants.end(grant_id, now=request.now)
    tx.audit.append(
        Entry(
            at=request.now,
            event=event,
            client_id=request.client.client_id,
            reference=grant_id,
            detail={"ended": ended},
        )
    )
