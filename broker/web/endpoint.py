"""What programs call, without a framework: a function from a small frozen request to a small frozen response.

`lean` answers with these functions in front of Flask; `routes` says which path is whose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

import werkzeug.exceptions
from werkzeug.exceptions import HTTPException

from broker.errors import (
    InsufficientScope,
    InvalidAccessToken,
    InvalidClient,
    InvalidDPoPProof,
    InvalidRequest,
    UseDPoPNonce,
)
from broker.flows.call import Call
from broker.flows.ports import Ports
from broker.jose import compact_json
from broker.oidc.authorization import MAX_PARAMETERS
from broker.oidc.dpop import ALGORITHMS
from broker.oidc.sign_transaction import MAX_ORDER
from broker.web.catalogue import answer_to, description, report, retry_after

MAX_BODY: Final = 64 * 1024
"""Octets; a larger body is 413 before it is read."""
_LARGER: Final = {"/api/sign-transactions": MAX_ORDER}
"""Where whole documents come in."""
FORM: Final = "application/x-www-form-urlencoded"
Headers = tuple[tuple[str, str], ...]
NO_STORE: Final[Headers] = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))  # RFC 6749 §5.1


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRequest:
    """One request of a program. Header values are as received; several of one name stay several."""

    method: str
    path: str
    query: bytes = b""
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)
    authorization: tuple[str, ...] = field(default=(), repr=False)
    dpop: tuple[str, ...] = ()
    certificate: str | None = field(default=None, repr=False)
    """The client certificate as the TLS front hands it on; None where there is no such front, or no certificate."""
    address: str | None = field(default=None, repr=False)
    """`address.caller`."""
    cookies: str = field(default="", repr=False)
    if_none_match: str = ""
    accept: str = ""
    request_id: str | None = None

    @property
    def media_type(self) -> str:
        return self.content_type.partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointResponse:
    """What goes back."""

    status: int = 200
    headers: Headers = ()
    body: bytes = field(default=b"", repr=False)


def wants_scope(path: str) -> str | None:
    """Of which scope an access token is shown there; None where none is. What is wrong with its proof is 401
    (RFC 9449 §7.1)."""
    if path == "/userinfo":
        return "openid"
    if path.startswith("/api/receipts"):
        return "receipts"
    if path.startswith("/api/delegations"):
        return "delegations"
    return "sign" if path.startswith("/api/sign-transactions") else None


def most(path: str, *, authorized: bool) -> int:
    """The octets that a body may have; more than the usual only for who brings a token at all."""
    return _LARGER.get(path, MAX_BODY) if authorized else MAX_BODY


Endpoint = Callable[[EndpointRequest, Ports], EndpointResponse]
"""Raises what the catalogue has words for."""


def json_response(value: Mapping[str, Any], *, status: int = 200, headers: Headers = NO_STORE) -> EndpointResponse:
    """A JSON object."""
    body = compact_json(value)
    return EndpointResponse(status=status, headers=(("Content-Type", "application/json"), *headers), body=body)


def jwt_response(token: str, media_type: str) -> EndpointResponse:
    """A signed or encrypted answer."""
    return EndpointResponse(headers=(("Content-Type", media_type), *NO_STORE), body=token.encode("ascii"))


def refusal(error: Exception, request: EndpointRequest, *, issuer: str) -> EndpointResponse:
    """RFC 6749 §5.2, RFC 6750 §3, RFC 9449 §7.1: 401 only where a client, token or key was not accepted."""
    told = answer_to(error)
    report(error, request_id=request.request_id)
    body = {"error": told.oauth or "invalid_request", "error_description": description(error)}
    status = told.http
    headers: list[tuple[str, str]] = [*NO_STORE]
    if isinstance(error, InvalidClient) and request.authorization:
        headers.append(("WWW-Authenticate", f'Basic realm="{issuer}"'))  # RFC 6749 §5.2: the scheme that was tried
    elif isinstance(error, InvalidAccessToken | InsufficientScope):
        headers.append(("WWW-Authenticate", _challenge(error, request, body, issuer=issuer)))
    elif isinstance(error, InvalidDPoPProof | UseDPoPNonce) and wants_scope(request.path) is not None:
        status = 401
        headers.append(("WWW-Authenticate", _challenge(error, request, body, issuer=issuer)))
    if isinstance(error, HTTPException):
        headers += [pair for pair in error.get_headers({}) if pair[0] == "Allow"]
    if (seconds := retry_after(error)) is not None:
        headers.append(("Retry-After", str(seconds)))
    return json_response(body, status=status, headers=tuple(headers))


def _challenge(error: Exception, request: EndpointRequest, body: Mapping[str, str], *, issuer: str) -> str:
    """In the scheme that was tried."""
    tried = request.authorization[0].partition(" ")[0].lower() if request.authorization else ""
    challenge = f'realm="{issuer}"'
    if tried:  # RFC 6750 §3.1: no error code for who sent no token at all
        challenge += f', error="{body["error"]}", error_description="{body["error_description"]}"'
    if isinstance(error, InsufficientScope):
        challenge += f', scope="{wants_scope(request.path)}"'
    if tried == "dpop" or isinstance(error, InvalidDPoPProof | UseDPoPNonce):
        return f'DPoP {challenge}, algs="{" ".join(ALGORITHMS)}"'
    return f"Bearer {challenge}"


# --- reading ---------------------------------------------------------------------------------------------------------


def form_call(request: EndpointRequest, ports: Ports) -> Call:
    """A form body as the flows take it. Raises InvalidRequest, or werkzeug's 415."""
    if request.media_type != FORM:
        raise werkzeug.exceptions.UnsupportedMediaType
    return call(request, ports, pairs=pairs(request.body))


def call(request: EndpointRequest, ports: Ports, *, pairs: list[tuple[str, str]]) -> Call:
    """The request as the flows take it; its address is our own word for it, never a Host header.

    Where a certificate came along, it came to the origin that asks for one (RFC 8705 §5).
    """
    policy = ports.policy
    origin = policy.mtls_origin if request.certificate and policy.mtls_origin else policy.issuer
    return Call(
        method=request.method,
        url=f"{origin}{request.path}",
        pairs=tuple(pairs),
        authorization=request.authorization,
        dpop=request.dpop,
        certificate=request.certificate,
        address=request.address,
    )


def pairs(raw: bytes) -> list[tuple[str, str]]:
    """Names and values one by one and bounded, so that `oidc` can see what stands twice. Raises InvalidRequest."""
    if len(raw) > MAX_BODY:
        raise InvalidRequest("too many or too long parameters")
    try:
        found = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError as malformed:  # too many fields, or octets that are not UTF-8
        raise InvalidRequest("parameters are too many or not UTF-8") from malformed
    if b"\x00" in raw or b"%00" in raw:
        raise InvalidRequest("a parameter holds NUL")  # a database may not be able to keep it
    return found
