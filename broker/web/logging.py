"""JSON lines that can be kept: what happened, never with what secret.

Redaction goes by type and by field name, and then by the looks of a value, so that one slip is not enough
to print a code, token, certificate, serial, cookie or PIN. No request body, query or header is ever logged.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog
from flask import Flask, Response, g, request

REDACTED = "[redacted]"
REQUEST_ID = "jpki_broker.request_id"
"""Where the WSGI environment carries the id that `lean` gave a request."""
_SECRET_FIELDS = frozenset(
    {
        "access_token",
        "address",
        "answer",
        "assertion",
        "authorization",
        "birthdate",
        "certificate",
        "client_assertion",
        "code",
        "code_verifier",
        "cookie",
        "cookies",
        "csrf",
        "dn",
        "form_token",
        "gender",
        "headers",
        "id_token",
        "key",
        "linked_id",
        "name",
        "nonce",
        "password",
        "pin",
        "previous",
        "private_key",
        "rc",
        "refresh_token",
        "request",
        "return_code",
        "secret",
        "serial",
        "session",
        "signature",
        "state",
        "sub",
        "subject",
        "token",
    }
)
_LOOKS_SECRET = re.compile(
    r"eyJ[A-Za-z0-9_-]{8,}"  # JOSE
    r"|-----BEGIN.*"
    r"|MII[A-Za-z0-9+/]{16,}"  # DER in base64
    r"|[A-Za-z0-9_-]{40,}"  # a minted secret or a digest; our ids are shorter
    r"|[0-9a-fA-F]{32,}"
    r"|(?<![0-9])[0-9]{12}(?![0-9])",  # may be a 個人番号
    re.DOTALL,
)
_MAX_LENGTH = 500
_encode = json.JSONEncoder().encode  # ASCII only: control, bidi and line marks are escaped


@dataclass(frozen=True, slots=True)
class Redacted:
    """A value that may travel with a log call and is never printed."""

    value: object = field(repr=False)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor that lets only harmless values through."""
    return {name: REDACTED if name in _SECRET_FIELDS else _safe(value) for name, value in event.items()}


def _safe(value: object) -> object:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return _LOOKS_SECRET.sub(REDACTED, value[:_MAX_LENGTH])
        case datetime():
            return value.isoformat()
        case list() | tuple() | set() | frozenset():
            return [_safe(item) for item in value]
        case Mapping():
            return {str(name): REDACTED if name in _SECRET_FIELDS else _safe(item) for name, item in value.items()}
        case _:
            return f"[{type(value).__name__}]"  # bytes, records, exceptions: named, never shown


class _Lines:
    """Writes one line at a time to the stream, or to whatever standard output is at that moment."""

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream

    def msg(self, message: str) -> None:
        stream = self.stream or sys.stdout
        stream.write(message + "\n")
        stream.flush()

    log = debug = info = warning = error = critical = msg


_output = _Lines(None)


def configure(stream: TextIO | None = None) -> None:
    """Make every logger of the process write redacted JSON lines to `stream` (default: standard output)."""
    _output.stream = stream
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            redact,
            structlog.processors.JSONRenderer(),  # ASCII only: control, bidi and line marks are escaped
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20),  # INFO
        logger_factory=lambda *_: _output,
        cache_logger_on_first_use=False,
    )


def log_request(
    *,
    request_id: str | None,
    method: str,
    route: str | None,
    status: int,
    seconds: float,
    transaction: str | None = None,
) -> None:
    """One line a request, of a page and of an endpoint alike; written without structlog, as it would write it.

    Each value is ours but the method, so the redaction that every other line goes through has nothing to find.
    """
    line = {
        "request_id": request_id,
        "method": _safe(method),  # the client chose the word
        "route": route,
        "status": status,
        "duration_ms": round(seconds * 1000, 1),
        "transaction": _safe(transaction),
        "event": "request",
        "level": "info",
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
    _output.msg(_encode(line))


def register_request_log(app: Flask) -> None:
    """One line a request, and a request id that error pages show too."""

    @app.before_request
    def _begin() -> None:
        g.started = time.perf_counter()
        g.request_id = request.environ[REQUEST_ID]

    @app.after_request
    def _end(response: Response) -> Response:
        if "request_id" not in g:  # refused before it began
            return response
        response.headers["X-Request-ID"] = g.request_id
        rule = request.url_rule
        log_request(
            request_id=g.request_id,
            method=request.method,
            route=rule.rule if rule is not None else None,
            status=response.status_code,
            seconds=time.perf_counter() - g.started,
            transaction=g.get("transaction"),
        )
        return response
