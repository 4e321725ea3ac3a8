"""The token endpoint (RFC 6749 §3.2)."""

from __future__ import annotations

from broker.flows import token
from broker.flows.ports import Ports
from broker.web.endpoint import EndpointRequest, EndpointResponse, form_call, json_response


def exchange(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """Something that was granted for tokens. Refusals are JSON."""
    return json_response(token.exchange(form_call(request, ports), ports=ports).members())
