"""The witness over HTTP (C2SP tlog-witness): `POST /add-checkpoint`, and at `/` which key answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import structlog

from broker.audit.cosignature import cosign
from broker.audit.note import NoteKey
from broker.audit.witness import MAX_SUBMISSION, Refusal, Refused, Seen, Submission, judge, read_submission
from broker.errors import CheckpointInvalid, StoreUnavailable
from broker.jose import Signer
from broker.witness.state import WitnessState

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_TEXT: Final = "text/plain; charset=utf-8"
_SIZE: Final = "text/x.tlog.size"
_log = structlog.get_logger("broker.witness")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    body: str
    type: str = _TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessService:
    """A WSGI application. What it cosigns is on the disk before the line leaves."""

    key: NoteKey
    signer: Signer
    logs: tuple[NoteKey, ...]
    """The keys of the logs that are witnessed; every other is a stranger."""
    state: WitnessState
    clock: Callable[[], datetime]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = self._answer(environ)
        body = answer.body.encode()
        headers = [
            ("Content-Type", answer.type),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    def _answer(self, environ: Mapping[str, Any]) -> _Answer:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        if path == "/" and method in {"GET", "HEAD"}:
            return _Answer(status=200, body=f"{self.key.to_text()}\n")
        if path != "/add-checkpoint":
            return _Answer(status=404, body="nothing is here\n")
        if method != "POST":
            return _Answer(status=405, body="POST only\n")
        announced = environ.get("CONTENT_LENGTH") or ""
        if not (announced.isascii() and announced.isdigit() and len(announced) <= 9):
            return _Answer(status=411, body="a length is needed\n")
        if int(announced) > MAX_SUBMISSION:
            return _Answer(status=413, body="too long\n")
        try:
            return self._add(environ["wsgi.input"].read(int(announced)))
        except StoreUnavailable as unavailable:
            _log.error("witness_state_unavailable", reason=str(unavailable))
            return _Answer(status=503, body="try again later\n")

    def _add(self, body: bytes) -> _Answer:
        try:
            handed = read_submission(body)
        except CheckpointInvalid as wrong:
            return self._refused(Refused(status=Refusal.MALFORMED, reason=str(wrong)), origin="")
        origin = handed.checkpoint.origin
        for _ in range(2):  # the second time where another request came between
            seen = self.state.seen(origin)
            refused = judge(handed, keys=self.logs, seen=seen)
            if refused is not None:
                return self._refused(refused, origin=origin)
            if self._keep(handed, seen):
                line = cosign(handed.note.text, key=self.key, signer=self.signer, at=self.clock())
                _log.info("witnessed", origin=origin, size=handed.checkpoint.size, before=seen.size)
                return _Answer(status=200, body=line.to_text())
        return _Answer(status=503, body="try again later\n")

    def _keep(self, handed: Submission, seen: Seen) -> bool:
        checkpoint = handed.checkpoint
        after = Seen(size=checkpoint.size, root=checkpoint.root)
        at = int(self.clock().timestamp())
        return self.state.advance(checkpoint.origin, before=seen, after=after, note=handed.note.to_bytes(), at=at)

    def _refused(self, refused: Refused, *, origin: str) -> _Answer:
        log = _log.error if refused.status is Refusal.UNPROVED else _log.info  # signed, and not what it was: evidence
        log("witness_refused", status=int(refused.status), reason=refused.reason, origin=origin or None)
        if refused.size is not None:
            return _Answer(status=refused.status, body=f"{refused.size}\n", type=_SIZE)
        return _Answer(status=refused.status, body=f"{refused.reason}\n")
