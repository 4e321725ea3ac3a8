"""Where programs ask for an approval on another device (RFC 8628 §3.1, CIBA Core §7)."""

from __future__ import annotations

from broker.flows import ciba
from broker.flows import device as devices
from broker.flows.ports import Ports
from broker.web.endpoint import EndpointRequest, EndpointResponse, form_call, json_response


def device(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """A device code and a user code. Refusals are JSON."""
    return json_response(devices.begin(form_call(request, ports), ports=ports).members())


def backchannel(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """An auth_req_id. Refusals are JSON."""
    return json_response(ciba.begin(form_call(request, ports), ports=ports).members())
