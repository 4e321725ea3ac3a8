"""Asking about tokens (RFC 7662) and ending them (RFC 7009)."""

from __future__ import annotations

from broker.flows import introspection
from broker.flows.ports import Ports
from broker.web.endpoint import (
    NO_STORE,
    EndpointRequest,
    EndpointResponse,
    form_call,
    json_response,
    jwt_response,
)

JWT = f"application/{introspection.JWT_TYPE}"


def introspect(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """JSON, or the JWT of RFC 9701 for who accepts that."""
    as_jwt = JWT in request.accept.lower()
    told = introspection.introspect(form_call(request, ports), as_jwt=as_jwt, ports=ports)
    return json_response(told.claims) if told.token is None else jwt_response(told.token, JWT)


def revoke(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """An empty 200 whatever became of the token (RFC 7009 §2.2)."""
    introspection.revoke(form_call(request, ports), ports=ports)
    return EndpointResponse(headers=NO_STORE)
