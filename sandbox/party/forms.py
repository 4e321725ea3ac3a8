"""What every page of a sample service carries: headers that browsers hold it to, and its form token."""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from flask import abort, request, session


class Headers:
    """Security headers. A browser holds form-action against redirects too, hence the broker's origin in it."""

    def __init__(self, issuer: str) -> None:
        self._policy = (
            "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
            f"form-action 'self' {issuer}"
        )

    def __call__(self, response: Any) -> Any:  # Flask's own response class, whatever the route returned
        response.headers["Content-Security-Policy"] = self._policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        if request.endpoint not in {"static", "party.static"}:
            response.headers["Cache-Control"] = "no-store"
        return response


def form_token() -> str:
    token = session.get("form_token")
    if not isinstance(token, str):
        token = session["form_token"] = secrets.token_urlsafe(24)
    return token


def check_form_token() -> None:
    """A form of this very browser session, or 403: another site cannot know the token."""
    given, expected = request.form.get("form_token", ""), session.get("form_token")
    if not isinstance(expected, str) or not hmac.compare_digest(given.encode(), expected.encode()):
        abort(403)
