"""The endpoints of `endpoint` in Flask: one adapter for all of them."""

from __future__ import annotations

from flask import Blueprint, Response, g, request

from broker.web import routes
from broker.web.endpoint import EndpointRequest, EndpointResponse
from broker.web.settings import ports, web_settings

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
"""All come to the adapter, so that a wrong one is refused as JSON."""


def blueprint() -> Blueprint:
    """Every route of `routes.ROUTES`."""
    endpoints = Blueprint("endpoints", __name__)
    for path in routes.ROUTES:
        endpoints.add_url_rule(path, endpoint=path.strip("/").replace(".", "_"), view_func=_serve, methods=METHODS)
    return endpoints


def _serve() -> Response:
    return answer(routes.answer(call(), ports()))


def call() -> EndpointRequest:
    """The request at hand. A body over the limit is werkzeug's 413."""
    header = web_settings().client_certificate_header
    return EndpointRequest(
        method=request.method,
        path=request.path,
        query=request.query_string,
        content_type=request.content_type or "",
        body=request.get_data() if request.method not in {"GET", "HEAD"} else b"",
        authorization=tuple(request.headers.getlist("Authorization")),
        dpop=tuple(request.headers.getlist("DPoP")),
        certificate=request.headers.get(header) if header else None,
        if_none_match=request.headers.get("If-None-Match", ""),
        cookies=request.headers.get("Cookie", ""),
        request_id=g.get("request_id"),
    )


def answer(response: EndpointResponse) -> Response:
    """As Flask sends it."""
    return Response(response.body, response.status, list(response.headers))
