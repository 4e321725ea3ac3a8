"""The television's screen as a page: a code large enough for the other end of the room. No scripts, no cookies."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

import segno
from flask import Flask, abort, redirect, render_template, request, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response

from sandbox.television import NAME
from sandbox.television.login import Scene, Television

REFRESH: Final = 6
"""Seconds after which the page is drawn anew: a little more than the broker wants between two questions."""
LANGUAGES: Final = ("ja", "en")


def create_television(television: Television, *, base_url: str) -> Flask:
    """The WSGI application."""
    app = Flask("sandbox.television", static_folder="static", template_folder="templates")
    app.config.update(TRUSTED_HOSTS=[urlsplit(base_url).netloc], MAX_CONTENT_LENGTH=4096)

    @app.get("/")
    def screen() -> Response:
        shown = television.look()
        response = app.make_response(
            render_template("screen.html", screen=shown, language=_language(), name=NAME, qr=_qr)
        )
        if shown.scene is Scene.CODE:
            response.headers["Refresh"] = str(REFRESH)
        return response

    @app.post("/start")
    def start() -> Response:
        _own(base_url)
        television.start()
        return redirect(url_for("screen", lang=_language()), 303)

    @app.post("/stop")
    def stop() -> Response:
        _own(base_url)
        television.stop()
        return redirect(url_for("screen", lang=_language()), 303)

    @app.after_request
    def headers(response: Any) -> Any:  # Flask's own response class
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; "
            "frame-ancestors 'none'"
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        if request.endpoint != "static":
            response.headers["Cache-Control"] = "no-store"
        return response

    return app


def _own(base_url: str) -> None:
    """Only the page's own buttons press."""
    if request.headers.get("Origin", base_url) != base_url:
        abort(403)


def _language() -> str:
    chosen = request.args.get("lang")
    if chosen in LANGUAGES:
        return str(chosen)
    return request.accept_languages.best_match(LANGUAGES) or LANGUAGES[0]


def _qr(address: str) -> Markup:
    """The address as a picture in the page (ISO/IEC 18004), with the quiet zone that scanners need."""
    drawn = segno.make_qr(address, error="m")
    return Markup(drawn.svg_inline(scale=8, border=4, omitsize=True, light="#fff", svgclass="qr", lineclass=None))  # noqa: S704 -- segno draws it; the address is in no text of it
