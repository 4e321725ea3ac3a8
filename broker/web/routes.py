"""Every endpoint that programs call, by its path; what a resident sees is in the blueprints."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

import werkzeug.exceptions

from broker.flows.ports import Ports
from broker.oidc.dpop import mint_nonce
from broker.web import (
    approvals,
    guardianships,
    introspection,
    joints,
    links,
    mandate_access,
    metadata,
    par,
    receipts,
    registration,
    sign_transactions,
    token,
    userinfo,
)
from broker.web.endpoint import Endpoint, EndpointRequest, EndpointResponse, most, refusal

ROUTES: Final[dict[str, tuple[tuple[str, ...], Endpoint]]] = {
    "/.well-known/oauth-authorization-server": (("GET",), metadata.document),
    "/.well-known/openid-configuration": (("GET",), metadata.document),
    "/api/guardianships": (("POST",), guardianships.listed),
    "/api/guardianships/confirm": (("POST",), guardianships.confirm),
    "/api/guardianships/end": (("POST",), guardianships.end),
    "/api/delegations": (("GET",), mandate_access.mine),
    "/api/delegations/{id}": (("GET",), mandate_access.one),
    "/api/delegations/{id}/revoke": (("POST",), mandate_access.end),
    "/api/delegations/{id}/suspend": (("POST",), mandate_access.end),
    "/api/links": (("POST",), links.ask),
    "/api/links/confirm": (("POST",), links.confirm),
    "/api/links/end": (("POST",), links.end),
    "/api/links/state": (("POST",), links.state),
    "/.well-known/receipt-keys": (("GET",), metadata.receipt_keys),
    "/api/receipts": (("GET",), receipts.page),
    "/api/receipts/{id}": (("GET",), receipts.one),
    "/api/joint-transactions": (("POST",), joints.order),
    "/api/joint-transactions/{id}": (("GET", "DELETE"), joints.one),
    "/api/sign-transactions": (("POST",), sign_transactions.order),
    "/api/sign-transactions/{id}": (("GET", "DELETE"), sign_transactions.one),
    "/api/sign-transactions/{id}/result": (("GET",), sign_transactions.result),
    "/backchannel_authentication": (("POST",), approvals.backchannel),
    "/device_authorization": (("POST",), approvals.device),
    "/introspect": (("POST",), introspection.introspect),
    "/jwks": (("GET",), metadata.jwks),
    "/par": (("POST",), par.push),
    "/register": (registration.METHODS, registration.serve),
    "/revoke": (("POST",), introspection.revoke),
    "/token": (("POST",), token.exchange),
    "/userinfo": (("GET", "POST"), userinfo.answer),
}
"""The methods served (HEAD goes with GET), and the function. `{id}` stands for one of our own names."""
_UNDER: Final = "/api/"
_NAMED: Final = tuple(
    (re.compile(re.escape(path).replace(r"\{id\}", "[A-Za-z0-9_-]{1,64}")), path) for path in ROUTES if "{id}" in path
)
_JSON_PATHS: Final = ("/healthz", "/readyz", "/.well-known/", "/api/", "/register-log/")
"""Beside them: where a refusal is JSON and not a page."""


def route(path: str) -> str | None:
    """Which of ROUTES a path is; None for none."""
    if path in ROUTES:
        return path
    if path.startswith(_UNDER):
        return next((known for shape, known in _NAMED if shape.fullmatch(path)), None)
    return None


def serves(path: str) -> bool:
    """Is this a program's address, so that a refusal is JSON?"""
    return path in ROUTES or path.startswith(_JSON_PATHS)


def answer(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """Serve one of ROUTES; every error becomes its refusal. Who sends a DPoP proof gets a nonce for the next one."""
    response = _answer(request, ports)
    if not request.dpop:
        return response
    nonce = mint_nonce(ports.keys.nonce_keys().secrets[0], ports.clock())
    return replace(response, headers=(*response.headers, ("DPoP-Nonce", nonce)))  # RFC 9449 §8.2


def _answer(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    methods, function = ROUTES[route(request.path) or ""]
    try:
        if request.method not in methods and not (request.method == "HEAD" and "GET" in methods):
            raise werkzeug.exceptions.MethodNotAllowed(valid_methods=methods)
        if len(request.body) > most(request.path, authorized=bool(request.authorization)):
            raise werkzeug.exceptions.RequestEntityTooLarge
        return function(request, ports)
    except Exception as error:
        return refusal(error, request, issuer=ports.policy.issuer)
