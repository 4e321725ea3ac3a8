"""The window as a means of entry: a child process, so that a toolkit's faults and threads stay out of the agent."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from cardreader.agent import window
from cardreader.agent.entry import MAX_TYPED, EntryUnavailable, PinPrompt, PromptText, write_prompt

_POLL_SECONDS = 0.1
_GRACE_SECONDS = 2.0
_PROBE_SECONDS = 10.0


class NativeWindow:
    """A window shown by `interpreter`; fulfils entry.PINAsker."""

    name: Literal["native"] = "native"

    def __init__(self, interpreter: str, *, environment: Mapping[str, str]) -> None:
        self._interpreter = interpreter
        self._environment = environment

    def ask(self, prompt: PinPrompt | PromptText, *, seconds: float, stop: threading.Event) -> str | None:
        """See entry.PINAsker."""
        shown = json.dumps({**asdict(write_prompt(prompt)), "seconds": seconds})
        try:
            process = subprocess.Popen(
                [self._interpreter, "-I", str(Path(window.__file__))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=dict(self._environment),
                text=True,
                encoding="utf-8",
            )
        except OSError as error:
            raise EntryUnavailable(f"the window cannot be started: {error.strerror}") from None
        return self._await(process, shown, seconds=seconds, stop=stop)

    def _await(
        self, process: subprocess.Popen[str], shown: str, *, seconds: float, stop: threading.Event
    ) -> str | None:
        until = time.monotonic() + seconds + _GRACE_SECONDS
        given: str | None = shown
        typed = ""
        with process:
            try:
                while True:
                    try:
                        typed, _ = process.communicate(given, timeout=_POLL_SECONDS)
                        break
                    except subprocess.TimeoutExpired:
                        given = None
                    if stop.is_set() or time.monotonic() > until:
                        return None
            finally:
                if process.poll() is None:
                    process.kill()
        match process.returncode:
            case window.TYPED:
                return typed[:MAX_TYPED]
            case window.GAVE_UP:
                return None
            case _:
                raise EntryUnavailable("no window can be shown")


def find_window(environment: Mapping[str, str], *, interpreters: tuple[str, ...] = ()) -> NativeWindow | None:
    """A window by the first Python that has tkinter: this one, else the system's. None where there is none."""
    for interpreter in interpreters or (sys.executable, "/usr/bin/python3"):
        if _has_tkinter(interpreter):
            return NativeWindow(interpreter, environment=environment)
    return None


def _has_tkinter(interpreter: str) -> bool:
    try:
        done = subprocess.run(
            [interpreter, "-I", "-c", "import tkinter"], capture_output=True, timeout=_PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
