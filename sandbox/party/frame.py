"""The frame of a sample service's application: its cookie, its limits, and how a visit is left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flask import Blueprint, Flask, redirect, request, session, url_for
from werkzeug.wrappers import Response

from sandbox.party import key, language
from sandbox.party.forms import Headers, form_token
from sandbox.party.settings import PartyPlace

MAX_FORM: Final = 16 * 1024  # bytes
_common = Blueprint(
    "party", "sandbox.party", template_folder="templates", static_folder="static", static_url_path="/party"
)
"""The page around every service's own (frame.html) and its style."""


def install(app: Flask, settings: PartyPlace, *, name: str, **shown: object) -> None:
    """Give the app its cookie (after `name`), limits, headers, frame, and its templates `shown` beside what all
    show.

    Raises OSError or ValueError for a state folder that cannot be used.
    """
    app.register_blueprint(_common)
    app.secret_key = key.cookie_key(settings.state)
    app.config.update(
        SESSION_COOKIE_NAME=f"sample-{name}-session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.base_url.startswith("https://"),
        MAX_CONTENT_LENGTH=MAX_FORM,
        TRUSTED_HOSTS=[settings.host],
    )
    app.after_request(Headers(settings.issuer))
    app.context_processor(lambda: {**shown, "language": language.current(), "form_token": form_token()})


def switched() -> Response | None:
    """Where the language switch was used on the first page: keep the choice, and that page once more."""
    if request.args.get("lang") not in language.LANGUAGES:
        return None
    session["language"] = request.args["lang"]
    return redirect(url_for("home"), 303)


def leave(end_visit: Callable[[str], None], *, chosen: str | None) -> None:
    """End the visit of this cookie, if any: whoever comes next takes over nothing but the language."""
    if "visit" in session:
        end_visit(str(session["visit"]))
    session.clear()
    if chosen is not None:
        session["language"] = chosen
