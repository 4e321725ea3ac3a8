"""The token endpoint (RFC 6749 §3.2) and userinfo (OIDC Core §5.3)."""

from __future__ import annotations

from broker.errors import InvalidAccessToken
from broker.flows import token
from broker.flows.ports import Ports
from broker.web.endpoint import EndpointRequest, EndpointResponse, form_call, json_response


def exchange(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """Something that was granted for tokens. Refusals are JSON."""
    return json_response(token.exchange(form_call(request, ports), ports=ports).members())


def userinfo(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """The token in the Authorization header only (RFC 6750 §2.1)."""
    scheme, _, credentials = (request.authorization[0] if len(request.authorization) == 1 else "").partition(" ")
    if scheme.lower() != "bearer" or not credentials:
        raise InvalidAccessToken("no bearer token")
    return json_response(token.userinfo(credentials.strip(" "), ports=ports))
