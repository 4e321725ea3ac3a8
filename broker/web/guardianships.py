"""Where services confirm and end what people may do for a child or a parent at them, from server to server."""

from __future__ import annotations

from broker.flows import guardianships
from broker.flows.ports import Ports
from broker.web.endpoint import NO_STORE, EndpointRequest, EndpointResponse, form_call, json_response


def listed(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """Those of one person who acts at the service."""
    return json_response({"guardianships": guardianships.listed(form_call(request, ports), ports=ports)})


def confirm(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """An empty 200: it goes on to hold."""
    guardianships.confirm(form_call(request, ports), ports=ports)
    return EndpointResponse(headers=NO_STORE)


def end(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """An empty 200: it holds no more."""
    guardianships.end(form_call(request, ports), ports=ports)
    return EndpointResponse(headers=NO_STORE)
