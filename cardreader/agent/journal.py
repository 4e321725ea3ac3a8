"""The agent's log: JSON lines to stderr, of listed fields only. What is not listed does not appear, whatever it is."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

# Fields that may be written, each with its type. A PIN, certificate, serial or token has no field.
FIELDS: dict[str, type | tuple[type, ...]] = {
    "event": str,
    "level": str,
    "timestamp": str,
    "logger": str,
    "method": str,
    "endpoint": str,
    "status": int,
    "milliseconds": int,
    "code": str,
    "reason": str,
    "origin": str,
    "port": int,
    "addresses": list,
    "version": str,
    "brokers": int,
    "sandbox": bool,
    "pid": int,
    "fault": str,
    "places": list,
    "uid": int,
}
_MAX_TEXT = 300

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("cardreader.agent")


def redact(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: keep listed fields of their type, shorten text, replace everything else."""
    for name, value in list(event.items()):
        if name not in FIELDS or not isinstance(value, FIELDS[name]):
            event[name] = "[redacted]"
        elif isinstance(value, str):
            event[name] = value[:_MAX_TEXT]
    return event


def log_fault(error: BaseException) -> None:
    """An unforeseen exception: its class and the places it passed. Not its message: that may quote what was typed."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames[-12:]]
    log.error("fault", fault=type(error).__name__, places=places)


def configure(stream: TextIO = sys.stderr) -> None:
    """Set up the process's logging: ours and the libraries', the latter by event name only."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            redact,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_LibraryHandler()]
    root.setLevel(logging.WARNING)


class _LibraryHandler(logging.Handler):
    """Library messages may quote requests, so that only who spoke and how loudly is kept."""

    def emit(self, record: logging.LogRecord) -> None:
        places = [f"{record.filename}:{record.lineno}"]
        if record.exc_info and record.exc_info[1] is not None:
            log_fault(record.exc_info[1])
        log.warning("library", logger=record.name, places=places)
