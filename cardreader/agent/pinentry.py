"""Asking for the PIN through GnuPG's pinentry: a small client of the Assuan protocol over the program's own pipes.

Sources: the Assuan manual (client requests and server responses), pinentry's manual (its commands and options). No
option that lets a desktop remember what was typed is ever sent.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Literal
from urllib.parse import unquote_to_bytes

from cardreader.agent.entry import EntryUnavailable, PinPrompt, PromptText, write_prompt

MAX_LINE = 1000  # bytes, the protocol's own limit
_POLL_SECONDS = 0.1
_CODE_MASK = 0xFFFF  # libgpg-error: the upper bits name the source
_GAVE_UP = frozenset({62, 99, 114, 198})  # timeout, cancelled, not confirmed, fully cancelled
_START_SECONDS = 10.0
_MAX_REPLY_LINES = 64


class AssuanFault(Exception):
    """The other side does not speak the protocol, or is gone. Never quotes a line: it may hold the PIN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What ended a request: the data sent before OK, or the number after ERR (its lower 16 bits)."""

    data: bytes = field(repr=False)
    error: int | None


def escape(text: str) -> str:
    """Percent-escape what would end or alter a line, and cut it to what a line may hold."""
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A").replace("\0", "")
    limit = MAX_LINE - 40  # room for the command's name
    while len(escaped.encode()) > limit:
        text = text[:-1]
        escaped = escape(text)
    return escaped


def read_reply(next_line: Callable[[], bytes]) -> Reply:
    """The reply to one request. Raises AssuanFault for anything that is no reply."""
    data = b""
    for _ in range(_MAX_REPLY_LINES):
        line = next_line()
        word, _, rest = line.partition(b" ")
        match word:
            case b"OK":
                return Reply(data=data, error=None)
            case b"ERR":
                number = rest.split(b" ", 1)[0]
                if not number.isdigit() or len(number) > 10:
                    raise AssuanFault("an error without a number")
                return Reply(data=b"", error=int(number) & _CODE_MASK)
            case b"D":
                data += unquote_to_bytes(rest)
                if len(data) > MAX_LINE:
                    raise AssuanFault("too much data")
            case b"S" | b"#":
                continue
            case _ if line.startswith(b"#"):
                continue
            case _:
                raise AssuanFault("not a line of the protocol")
    raise AssuanFault("a reply that does not end")


class Pinentry:
    """The pinentry at `program`; fulfils entry.PINAsker. `terminal` is the tty that a text-mode one draws on."""

    name: Literal["pinentry"] = "pinentry"

    def __init__(self, program: str, *, environment: Mapping[str, str], terminal: str | None = None) -> None:
        self._program = program
        self._environment = environment
        self._terminal = terminal

    def ask(self, prompt: PinPrompt | PromptText, *, seconds: float, stop: threading.Event) -> str | None:
        """See entry.PINAsker."""
        try:
            process = subprocess.Popen(
                [self._program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=dict(self._environment),
            )
        except OSError as error:
            raise EntryUnavailable(f"pinentry cannot be started: {error.strerror}") from None
        try:
            return self._converse(process, prompt, seconds=seconds, stop=stop)
        except (AssuanFault, OSError) as fault:
            if stop.is_set():
                return None
            raise EntryUnavailable(f"pinentry: {fault}") from None
        finally:
            _end(process)

    def _converse(
        self, process: subprocess.Popen[bytes], prompt: PinPrompt | PromptText, *, seconds: float, stop: threading.Event
    ) -> str | None:
        if process.stdin is None or process.stdout is None:
            raise AssuanFault("no pipes")
        to_program, lines = process.stdin, _Lines(process.stdout, stop)

        def request(line: str, *, within: float = _START_SECONDS) -> Reply:
            to_program.write(line.encode() + b"\n")
            to_program.flush()
            until = time.monotonic() + within
            return read_reply(lambda: lines.next(until))

        until = time.monotonic() + _START_SECONDS
        if read_reply(lambda: lines.next(until)).error is not None:
            raise AssuanFault("refused")
        for option in self._options():
            request(f"OPTION {option}")  # one that it does not know is no fault
        for line in _commands(write_prompt(prompt), seconds=seconds):
            request(line)
        try:
            reply = request("GETPIN", within=seconds + 1)
        except TimeoutError:
            return None
        if reply.error is None:
            return reply.data.decode("utf-8", "replace")
        if reply.error in _GAVE_UP:
            return None
        raise AssuanFault(f"error {reply.error}")

    def _options(self) -> list[str]:
        options = ["no-grab"] if self._terminal is None else []
        if self._terminal is not None:
            options += [f"ttyname={self._terminal}", f"ttytype={self._environment.get('TERM', 'dumb')}"]
        for name in ("LC_CTYPE", "LC_ALL", "LANG"):
            if self._environment.get(name):
                options.append(f"lc-ctype={self._environment[name]}")
                break
        return [escape(option) for option in options]


def _commands(text: PromptText, *, seconds: float) -> list[str]:
    lines = [
        f"SETTIMEOUT {max(1, int(seconds))}",
        f"SETTITLE {escape(text.title)}",
        f"SETDESC {escape(chr(10).join(text.lines))}",
        f"SETPROMPT {escape(text.label)}",
        f"SETOK {escape(text.ok)}",
        f"SETCANCEL {escape(text.cancel)}",
    ]
    return [*lines, f"SETERROR {escape(text.error)}"] if text.error else lines


class _Lines:
    """Lines from the program, each awaited no longer than it may be; `stop` ends any wait."""

    def __init__(self, pipe: IO[bytes], stop: threading.Event) -> None:
        self._descriptor = pipe.fileno()
        self._stop = stop
        self._rest = b""

    def next(self, until: float) -> bytes:
        """The next line without its end. Raises TimeoutError past `until`, AssuanFault at the end or on `stop`."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._descriptor, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if self._stop.is_set():
                    raise AssuanFault("stopped")
                if time.monotonic() > until:
                    raise TimeoutError
                if not selector.select(_POLL_SECONDS):
                    continue
                chunk = os.read(self._descriptor, 4096)
                if not chunk or len(self._rest) > MAX_LINE:
                    raise AssuanFault("it ended, or its line does not")
                self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line.rstrip(b"\r")


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.2)
        return
    process.terminate()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
