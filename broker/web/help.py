"""What residents read when they do not know how to go on, and how far these pages serve everybody."""

from __future__ import annotations

from flask import Blueprint, Response, url_for

from broker.web.pages import page

blueprint = Blueprint("help", __name__)


@blueprint.get("/help")
def show() -> Response:
    """Readers, card sides, PINs, and whom to ask (WCAG 3.2.6)."""
    return page("help.html", again_url=url_for("help.show"))


@blueprint.get("/accessibility")
def accessibility() -> Response:
    """The accessibility statement."""
    return page("accessibility.html", again_url=url_for("help.accessibility"))


@blueprint.get("/reading")
def reading() -> Response:
    """Language and readings, for who comes from a page that cannot be shown twice."""
    return page("reading.html", again_url=url_for("help.reading"))
