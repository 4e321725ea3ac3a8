"""Powers of attorney for programs, on behalf of the person who is logged in to them (`docs/integrators.md`)."""

from __future__ import annotations

from broker.flows import mandate_access
from broker.flows.ports import Ports
from broker.web.endpoint import EndpointRequest, EndpointResponse, call, json_response, pairs


def mine(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """A page of them, in short."""
    return json_response(mandate_access.mine(call(request, ports, pairs=pairs(request.query)), ports=ports))


def one(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """One, whole."""
    asked = call(request, ports, pairs=pairs(request.query))
    return json_response(mandate_access.one(asked, request.path.rpartition("/")[2], ports=ports))


def end(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """Suspend or revoke; the answer is how it stands then."""
    number, _, deed = request.path.removeprefix("/api/delegations/").partition("/")
    asked = call(request, ports, pairs=pairs(request.query))
    return json_response(mandate_access.end(asked, number, deed, ports=ports))
