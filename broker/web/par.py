"""The pushed authorization request endpoint (RFC 9126 §2)."""

from __future__ import annotations

from broker.flows import par
from broker.flows.ports import Ports
from broker.web.endpoint import EndpointRequest, EndpointResponse, form_call, json_response


def push(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """201 with the name of the request; refusals are JSON like the token endpoint's (RFC 9126 §2.3)."""
    pushed = par.push(form_call(request, ports), ports=ports)
    return json_response({"request_uri": pushed.request_uri, "expires_in": pushed.expires_in}, status=201)
