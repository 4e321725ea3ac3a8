"""Who may speak to the agent's pages, and what every answer carries: host, navigation and stated origin, in this order.

Sources: Fetch metadata (W3C), RFC 6454 (origins), CSP level 3; measured in Chromium and Firefox.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, Response, g, request

from cardreader.agent.display import displayable
from cardreader.agent.journal import log
from cardreader.agent.trust import Trust
from cardreader.errors import HostUnknown, NotANavigation, PageUnknown, SiteUnknown

SIGN_PATH = "/v1/sign"
_NAMES = ("127.0.0.1", "localhost", "[::1]")


def guard(app: Flask, *, trust: Trust, port: int, monotonic: Callable[[], float]) -> None:
    """Refuse strangers before a form is read, and harden and log every answer of `app`."""
    hosts = frozenset(f"{name}:{port}" for name in _NAMES)
    brokers = frozenset(broker.origin for broker in trust.brokers)

    @app.before_request
    def admit() -> None:
        """Raises HostUnknown (DNS rebinding), NotANavigation, SiteUnknown (also for a null or missing Origin)."""
        g.started = monotonic()
        stated_hosts = request.headers.getlist("Host")
        if len(stated_hosts) != 1 or stated_hosts[0] not in hosts:
            raise HostUnknown("Host is not this agent's")
        if request.method != "POST":
            return
        for header, wanted in (("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")):
            if request.headers.get(header, wanted) != wanted:
                raise NotANavigation(f"{header} is not {wanted}")
        allowed = brokers if request.path == SIGN_PATH else {f"http://{stated_hosts[0]}"}
        origins = request.headers.getlist("Origin")
        if len(origins) != 1 or origins[0] not in allowed:
            g.stated_origin = displayable(origins[0], at_most=120) if len(origins) == 1 else ""
            raise SiteUnknown("Origin is not allowed here")
        if request.mimetype != "application/x-www-form-urlencoded" or request.query_string:
            raise PageUnknown("not an ordinary form")

    @app.after_request
    def harden(response: Response) -> Response:
        """Nothing is stored, framed or fetched; forms lead here and, where a page says so, to its broker."""
        target = g.get("broker_origin", "")
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; base-uri 'none'; "
            f"frame-ancestors 'none'; form-action 'self'{' ' + target if target else ''}"
        )
        response.headers["Cache-Control"] = "no-store"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["X-Content-Type-Options"] = "nosniff"
        # Not no-referrer: the broker's callback must see this agent's Origin.
        response.headers["Referrer-Policy"] = "strict-origin"
        if request.endpoint != "static":
            log.info(
                "request",
                method=request.method if request.method in ("GET", "POST", "HEAD") else "other",
                endpoint=request.endpoint or "none",
                status=response.status_code,
                milliseconds=int((monotonic() - g.started) * 1000),
                code=g.get("code", ""),
                reason=g.get("reason", ""),
                origin=g.get("stated_origin", ""),
            )
        return response
