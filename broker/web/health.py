"""For whoever watches the process: is it alive, and can it serve?"""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from broker.errors import StoreUnavailable
from broker.flows.ports import KeyUse
from broker.ids import ClientID
from broker.web.settings import ports

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def alive() -> Response:
    """The process answers; nothing else is asked."""
    return jsonify({"status": "ok"})


@blueprint.get("/readyz")
def ready() -> Response:
    """Store and keys can be read, else 503 (StoreUnavailable) and a load balancer goes elsewhere.

    `keys` is `stale` while a changed key file cannot be taken and the last good one serves.
    """
    with ports().store.transaction() as tx:
        tx.clients.get(ClientID("readyz"))
    ports().keys.signer(KeyUse.ID_TOKEN)
    days_left = (ports().keys.statement_expires_at() - ports().clock()).days
    if days_left < 0:
        raise StoreUnavailable("the statement of request keys has expired: no agent accepts our requests")
    keys = "good" if ports().keys.trouble() is None else "stale"
    return jsonify({"status": "ready", "keys": keys, "request_statement_days_left": days_left})
