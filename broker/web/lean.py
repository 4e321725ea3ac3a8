"""The endpoints that programs call, answered before Flask sees them; everything else goes on to the pages.

What a request costs here is what its rules cost: no routing, context or response object stands between.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import nullcontext
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge

from broker.flows.ports import Ports
from broker.web import headers, routes, silent
from broker.web.address import caller, environ_name
from broker.web.endpoint import EndpointRequest, EndpointResponse, most, refusal
from broker.web.logging import REQUEST_ID, log_request
from broker.web.settings import WebSettings
from broker.web.turn import Turn

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_STATUS: Final = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class Lean:
    """A WSGI application in front of `pages`."""

    def __init__(self, pages: WSGIApplication, ports: Ports, *, web: WebSettings) -> None:
        self._pages = pages
        self._ports = ports
        # Whatever Host a request names: our address is what the operator says, and Flask fails at a name that is none.
        self._host = urlsplit(ports.policy.issuer).netloc
        self._secure = web.secure
        header = web.client_certificate_header
        self._turn = Turn().taken if web.takes_turns else nullcontext
        self._certificate = environ_name(header)
        self._address = environ_name(web.client_address_header)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        started = time.perf_counter()
        request_id = self._ports.entropy(8).hex()
        response: EndpointResponse | None = None
        route = routes.route(path)
        if route is not None:
            response = self._answer(environ, request_id)
        elif path == "/authorize":
            response = self._silent(environ, request_id)
        if response is None:
            environ["HTTP_HOST"] = self._host
            environ[REQUEST_ID] = request_id
            return self._pages(environ, start_response)
        start_response(_STATUS[response.status], self._headers(response, request_id))
        log_request(
            request_id=request_id,
            method=environ["REQUEST_METHOD"],
            route=route or path,
            status=response.status,
            seconds=time.perf_counter() - started,
        )
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else response.body]

    def _answer(self, environ: WSGIEnvironment, request_id: str) -> EndpointResponse:
        try:
            request = self._request(environ, request_id)
            with self._turn():
                return routes.answer(request, self._ports)
        except HTTPException as error:
            unread = EndpointRequest(method=environ["REQUEST_METHOD"], path=environ["PATH_INFO"], request_id=request_id)
            return refusal(error, unread, issuer=self._ports.policy.issuer)

    def _silent(self, environ: WSGIEnvironment, request_id: str) -> EndpointResponse | None:
        """None where a page must answer: a refusal has its words there, and has changed nothing."""
        if environ["REQUEST_METHOD"] != "GET":
            return None
        try:
            request = self._request(environ, request_id)
            with self._turn():
                return silent.authorize(request, self._ports, secure=self._secure)
        except Exception:  # what nobody foresaw too: the pages meet it again, and say and log it as all others
            return None

    def _request(self, environ: WSGIEnvironment, request_id: str) -> EndpointRequest:
        """Raises werkzeug's 400 and 413."""
        method = environ["REQUEST_METHOD"]
        authorization = environ.get("HTTP_AUTHORIZATION")
        dpop = environ.get("HTTP_DPOP")
        return EndpointRequest(
            method=method,
            path=environ["PATH_INFO"],
            query=environ.get("QUERY_STRING", "").encode("latin-1", "replace"),
            content_type=environ.get("CONTENT_TYPE", ""),
            body=b"" if method in {"GET", "HEAD"} else _body(environ),
            authorization=() if authorization is None else (authorization,),
            # A gateway joins headers of one name with a comma, which no proof contains: two are seen as two.
            dpop=() if dpop is None else tuple(proof.strip() for proof in dpop.split(",")),
            certificate=environ.get(self._certificate) if self._certificate else None,
            address=caller(environ, header=self._address),
            if_none_match=environ.get("HTTP_IF_NONE_MATCH", ""),
            accept=environ.get("HTTP_ACCEPT", ""),
            cookies=environ.get("HTTP_COOKIE", ""),
            request_id=request_id,
        )

    def _headers(self, response: EndpointResponse, request_id: str) -> list[tuple[str, str]]:
        sent = list(response.headers)
        sent += headers.missing({name for name, _ in sent}, secure=self._secure)
        if response.status not in {HTTPStatus.NOT_MODIFIED, HTTPStatus.NO_CONTENT}:  # RFC 9110 §8.6
            sent.append(("Content-Length", str(len(response.body))))
        sent.append(("X-Request-ID", request_id))
        return sent


def _body(environ: dict[str, Any]) -> bytes:
    """At most what the path takes, whatever was announced. Raises werkzeug's 400 and 413."""
    limit = most(environ["PATH_INFO"], authorized="HTTP_AUTHORIZATION" in environ)
    announced = environ.get("CONTENT_LENGTH") or ""
    if announced:
        if not (announced.isascii() and announced.isdigit() and len(announced) <= 12):
            raise BadRequest
        if int(announced) > limit:
            raise RequestEntityTooLarge
        wanted = int(announced)
    elif environ.get("HTTP_TRANSFER_ENCODING"):
        wanted = limit + 1  # in pieces: how many there are is seen on reading
    else:
        return b""
    body: bytes = environ["wsgi.input"].read(wanted)
    if len(body) > limit:
        raise RequestEntityTooLarge
    return body
