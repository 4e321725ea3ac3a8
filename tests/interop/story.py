"""A relying party in another language: a Node program that tells by JSON lines where to send the resident."""

from __future__ import annotations

import json
import selectors
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from sandbox import node
from tests.interop.resident import Arrival

PROGRAMS: Final = Path(__file__).parent / "programs"
SECONDS: Final = 90.0
"""How long a whole story may take; then something hangs."""

Answer = Callable[[Mapping[str, Any]], Any]


class StoryFailed(Exception):
    """The program ended without an outcome; the message is what it wrote to stderr."""


def tell(program: str, settings: Mapping[str, Any], *, answers: Mapping[str, Answer]) -> dict[str, Any]:
    """Run `programs/NAME.mjs` with these settings to its outcome.

    It asks by lines `{"ask": NAME, …}`, each answered by one of `answers`; a line `{"outcome": {…}}` ends it.
    Raises StoryFailed, NodeMissing.
    """
    command = node.command(PROGRAMS / f"{program}.mjs")
    with tempfile.TemporaryDirectory(prefix="story-") as folder, tempfile.TemporaryFile() as errors:
        file = Path(folder) / "settings.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(settings), encoding="utf-8")
        with subprocess.Popen(
            [*command, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        ) as process:
            try:
                outcome = _converse(process, answers, until=time.monotonic() + SECONDS)
            finally:
                process.kill()
        if outcome is None:
            errors.seek(0)
            raise StoryFailed(f"{program}: {errors.read().decode('utf-8', 'replace')}")
        return outcome


def _converse(
    process: subprocess.Popen[bytes], answers: Mapping[str, Answer], *, until: float
) -> dict[str, Any] | None:
    assert process.stdin is not None
    assert process.stdout is not None
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ)
        while waiting.select(timeout=max(0.0, until - time.monotonic())):
            line = process.stdout.readline()
            if not line:
                return None
            said = json.loads(line)
            if "outcome" in said:
                return dict(said["outcome"])
            answer = answers[said["ask"]](said)
            if isinstance(answer, Arrival):
                answer = asdict(answer)
            process.stdin.write(json.dumps(answer).encode() + b"\n")
            process.stdin.flush()
    return None
