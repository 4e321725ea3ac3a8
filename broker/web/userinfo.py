"""The userinfo endpoint (OIDC Core §5.3)."""

from __future__ import annotations

from broker.flows import userinfo
from broker.flows.ports import Ports
from broker.web.endpoint import (
    FORM,
    EndpointRequest,
    EndpointResponse,
    call,
    json_response,
    jwt_response,
    pairs,
)


def answer(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """Claims as JSON, or as the JWT that the client is registered for."""
    found = pairs(request.query)
    if request.media_type == FORM:
        found += pairs(request.body)
    told = userinfo.userinfo(call(request, ports, pairs=found), ports=ports)
    return json_response(told.claims) if told.token is None else jwt_response(told.token, "application/jwt")
