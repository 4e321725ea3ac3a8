"""What anyone may know of this provider: OIDC Discovery §4, RFC 8414 §3, and its public keys (RFC 7517 §5)."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from broker.flows.ports import KeyUse
from broker.oidc import discovery
from broker.web.pages import CROSS_ORIGIN
from broker.web.settings import ports

blueprint = Blueprint("metadata", __name__)


@blueprint.get("/.well-known/openid-configuration")
@blueprint.get("/.well-known/oauth-authorization-server")
def document() -> Response:
    """One document under both names."""
    return _public(jsonify(discovery.metadata(ports().policy.issuer)))


@blueprint.get("/jwks")
def jwks() -> Response:
    """The keys of ID and access tokens, current and still overlapping."""
    return _public(jsonify(ports().keys.jwks(KeyUse.ID_TOKEN, KeyUse.ACCESS_TOKEN)))


def _public(response: Response) -> Response:
    response.headers["Cache-Control"] = "public, max-age=300"
    response.headers.update(CROSS_ORIGIN)
    return response
