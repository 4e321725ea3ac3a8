"""The signing API (`docs/integrators.md`): documents are ordered, looked after, and their signatures fetched."""

from __future__ import annotations

from http import HTTPStatus

import werkzeug.exceptions

from broker.flows import sign_transactions
from broker.flows.ports import Ports
from broker.ids import SignTransactionID
from broker.web.endpoint import NO_STORE, EndpointRequest, EndpointResponse, call, json_response, jwt_response, pairs


def order(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """201 with the id that the authorization request names next."""
    if request.media_type != "application/json":
        raise werkzeug.exceptions.UnsupportedMediaType
    made = sign_transactions.order(call(request, ports, pairs=pairs(request.query)), request.body, ports=ports)
    told = {"sign_transaction_id": made.sign_transaction_id, "expires_in": made.expires_in}
    place = ("Location", f"{ports.policy.issuer}{request.path}/{made.sign_transaction_id}")
    return json_response(told, status=HTTPStatus.CREATED, headers=(*NO_STORE, place))


def one(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """How far one is; with DELETE it is gone."""
    asked, name = call(request, ports, pairs=pairs(request.query)), _name(request)
    if request.method == "DELETE":
        sign_transactions.cancel(asked, name, ports=ports)
        return EndpointResponse(status=HTTPStatus.NO_CONTENT, headers=NO_STORE)
    found = sign_transactions.status(asked, name, ports=ports)
    return json_response(
        {
            "sign_transaction_id": found.sign_transaction_id,
            "status": found.state.value,
            "expires_in": found.expires_in,
            "fetched": found.fetched,
        }
    )


def result(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """A compact JWE to the client's key (RFC 7515 §9.2.1: application/jose)."""
    found = sign_transactions.result(call(request, ports, pairs=pairs(request.query)), _name(request), ports=ports)
    return jwt_response(found, "application/jose")


def _name(request: EndpointRequest) -> SignTransactionID:
    return SignTransactionID(request.path.split("/")[3])
