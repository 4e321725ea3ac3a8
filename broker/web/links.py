"""Where services begin, look after and end their links (官民ID連携), from server to server."""

from __future__ import annotations

from broker.flows import link_api
from broker.flows.ports import Ports
from broker.web.endpoint import NO_STORE, EndpointRequest, EndpointResponse, form_call, json_response


def ask(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """201 with the handle for the browser."""
    return json_response(link_api.ask(form_call(request, ports), ports=ports).members(), status=201)


def state(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """What has become of one."""
    return json_response(link_api.state(form_call(request, ports), ports=ports))


def end(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """An empty 200 whether or not there was one."""
    link_api.end(form_call(request, ports), ports=ports)
    return EndpointResponse(headers=NO_STORE)


def confirm(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """An empty 200: a held link is active."""
    link_api.confirm(form_call(request, ports), ports=ports)
    return EndpointResponse(headers=NO_STORE)
