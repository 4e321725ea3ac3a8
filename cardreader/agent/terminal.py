"""Asking for the PIN on the terminal this program was started from."""

from __future__ import annotations

import getpass
import os
import sys
import threading
import warnings
from typing import Literal, TextIO

from cardreader.agent.entry import EntryUnavailable, PinPrompt, PromptText, write_prompt


def terminal_name() -> str | None:
    """The tty this program was started from, for others to draw on; None where there is none (a service)."""
    for descriptor in (0, 1, 2):
        try:
            return os.ttyname(descriptor)
        except (OSError, AttributeError):  # no terminal; or a system whose terminals have no names
            continue
    return None


class Terminal:
    """The controlling terminal, without echo; fulfils entry.PINAsker. Cannot be interrupted from another thread."""

    name: Literal["terminal"] = "terminal"

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream

    def ask(self, prompt: PinPrompt | PromptText, *, seconds: float, stop: threading.Event) -> str | None:
        """See entry.PINAsker. An empty line gives up. Refuses to ask where typing would be shown."""
        if stop.is_set() or seconds <= 0:
            return None
        text = write_prompt(prompt)
        print(text.title, *filter(None, (text.error,)), *text.lines, sep="\n", file=self._stream)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", getpass.GetPassWarning)
                typed = getpass.getpass(f"{text.label}: ")
        except getpass.GetPassWarning:
            raise EntryUnavailable("this is no terminal that hides what is typed") from None
        except (EOFError, OSError):
            return None
        return typed or None
