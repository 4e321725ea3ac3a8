"""One table says what to tell whom: `broker/errors.toml`, read once, a row for every error."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import werkzeug.exceptions
from flask import Flask, Response, g, jsonify, request, url_for
from flask_babel import get_locale
from werkzeug.exceptions import HTTPException, InternalServerError, NotFound

import broker.errors
from broker.errors import (
    BrokerError,
    BrowserMismatch,
    CertificateExpired,
    CertificateRenewing,
    CertificateRevoked,
    FormTokenInvalid,
    InsufficientScope,
    InteractionUnknown,
    InvalidAccessToken,
    InvalidClient,
    SettingsError,
    UnknownClient,
)
from broker.ids import InteractionID
from broker.oidc.client import Client
from broker.web.pages import page
from broker.web.settings import LANGUAGES, ports

CATALOGUE = Path(broker.errors.__file__).with_name("errors.toml")
RETRY_AFTER = 5
"""Seconds a client should wait when the store cannot answer."""
_MEMBERS = {"code", "id", "exception", "http", "oauth", "pin_try_used", "cause", *LANGUAGES}
_NOT_DESCRIPTION = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")  # RFC 6749 §5.2, error_description
_JSON_PATHS = ("/token", "/userinfo", "/jwks", "/healthz", "/readyz", "/.well-known/")
_log = structlog.get_logger("broker.web")


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a person reads."""

    title: str
    text: str
    action: str
    """The one thing to do next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One row of the catalogue."""

    code: str
    id: str
    http: int
    oauth: str
    """OAuth 2.0 error code; empty where no client is told."""
    pin_try_used: str
    """"no", "yes" or "unknown"."""
    cause: str
    """For operators, one English sentence."""
    words: Mapping[str, Words]


def load_catalogue(text: str) -> dict[type[Exception], Answer]:
    """The rows of an error catalogue by the exception each answers. Raises SettingsError where it is not in order.

    An exception is one of `broker.errors`, or `werkzeug.…` for what HTTP itself refuses.
    """
    answers: dict[type[Exception], Answer] = {}
    for row in tomllib.loads(text)["error"]:
        name = row.get("exception", "?")
        if row.keys() != _MEMBERS or row["pin_try_used"] not in {"no", "yes", "unknown"}:
            raise SettingsError(f"error catalogue: the row of {name} has other members than it should")
        module, _, plain = name.rpartition(".")
        error = getattr(werkzeug.exceptions if module else broker.errors, plain, None)
        if not (isinstance(error, type) and issubclass(error, Exception)) or error in answers:
            raise SettingsError(f"error catalogue: {name} is no error, or has two rows")
        answers[error] = Answer(
            code=row["code"],
            id=row["id"],
            http=row["http"],
            oauth=row["oauth"],
            pin_try_used=row["pin_try_used"],
            cause=row["cause"],
            words={language: Words(**row[language]) for language in LANGUAGES},
        )
    for member in ("code", "id"):
        values = [getattr(answer, member) for answer in answers.values()]
        if len(set(values)) != len(values):
            raise SettingsError(f"error catalogue: a {member} stands twice")
    return answers


ANSWERS = load_catalogue(CATALOGUE.read_text(encoding="utf-8"))


def answer_to(error: Exception) -> Answer:
    """What to tell about `error`. An error without a row is our own fault: 500."""
    for kind in type(error).__mro__:
        if kind in ANSWERS:
            return ANSWERS[kind]
    if isinstance(error, HTTPException) and error.code is not None and error.code < 500:
        return ANSWERS[werkzeug.exceptions.BadRequest]
    return ANSWERS[InternalServerError]


def description(error: Exception) -> str:
    """`error_description` (RFC 6749 §5.2): the operator's message in the characters allowed there."""
    text = str(error) if isinstance(error, BrokerError) else ""
    return _NOT_DESCRIPTION.sub("?", text or answer_to(error).cause)[:200]


def own_form() -> None:
    """Refuse a form that another origin sent. Raises FormTokenInvalid.

    A browser states the origin of every form it posts; a program may leave it out, and then the cookie
    (SameSite=Lax) and the form's own token decide.
    """
    if request.headers.get("Origin", ports().policy.origin) != ports().policy.origin:
        raise FormTokenInvalid("sent by another origin")


# --- telling ---------------------------------------------------------------------------------------------------------


def error_page(
    error: Exception,
    *,
    interaction: InteractionID | None = None,
    client: Client | None = None,
    agent_code: str | None = None,
) -> Response:
    """The page of an error: what happened, whether a PIN try was used, and one thing to do next.

    With `interaction` it links to another try; with `client` also back to the client.
    """
    answer = answer_to(error)
    _report(error, answer)
    response = page(
        "error.html",
        answer.http,
        answer=answer,
        words=answer.words[str(get_locale())],
        client=client,
        # the same card fails again
        other_card=isinstance(error, CertificateExpired | CertificateRevoked | CertificateRenewing),
        agent_code=agent_code,
        show_pin_try=interaction is not None or answer.code.startswith("AUTH-"),
        retry_url=None if interaction is None else url_for("authorization.show", interaction=interaction),
        cancel_url=None
        if interaction is None or client is None
        else url_for("authorization.cancel", interaction=interaction),
        request_id=g.get("request_id"),
    )
    _carry_headers(error, answer, response)
    return response


def _json_error(error: Exception) -> Response:
    """RFC 6749 §5.2, RFC 6750 §3: 401 only where a client or token was not accepted."""
    answer = answer_to(error)
    _report(error, answer)
    body: dict[str, Any] = {"error": answer.oauth or "invalid_request", "error_description": description(error)}
    response = jsonify(body)
    response.status_code = answer.http
    response.headers["Cache-Control"] = "no-store"
    response.headers["Pragma"] = "no-cache"
    challenge = f'realm="{ports().policy.issuer}"'
    if isinstance(error, InvalidClient) and "Authorization" in request.headers:
        response.headers["WWW-Authenticate"] = f"Basic {challenge}"  # RFC 6749 §5.2: the scheme that was tried
    elif isinstance(error, InvalidAccessToken | InsufficientScope):
        if "Authorization" in request.headers:  # RFC 6750 §3.1: no error code for who sent no token at all
            challenge += f', error="{body["error"]}", error_description="{body["error_description"]}"'
        if isinstance(error, InsufficientScope):
            challenge += ', scope="openid"'
        response.headers["WWW-Authenticate"] = f"Bearer {challenge}"
    _carry_headers(error, answer, response)
    return response


def _carry_headers(error: Exception, answer: Answer, response: Response) -> None:
    if isinstance(error, HTTPException):
        for name, value in error.get_headers(request.environ):
            if name == "Allow":
                response.headers[name] = value
    if answer.http == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER)


def _report(error: Exception, answer: Answer) -> None:
    """One line for operators. An unforeseen error is told by its type and place: its message may hold anything."""
    told = {"error_code": answer.code, "exception": type(error).__name__, "request_id": g.get("request_id")}
    if isinstance(error, BrokerError):
        log = _log.warning if answer.http >= 500 else _log.info
        log("refused", reason=str(error), transaction=g.get("transaction"), **told)
        return
    if isinstance(error, HTTPException):
        _log.info("refused", **told)
        return
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno} {trace.tb_frame.f_code.co_name}")
        trace = trace.tb_next
    _log.error("failed", where=frames[-12:], **told)


def _handle(error: Exception) -> Response:
    if request.path.startswith(_JSON_PATHS):
        return _json_error(error)
    interaction: InteractionID | None = g.get("interaction")
    if isinstance(error, InteractionUnknown | BrowserMismatch | UnknownClient | NotFound):
        interaction = None  # nothing to try again
    return error_page(error, interaction=interaction)


def register_handlers(app: Flask) -> None:
    """Every error ends here, HTTP's own and the unforeseen included."""
    app.register_error_handler(Exception, _handle)
