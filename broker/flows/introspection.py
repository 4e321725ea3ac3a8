"""What a client may know, and end, of a token (RFC 7662, RFC 9701, RFC 7009)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from broker.audit.entry import Entry, Event
from broker.errors import InvalidAccessToken, InvalidClient, InvalidGrant, InvalidRequest, InvalidToken
from broker.flows import mandate_answers
from broker.flows.call import Call
from broker.flows.client_authentication import AuthenticatedClient, authenticate
from broker.flows.envelope import signed_for
from broker.flows.own_token import read_access_token
from broker.flows.ports import Ports, Transaction
from broker.flows.secret import digest
from broker.oidc.authorization import single_values
from broker.oidc.client import Client
from broker.oidc.grants import Grant
from broker.oidc.introspection import INACTIVE, may_know, of_access_token, of_refresh_token
from broker.oidc.refresh import RefreshToken
from broker.oidc.tokens import AccessToken, token_id

JWT_TYPE = "token-introspection+jwt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspection:
    """`token` is the answer as a JWT, where the client asked for one."""

    claims: dict[str, Any] = field(repr=False)
    token: str | None = field(default=None, repr=False)


def introspect(call: Call, *, as_jwt: bool, ports: Ports) -> Introspection:
    """Whether a token is alive, and what it says, for its client or its audience; everybody else learns "not active".

    Raises InvalidClient, InvalidRequest, StoreUnavailable.
    """
    who, token, now = _asked(call, ports)
    if who.client.public:
        raise InvalidClient("only a client that authenticates may ask (RFC 7662 §2.1)")
    with ports.store.transaction() as tx:
        refusal = who.use_up(tx)
        claims = INACTIVE if refusal is not None else _state(tx, who.client, token, now=now, ports=ports)
    if refusal is not None:
        raise refusal
    if not as_jwt:
        return Introspection(claims=claims)
    envelope = {
        "iss": ports.policy.issuer,
        "aud": who.client.client_id,
        "iat": int(now.timestamp()),
        "token_introspection": claims,
    }
    signed = signed_for(
        who.client,
        envelope,
        alg=who.client.introspection_alg or "ES256",
        encryption=who.client.introspection_encryption,
        typ=JWT_TYPE,
        ports=ports,
    )
    return Introspection(claims=claims, token=signed)


def revoke(call: Call, *, ports: Ports) -> None:
    """End a token of this client; a refresh token ends its grant and all that came of it. An unknown one is ended.

    Raises InvalidClient, InvalidRequest, InvalidGrant (another client's), StoreUnavailable.
    """
    who, token, now = _asked(call, ports)
    with ports.store.transaction() as tx:
        refusal: InvalidClient | InvalidGrant | None = who.use_up(tx) or _end(
            tx, who.client, token, now=now, ports=ports
        )
    if refusal is not None:
        raise refusal


def _asked(call: Call, ports: Ports) -> tuple[AuthenticatedClient, str, datetime]:
    parameters = single_values(call.pairs)
    who = authenticate(call, parameters, ports=ports)
    if "token" not in parameters:
        raise InvalidRequest("token is required")
    return who, parameters["token"], ports.clock()


def _access_token(tx: Transaction, token: str, *, now: datetime, ports: Ports) -> AccessToken | None:
    """An access token of ours that is alive, whoever it is for."""
    try:
        claims = read_access_token(token, ports=ports)
        return tx.tokens.get(token_id(claims, issuer=ports.policy.issuer, now=now), now=now)
    except (InvalidToken, InvalidAccessToken):
        return None


def _refresh_token(tx: Transaction, token: str, *, now: datetime) -> tuple[RefreshToken, Grant] | None:
    """A refresh token that is alive, and its grant."""
    found = tx.refresh_tokens.get(digest(token))
    grant = None if found is None or found.used_at is not None else tx.grants.get(found.grant_id)
    if found is None or grant is None or now >= min(found.expires_at, grant.expires_at):
        return None
    return found, grant


def _state(tx: Transaction, client: Client, token: str, *, now: datetime, ports: Ports) -> dict[str, Any]:
    if "." not in token:
        found = _refresh_token(tx, token, now=now)
        return INACTIVE if found is None or found[1].client_id != client.client_id else of_refresh_token(*found)
    access = _access_token(tx, token, now=now, ports=ports)
    if access is None or not may_know(client, access):
        return INACTIVE
    grant = None if access.grant_id is None else tx.grants.get(access.grant_id)
    owner = tx.clients.get(access.client_id) if access.authorization_details else None
    still = mandate_answers.standing(tx, access.authorization_details, client=owner, now=now, ports=ports)
    if access.actor and not still.authority:
        return INACTIVE
    return of_access_token(replace(access, authorization_details=still.details), grant, issuer=ports.policy.issuer)


def _end(tx: Transaction, client: Client, token: str, *, now: datetime, ports: Ports) -> InvalidGrant | None:
    access = _access_token(tx, token, now=now, ports=ports) if "." in token else None
    found = tx.refresh_tokens.get(digest(token)) if "." not in token else None
    grant = None if found is None else tx.grants.get(found.grant_id)
    of = access or grant
    if of is None:
        return None
    if of.client_id != client.client_id:
        return InvalidGrant("issued to another client")
    if access is not None:
        reference, ended = access.jti, tx.tokens.end(access.jti, now=now)
    elif grant is not None:
        reference, ended = grant.grant_id, tx.grants.end(grant.grant_id, now=now)
    if ended:
        tx.audit.append(
            Entry(
                at=now,
                event=Event.TOKEN_REVOKED,
                client_id=client.client_id,
                account=of.account,
                reference=reference,
            )
        )
    return None
