"""The story of a client that asks for a resident who is not at its pages (CIBA Core).

begin     the client gets an auth_req_id; whether anybody is behind its hint it does not learn
approve   the operator's approver channel opens a login for it, whose end is the approval (flows.elsewhere)
announce  a client that wants to be told is told that there is an answer, a few times at most
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

from broker.errors import (
    AccessDenied,
    EndpointOff,
    InteractionUnknown,
    InvalidRequest,
    InvalidToken,
    OutboundFailed,
    OutboundRefused,
    UnauthorizedClient,
)
from broker.flows import elsewhere
from broker.flows.authorization import Begun
from broker.flows.call import Call
from broker.flows.client_authentication import authenticate
from broker.flows.code import RefusedToClient
from broker.flows.hint import read_hint
from broker.flows.login_ports import Interaction
from broker.flows.ports import Ports, Transaction
from broker.flows.rate import Rate, check_rate
from broker.flows.secret import digest, mint
from broker.ids import InteractionID, Secret, Subject
from broker.jose import b64url, read_jws
from broker.oidc.approval import Approval
from broker.oidc.authorization import single_values
from broker.oidc.ciba import BackchannelRequest, judge, settle
from broker.oidc.client import Client, GrantType

STARTS: Final = Rate(limit=600, window=timedelta(minutes=1))
"""How many requests one client may make."""
STARTS_FOR_ONE: Final = Rate(limit=20, window=timedelta(minutes=1))
"""And with one hint, known here or not: nobody is to be worn down by questions."""
MAX_NOTIFICATIONS: Final = 5
"""How often a client is told of one answer; it may ask for it all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackchannelAuthentication:
    """CIBA Core §7.3."""

    auth_req_id: Secret = field(repr=False)
    expires_in: int
    """Seconds."""
    interval: int

    def members(self) -> dict[str, Any]:
        """As sent."""
        return {"auth_req_id": self.auth_req_id, "expires_in": self.expires_in, "interval": self.interval}


def begin(call: Call, *, ports: Ports) -> BackchannelAuthentication:
    """Answer an authentication request (CIBA Core §7.1). Raises EndpointOff, ProtocolError, TooManyRequests.

    A hint that names nobody here brings the same answer as that of a resident who stays silent.
    """
    if not ports.policy.approver_channel:
        raise EndpointOff("no approver channel: CIBA is off")
    parameters = single_values(call.pairs)
    who = authenticate(call, parameters, ports=ports)
    client = who.client
    if GrantType.CIBA not in client.grant_types:
        raise UnauthorizedClient("the client is not registered for CIBA")
    asked = judge(_settled(parameters, client, ports), client)
    subject = _subject(asked, client, ports)
    now = ports.clock()
    auth_req_id = mint(ports.entropy)
    key = digest(auth_req_id)
    approval = Approval(
        digest=key,
        client_id=client.client_id,
        request=replace(asked.request, subject=subject),
        expires_at=now + asked.lifetime,
    )
    told = None
    if asked.notification_token is not None:
        secrets = json.dumps({"auth_req_id": auth_req_id, "token": asked.notification_token})
        told = ports.keys.seal(secrets.encode(), context=key)
    with ports.store.transaction() as tx:
        check_rate(tx.attempts, f"ciba:{client.client_id}", STARTS, now=now)
        check_rate(tx.attempts, f"ciba:{client.client_id}:{digest(subject).hex()}", STARTS_FOR_ONE, now=now)
        refusal = who.use_up(tx)
        if refusal is None:
            account = tx.accounts.holder(client.sector, subject)
            tx.backchannel_requests.open(approval, account=account, notification=told)
    if refusal is not None:
        raise refusal
    return BackchannelAuthentication(
        auth_req_id=auth_req_id, expires_in=int(asked.lifetime.total_seconds()), interval=approval.interval
    )


def _settled(parameters: Mapping[str, str], client: Client, ports: Ports) -> Mapping[str, str]:
    """May call the client's server for its keys."""
    jwks: Mapping[str, Any] = {"keys": []}
    if "request" in parameters:
        try:
            jwks = ports.client_keys.of(client, kid=read_jws(parameters["request"]).kid)
        except InvalidToken as unknown:
            raise InvalidRequest("request object: no key of this client is known for it") from unknown
    return settle(parameters, client, jwks=jwks, issuer=ports.policy.issuer, now=ports.clock())


def _subject(asked: BackchannelRequest, client: Client, ports: Ports) -> Subject:
    if asked.id_token_hint is None:
        if asked.hint is None:
            raise InvalidRequest("no hint")
        return asked.hint
    try:
        hint = read_hint(asked.id_token_hint, ports=ports)
    except InvalidToken as invalid:
        raise InvalidRequest("id_token_hint is not an ID token of ours") from invalid
    if hint.client_id != client.client_id:
        raise InvalidRequest("id_token_hint was issued to another client")
    return hint.subject


# --- the approver channel --------------------------------------------------------------------------------------------


def approve(auth_req_id: str, *, ports: Ports) -> Begun:
    """Open the login that ends in the approval; only the person it is about can finish it. Raises InteractionUnknown.

    For the operator's approver channel alone: whoever calls it has the auth_req_id from us, not from a client.
    """
    browser_secret = mint(ports.entropy)
    interaction_id = InteractionID(b64url(ports.entropy(24)))
    with ports.store.transaction() as tx:
        approval, _ = _pending(tx, auth_req_id, ports)
        tx.interactions.open(
            Interaction(
                interaction_id=interaction_id,
                request=replace(approval.request, backchannel=approval.digest.hex()),
                browser_digest=digest(browser_secret),
                expires_at=approval.expires_at,
            )
        )
    return Begun(interaction_id=interaction_id, browser_secret=browser_secret)


def deny(auth_req_id: str, *, ports: Ports) -> RefusedToClient | elsewhere.AnsweredElsewhere:
    """The resident says no, which needs no card (design 4.13: it narrows). Raises InteractionUnknown."""
    with ports.store.transaction() as tx:
        approval, client = _pending(tx, auth_req_id, ports)
        return elsewhere.decline(
            tx,
            replace(approval.request, backchannel=approval.digest.hex()),
            client,
            AccessDenied("the resident said no"),
            reference=None,
            now=ports.clock(),
        )


def _pending(tx: Transaction, auth_req_id: str, ports: Ports) -> tuple[Approval, Client]:
    approval = tx.backchannel_requests.pending(digest(auth_req_id), now=ports.clock())
    client = None if approval is None else tx.clients.get(approval.client_id)
    if approval is None or client is None:
        raise InteractionUnknown("unknown, about nobody known, answered or run out")
    return approval, client


# --- telling the client ----------------------------------------------------------------------------------------------


def announce(key: bytes, *, ports: Ports) -> bool:
    """Tell the client once that there is an answer (CIBA Core §10.2), outside any unit of work; whether it heard.

    Each try is counted before it is made, so that no two workers and no restart exceed MAX_NOTIFICATIONS.
    """
    now = ports.clock()
    with ports.store.transaction() as tx:
        claimed = tx.backchannel_requests.claim(key, most=MAX_NOTIFICATIONS, now=now)
        client = None if claimed is None else tx.clients.get(claimed[0])
    if claimed is None or client is None or client.ciba_notification_endpoint is None:
        return False
    secrets = json.loads(ports.keys.unseal(claimed[1], context=key))
    try:
        ports.client_pings.ping(
            client.ciba_notification_endpoint, auth_req_id=secrets["auth_req_id"], token=secrets["token"]
        )
    except (OutboundRefused, OutboundFailed):
        return False
    with ports.store.transaction() as tx:
        tx.backchannel_requests.told(key)
    return True


def announce_all(ports: Ports) -> Mapping[str, int]:
    """The timetable's part: tell those that did not hear it the first time."""
    with ports.store.transaction() as tx:
        waiting = tx.backchannel_requests.untold(most=MAX_NOTIFICATIONS, now=ports.clock())
    heard = sum(announce(key, ports=ports) for key in waiting)
    return {"told": heard, "failed": len(waiting) - heard}
