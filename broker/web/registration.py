"""The registration endpoint: RFC 7591 §3 by POST; RFC 7592 §2 by GET, PUT and DELETE with `client_id` in the query."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import werkzeug.exceptions

from broker.errors import InvalidAccessToken, InvalidClientMetadata, InvalidRequest, InvalidToken
from broker.flows import registration
from broker.flows.ports import Ports
from broker.flows.registration import Registered
from broker.ids import ClientID
from broker.jose import parse_json
from broker.oidc.authorization import single_values
from broker.oidc.registration import metadata
from broker.web.endpoint import MAX_BODY, NO_STORE, EndpointRequest, EndpointResponse, json_response, pairs

METHODS = ("POST", "GET", "PUT", "DELETE")


def serve(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """201 for a new client, 200 for one that was read or changed, 204 for one that is gone."""
    client_id = _client_id(request)
    if request.method == "POST":
        if client_id is not None:
            raise InvalidRequest("a new client has no client_id yet")
        token = _bearer(request) if request.authorization else None
        made = registration.register(_given(request), token, ports=ports)
        return json_response(_told(made, ports), status=HTTPStatus.CREATED)
    token = _bearer(request)
    if client_id is None:
        raise InvalidAccessToken("the registration_client_uri names a client_id")
    if request.method == "DELETE":
        registration.remove(client_id, token, ports=ports)
        return EndpointResponse(status=HTTPStatus.NO_CONTENT, headers=NO_STORE)
    if request.method == "PUT":
        return json_response(_told(registration.update(client_id, token, _given(request), ports=ports), ports))
    return json_response(_told(registration.read(client_id, token, ports=ports), ports))


def _bearer(request: EndpointRequest) -> str:
    """The token in the Authorization header, and nowhere else (RFC 6750 §2.1)."""
    scheme, _, token = (request.authorization[0] if len(request.authorization) == 1 else "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip(" "):
        raise InvalidAccessToken("no bearer token")
    return token.strip(" ")


def _client_id(request: EndpointRequest) -> ClientID | None:
    named = single_values(pairs(request.query)).get("client_id")
    return None if named is None else ClientID(named)


def _given(request: EndpointRequest) -> dict[str, Any]:
    if request.media_type != "application/json":
        raise werkzeug.exceptions.UnsupportedMediaType
    try:
        return parse_json(request.body, limit=MAX_BODY)
    except InvalidToken as broken:
        raise InvalidClientMetadata(f"the body: {broken}") from broken


def _told(registered: Registered, ports: Ports) -> dict[str, Any]:
    """All that is stored, and what the client needs to come back."""
    client = registered.client
    told = metadata(client) | {
        "client_id_issued_at": int(registered.issued_at.timestamp()),
        "registration_access_token": registered.token,
        "registration_client_uri": f"{ports.policy.issuer}/register?client_id={client.client_id}",
    }
    if registered.secret is not None:
        told |= {"client_secret": registered.secret, "client_secret_expires_at": 0}
    return told
