"""A token for acting on a principal's behalf (RFC 8693): the answer that was yes stands for the principal, the login's
access token for who acts. The question is asked anew; the token lives as long as the new answer holds.

Its `sub` is the principal, and `act` says who acts: a token of a login never has that shape, nor this one the other's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broker.errors import InvalidAccessToken, InvalidGrant, InvalidRequest, InvalidTarget, InvalidToken, ProtocolError
from broker.flows import family_mandates, mandate_answers
from broker.flows.issuance import issue_access_token
from broker.flows.mandate_answers import ALLOW
from broker.flows.own_token import read_access_token
from broker.flows.ports import Ports, Transaction
from broker.flows.token_request import Issued, TokenRequest, atomically
from broker.ids import Subject
from broker.jose import compact_json
from broker.oidc import authorization_details, mandate_question, resource
from broker.oidc.authorization_details import Detail
from broker.oidc.grants import Grant
from broker.oidc.mandate_question import PIN
from broker.oidc.narrowing import Narrowed
from broker.oidc.token_exchange import ACCESS_TOKEN, ExchangeRequest
from broker.oidc.tokens import AccessToken, token_id


def swap_decision(asked: ExchangeRequest, request: TokenRequest, ports: Ports) -> Issued:
    """Raises InvalidRequest (§2.2.2: also where the answer is no by now, without a reason), InvalidTarget."""
    if asked.actor_token is None or asked.actor_token_type != ACCESS_TOKEN:
        raise InvalidRequest("actor_token: the access token of who acts")
    audience = _audience(asked, request, ports)
    with ports.store.transaction() as tx:
        before = tx.mandates.decision(asked.subject_token)
    if before is not None and before.client_id == request.client.client_id:
        family_mandates.ask((before.number,), ports=ports)
    return atomically(request, lambda tx: _swap(tx, asked, audience, request, ports), ports=ports)


def _audience(asked: ExchangeRequest, request: TokenRequest, ports: Ports) -> tuple[str, ...]:
    """Resources of the client's, or the client itself; never us, whose endpoints are for who logs in."""
    wanted = resource.parse(request.parameters.get("resource", ""), known=set(request.client.resources))
    if asked.audience and set(asked.audience) != {request.client.client_id}:
        raise InvalidTarget("audience: the client itself, or resources of its own by `resource`")
    return wanted or (request.client.client_id,)


def _swap(
    tx: Transaction, asked: ExchangeRequest, audience: tuple[str, ...], request: TokenRequest, ports: Ports
) -> Issued | ProtocolError:
    """A refusal is answered, not raised, so that what was decided is written down."""
    try:
        token, grant = _actor(tx, asked.actor_token or "", request, ports)
        detail = _detail(token, asked.subject_token)
        before = tx.mandates.decision(asked.subject_token)
    except (InvalidToken, InvalidAccessToken, InvalidGrant):
        return InvalidRequest("not acceptable")
    if before is None or before.client_id != request.client.client_id:
        return InvalidRequest("not acceptable")
    question = mandate_question.read(detail.members | {PIN: before.number})
    made = mandate_answers.decide(tx, grant, request.client, question, now=request.now, ports=ports)
    if made.standing is None:
        return InvalidRequest("not acceptable")
    act = mandate_answers.actors(tx, grant, made.standing, request.client.sector, ports=ports)
    told = authorization_details.with_members(detail, **made.members)
    issued = issue_access_token(
        tx,
        Narrowed(scope=frozenset(), audience=audience, authorization_details=authorization_details.to_json((told,))),
        request,
        account=grant.account,
        subject=Subject(made.members["principal"]),
        grant_id=grant.grant_id,
        ends_at=made.holds_until if grant.session_ends_at is None else min(made.holds_until, grant.session_ends_at),
        actor=compact_json(act).decode(),
        ports=ports,
    )
    return Issued(token=issued)


def _actor(tx: Transaction, given: str, request: TokenRequest, ports: Ports) -> tuple[AccessToken, Grant]:
    """The login's own token: alive, this client's, and shown with the keys it is bound to.

    Raises InvalidToken, InvalidAccessToken, InvalidGrant.
    """
    claims = read_access_token(given, ports=ports)
    token = tx.tokens.get(token_id(claims, issuer=ports.policy.issuer, now=request.now), now=request.now)
    if token is None or token.client_id != request.client.client_id or token.actor or token.grant_id is None:
        raise InvalidGrant("not the token of a login of this client")
    if (token.jkt, token.x5t) != (request.sender.jkt, request.sender.x5t):
        raise InvalidGrant("bound to other keys")
    grant = tx.grants.get(token.grant_id)
    if grant is None:
        raise InvalidGrant("ended")
    return token, grant


def _detail(token: AccessToken, decision_id: str) -> Detail:
    """The question that was answered yes with this token, as it was asked. Raises InvalidGrant."""
    for detail in authorization_details.from_json(token.authorization_details):
        members: Mapping[str, Any] = detail.members
        if members.get("decision") == ALLOW and members.get("decision_id") == decision_id:
            return mandate_answers.asked_of(detail)
    raise InvalidGrant("no such answer came with this token")
