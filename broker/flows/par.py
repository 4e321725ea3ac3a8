"""Pushed authorization requests (RFC 9126): the client hands its request in itself, and the browser carries a name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from broker.errors import InvalidDPoPProof, InvalidRequest, UnknownClient
from broker.flows.authorization import REPEATABLE, judge
from broker.flows.call import Call
from broker.flows.client_authentication import authenticate
from broker.flows.ports import Ports
from broker.flows.rate import Rate, check_rate
from broker.flows.request_object import PUSHED, settle
from broker.flows.secret import digest, mint
from broker.flows.sender import Sender, judge_proof
from broker.oidc.authorization import AuthorizationRequest, single_values

LIFETIME: Final = timedelta(minutes=5)
"""How long a login may wait to begin (design section 3; FAPI 2.0 §5.3.2.2: below ten minutes)."""
PUSHES_OF_PUBLIC: Final = Rate(limit=600, window=timedelta(minutes=1))
"""Of one client without authentication: anybody can push in its name."""
_OF_THE_CLIENT: Final = frozenset({"client_assertion", "client_assertion_type", "client_secret"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """The name by which the browser brings the request."""

    request_uri: str = field(repr=False)
    expires_in: int
    """Seconds."""


def push(call: Call, *, ports: Ports) -> Pushed:
    """Judge a request in full and keep it (RFC 9126 §2). Raises ProtocolError, TooManyRequests or StoreUnavailable.

    Everything that can refuse it comes before the proof and the assertion are used up.
    """
    parameters = single_values(call.pairs, repeatable=REPEATABLE)
    who = authenticate(call, parameters, ports=ports)
    sender = Sender(proof=judge_proof(call, ports=ports))
    if "request_uri" in parameters:
        raise InvalidRequest("request_uri in a pushed request (RFC 9126 §2.1)")
    asked = {name: value for name, value in parameters.items() if name not in _OF_THE_CLIENT}
    asked["client_id"] = who.client.client_id  # `authenticate` has seen to it that no other one stands there
    try:
        request = judge(settle(asked, who.client, object_only=True, ports=ports), who.client, ports=ports)
    except UnknownClient as unregistered:
        raise InvalidRequest(str(unregistered)) from None
    if sender.jkt is not None and request.dpop_jkt not in {None, sender.jkt}:
        raise InvalidDPoPProof("dpop_jkt is not the key of the proof (RFC 9449 §10.1)")
    name = mint(ports.entropy)
    now = ports.clock()
    with ports.store.transaction() as tx:
        if who.client.public:
            check_rate(tx.attempts, f"par:{who.client.client_id}", PUSHES_OF_PUBLIC, now=now)
        refusal = sender.use_up(tx) or who.use_up(tx)
        if refusal is None:
            tx.pushed_requests.push(digest(name), _bound(request, sender.jkt), expires_at=now + LIFETIME)
    if refusal is not None:
        raise refusal
    return Pushed(request_uri=f"{PUSHED}{name}", expires_in=int(LIFETIME.total_seconds()))


def _bound(request: AuthorizationRequest, jkt: str | None) -> AuthorizationRequest:
    """The code to come is bound to the key of the proof that came along (RFC 9449 §10.1)."""
    return request if jkt is None else replace(request, dpop_jkt=jkt)
