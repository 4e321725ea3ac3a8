"""A sample service as a program: waitress, and a log of one JSON object per line."""

from __future__ import annotations

import json
import logging

import waitress
from flask import Flask


class JSONLines(logging.Formatter):
    """One JSON object per line, so that no text of a request can forge a second line."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "program": self._program,
            "event": record.getMessage(),
        }
        if record.exc_info is not None:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def serve(program: str, app: Flask, *, host: str, port: int) -> None:
    """Serve until stopped."""
    handler = logging.StreamHandler()
    handler.setFormatter(JSONLines(program))
    logging.basicConfig(handlers=[handler])
    waitress.serve(app, host=host, port=port, threads=4, ident=None)
