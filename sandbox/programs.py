"""Programs the launcher starts: each with its log, watched, and stopped with everything it started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

GRACE = 5.0
"""Seconds a program gets between being asked to stop and being stopped."""


class ProgramFailed(Exception):
    """A program did not start, or ended by itself; the message names it and shows the end of its log."""


@dataclass(slots=True, kw_only=True)
class Program:
    """One child process. `ready_url` answers 200 once it serves; empty where running is all there is to wait for."""

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_url: str = ""
    interpreter: str = sys.executable
    authorities: Path | None = None
    """Under whose certificates `ready_url` is asked, where that is https."""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches the launcher alone; it dies with the launcher."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("BROKER_", "CARDREADER_"))},
            **self.environment,
        }
        self.log.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            self.process = subprocess.Popen(
                [self.interpreter, *self.command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 -- no threads yet
            )
        finally:
            os.close(descriptor)

    def check(self) -> None:
        """Raises ProgramFailed when it has ended."""
        if self.process is not None and self.process.poll() is not None:
            raise ProgramFailed(
                f"{self.name} ended by itself (status {self.process.returncode}); its log, {self.log}, ends:\n"
                + self.log_end()
            )

    def wait_until_ready(self, *, until: float) -> None:
        """Raises ProgramFailed when it ends, or is not ready at `until` (monotonic seconds)."""
        trust = None if self.authorities is None else ssl.create_default_context(cafile=str(self.authorities))
        while self.ready_url:
            self.check()
            try:
                with urllib.request.urlopen(self.ready_url, timeout=2, context=trust) as answer:
                    if answer.status == 200:
                        return
            except (OSError, urllib.error.URLError):
                pass
            if time.monotonic() > until:
                raise ProgramFailed(f"{self.name} is not ready; its log, {self.log}, ends:\n{self.log_end()}")
            time.sleep(0.05)

    def log_end(self) -> str:
        """The last lines of the log."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "  (no log)"
        return "\n".join(f"  {line}" for line in lines[-8:]) or "  (empty)"

    def ask_to_stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def stop(self, *, until: float) -> None:
        """Wait until it has ended; at `until` end it and all it started."""
        if self.process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=max(0.0, until - time.monotonic()))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)  # what is left of its session, workers included
        self.process.wait()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def stop_all(programs: Sequence[Program]) -> None:
    """Ask all at once, last started first, then wait for each."""
    for program in reversed(programs):
        program.ask_to_stop()
    until = time.monotonic() + GRACE
    for program in reversed(programs):
        program.stop(until=until)
