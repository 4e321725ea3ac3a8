"""The Flask application of the outside world, and what every answer of it has in common."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from flask import Flask, Response, render_template, request
from flask_babel import Babel, gettext
from werkzeug.exceptions import HTTPException

from cardreader.tray import TrayClient
from sandbox.generate import WORLD_URL
from sandbox.world.language import LANGUAGES, language
from sandbox.world.mapping import mapping_blueprint
from sandbox.world.platform import platform_blueprint
from sandbox.world.registry import Registry
from sandbox.world.services import services_blueprint
from sandbox.world.traypage import CardDrawer, Reader, tray_blueprint
from sandbox.world.troublepage import trouble_blueprint

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # "no-referrer" would turn the Origin of our own forms into null
    "X-Content-Type-Options": "nosniff",
}


def create_world(
    root: Path,
    tray: TrayClient | None,
    *,
    origin: str = WORLD_URL,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Flask:
    """The outside world on the files that `sandbox.generate.generate(root, …)` wrote.

    `tray` is the reader whose card the tray page changes; without one the page only shows the cards. `origin` is the
    address people see: the page answers to this Host only and takes forms from this Origin only. It sets no cookies.
    """
    app = Flask(__name__)
    app.config.update(
        MAX_CONTENT_LENGTH=16 * 1024,
        BABEL_DEFAULT_LOCALE="ja",
        BABEL_TRANSLATION_DIRECTORIES=str(Path(__file__).with_name("translations")),
    )
    Babel(app, locale_selector=language)
    registry = Registry(root)
    reader = Reader(tray)
    app.register_blueprint(services_blueprint(registry, clock=clock))
    app.register_blueprint(mapping_blueprint(registry, clock=clock))
    app.register_blueprint(platform_blueprint(registry, clock=clock))
    app.register_blueprint(
        tray_blueprint(
            registry,
            reader=reader,
            drawer=CardDrawer(root / "cards", reader=reader),
            host=urlsplit(origin).netloc,
            origin=origin,
            clock=clock,
        )
    )
    app.register_blueprint(trouble_blueprint(registry, host=urlsplit(origin).netloc, origin=origin))
    app.context_processor(lambda: {"lang": language(), "languages": LANGUAGES})

    @app.errorhandler(HTTPException)
    def explain(fault: HTTPException) -> tuple[str, int]:
        status = fault.code or 500
        text = {
            403: gettext("この操作は、カードトレイのページから行ってください。"),
            404: gettext("このページはありません。"),
            405: gettext("この方法では開けません。"),
            413: gettext("送られたデータが大きすぎます。"),
            500: gettext("サンドボックスの中で問題が起きました。ログ（world.log）をご覧ください。"),
        }.get(status, gettext("この要求には答えられません。"))
        return render_template("error.html", text=text, status=status), status

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.update(_HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        if response.mimetype == "text/html":
            response.headers["Vary"] = "Accept-Encoding"
            if request.accept_encodings["gzip"] > 0:
                # Every card is on one page. Nothing here is anybody's secret, and nothing typed comes back: a length
                # tells nobody anything, unlike the broker's pages, which are never compressed.
                response.set_data(gzip.compress(response.get_data(), mtime=0))
                response.headers["Content-Encoding"] = "gzip"
        return response

    return app
