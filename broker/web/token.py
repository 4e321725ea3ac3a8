"""The endpoints that programs call: token (RFC 6749 §3.2) and userinfo (OIDC Core §5.3)."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from broker.errors import InvalidAccessToken
from broker.flows import token
from broker.web.form import body_pairs
from broker.web.settings import ports

blueprint = Blueprint("token", __name__)


@blueprint.post("/token")
def exchange() -> Response:
    """A code for tokens. Refusals are JSON (broker.web.errors)."""
    response = jsonify(
        token.exchange(
            body_pairs(), has_authorization_header="Authorization" in request.headers, ports=ports()
        ).members()
    )
    response.headers["Cache-Control"] = "no-store"  # RFC 6749 §5.1
    response.headers["Pragma"] = "no-cache"
    return response


@blueprint.route("/userinfo", methods=["GET", "POST"])
def userinfo() -> Response:
    """The token in the Authorization header only (RFC 6750 §2.1)."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not credentials:
        raise InvalidAccessToken("no bearer token")
    response = jsonify(token.userinfo(credentials.strip(" "), ports=ports()))
    response.headers["Cache-Control"] = "no-store"
    return response
