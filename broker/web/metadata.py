"""What anyone may know of this provider: OIDC Discovery §4, RFC 8414 §3, and its public keys (RFC 7517 §5)."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from broker.flows.ports import JWKS_MAX_AGE, KeyUse
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
    """Keys of ID and access tokens, about to sign, signing and still overlapping, and those that clients encrypt to.

    How long it may be kept is what a rotation waits for before a new key signs. Unchanged, it is not sent again.
    """
    uses = (KeyUse.ID_TOKEN, KeyUse.ACCESS_TOKEN, KeyUse.REQUEST_ENCRYPTION)
    response = _public(jsonify(ports().keys.jwks(*uses)))
    response.headers["Cache-Control"] = f"public, max-age={int(JWKS_MAX_AGE.total_seconds())}"
    response.add_etag()
    response.make_conditional(request)
    return response


def _public(response: Response) -> Response:
    response.headers["Cache-Control"] = "public, max-age=300"
    response.headers.update(CROSS_ORIGIN)
    return response
