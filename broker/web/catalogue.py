"""The error catalogue: `broker/errors.toml`, read once, a row for every error. Knows no framework."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
import werkzeug.exceptions
from werkzeug.exceptions import HTTPException, InternalServerError

import broker.errors
from broker.errors import BrokerError, SettingsError, TooManyRequests
from broker.web.settings import LANGUAGES

CATALOGUE = Path(broker.errors.__file__).with_name("errors.toml")
_RETRY_AFTER = 5
"""Seconds to wait when the store cannot answer."""
_MEMBERS = {"code", "id", "exception", "http", "oauth", "pin_try_used", "cause", *LANGUAGES}
_NOT_DESCRIPTION = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")  # RFC 6749 §5.2, error_description
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


def retry_after(error: Exception) -> int | None:
    """Seconds after which another try may succeed (RFC 9110 §10.2.3); None where waiting does not help."""
    if isinstance(error, TooManyRequests):
        return max(1, math.ceil(error.retry_after.total_seconds()))
    return _RETRY_AFTER if answer_to(error).http == 503 else None


def report(error: Exception, *, request_id: str | None, transaction: str | None = None) -> None:
    """One line for operators. An unforeseen error is told by its type and place: its message may hold anything."""
    answer = answer_to(error)
    told = {"error_code": answer.code, "exception": type(error).__name__, "request_id": request_id}
    if isinstance(error, BrokerError):
        log = _log.warning if answer.http >= 500 else _log.info
        log("refused", reason=str(error), transaction=transaction, **told)
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
