"""What anyone may know of this provider: OIDC Discovery §4, RFC 8414 §3, and its public keys (RFC 7517 §5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from broker.flows.discovery import provider_metadata, published_keys
from broker.flows.ports import JWKS_MAX_AGE, Ports
from broker.jose import b64url
from broker.web.endpoint import EndpointRequest, EndpointResponse, Headers, json_response

CROSS_ORIGIN: Headers = (("Access-Control-Allow-Origin", "*"), ("Cross-Origin-Resource-Policy", "cross-origin"))
"""For public documents that a client in a browser may read."""
_PUBLIC: Headers = (("Cache-Control", "public, max-age=300"), *CROSS_ORIGIN)


def document(_: EndpointRequest, ports: Ports) -> EndpointResponse:
    """One document under both names."""
    return json_response(provider_metadata(ports), headers=_PUBLIC)


def jwks(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """Keys of ID and access tokens, about to sign, signing and still overlapping, and those that clients encrypt to.

    How long it may be kept is what a rotation waits for before a new key signs. Unchanged, it is not sent again.
    """
    return _keys(published_keys(ports), request)


def receipt_keys(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """Every key that ever signed a receipt. They stand apart: a receipt is never taken for a token."""
    return _keys(ports.keys.receipt_keys(), request)


def _keys(keys: Mapping[str, Any], request: EndpointRequest) -> EndpointResponse:
    lasting = ("Cache-Control", f"public, max-age={int(JWKS_MAX_AGE.total_seconds())}")
    response = json_response(keys, headers=(lasting, *CROSS_ORIGIN))
    tag = f'"{b64url(sha256(response.body).digest())}"'
    headers = (*response.headers, ("ETag", tag))
    if tag in request.if_none_match:
        return EndpointResponse(status=304, headers=headers)
    return replace(response, headers=headers)
