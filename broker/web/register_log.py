"""The register of mandates below /register-log/: files that anybody may fetch, copy and check (C2SP tlog-tiles)."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, Response, current_app
from werkzeug.exceptions import NotFound

from broker.audit.tiles import read_path
from broker.flows.ports import Ports
from broker.flows.register_files import checkpoint_file, log_file
from broker.web.metadata import CROSS_ORIGIN

blueprint = Blueprint("register", __name__, url_prefix="/register-log")

_FOR_EVER = "public, max-age=31536000, immutable"
_MOVES = "public, max-age=2"


def _ports() -> Ports:
    ports: Ports = current_app.extensions["broker"]
    return ports


def _origin(year: int) -> str:
    return f"{urlsplit(_ports().policy.issuer).netloc}/register-log/{year}"


@blueprint.get("/<int(fixed_digits=4):year>/checkpoint")
def checkpoint(year: int) -> Response:
    """The newest checkpoint with its cosignatures."""
    with _ports().store.transaction() as tx:
        data = checkpoint_file(tx, _origin(year))
    return _file(data, "text/plain; charset=utf-8", _MOVES)


@blueprint.get("/<int(fixed_digits=4):year>/tile/<path:rest>")
def tile(year: int, rest: str) -> Response:
    """A tile of hashes or a bundle of entries; it never changes."""
    wanted = read_path(f"tile/{rest}")
    if wanted is None:
        raise NotFound
    with _ports().store.transaction() as tx:
        data = log_file(tx, _origin(year), wanted)
    return _file(data, "application/octet-stream", _FOR_EVER)


def _file(data: bytes | None, media_type: str, caching: str) -> Response:
    if data is None:
        raise NotFound
    response = Response(data, content_type=media_type)
    response.headers["Cache-Control"] = caching
    for name, value in CROSS_ORIGIN:
        response.headers[name] = value
    return response
