"""The story of a token for a token (RFC 8693): a frame that others hang their policies in.

A policy decides who may turn which subject token into what: an answer about a mandate, so far.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from broker.errors import InvalidTarget, UnauthorizedClient
from broker.flows.mandate_exchange import swap_decision
from broker.flows.ports import Ports
from broker.flows.token_request import Issued, TokenRequest
from broker.oidc import resource
from broker.oidc.token_exchange import DECISION, ExchangeRequest, parse

Policy = Callable[[ExchangeRequest, TokenRequest, Ports], Issued]
"""Judges both tokens and issues, all in one unit of work (`token_request.atomically`). Raises ProtocolError."""

POLICIES: Final[Mapping[str, Policy]] = MappingProxyType({DECISION: swap_decision})
"""By `subject_token_type`."""


def swap(request: TokenRequest, ports: Ports) -> Issued:
    """Raises InvalidRequest, InvalidTarget, UnauthorizedClient."""
    asked = parse(request.parameters)
    known = {ports.policy.issuer, *request.client.resources}
    named = resource.parse(request.parameters.get("resource", ""), known=known)
    policy = POLICIES.get(asked.subject_token_type)
    if policy is not None:
        return policy(asked, request, ports)
    if named or asked.audience:
        raise InvalidTarget("no token of this kind is exchanged for this target")
    raise UnauthorizedClient("no token of this kind is exchanged for this client")
