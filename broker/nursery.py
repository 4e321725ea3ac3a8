"""Confined children that need not load their libraries again: each answers in a fork of one loaded process.

Loading pyHanko takes half a second, judging a document a hundredth of that. The mother process reads the frame of a
question and nothing in it; a stranger's bytes are looked at in the child only, under its limits (`broker.confined`).
Those count processor time, so that a machine with much else to do refuses no good document; the clock on the wall
bounds what costs none: waiting for a place, loading, and a child that stands still.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from broker.confined import Done

_READY: Final = b"\x06"
"""What a mother says once, when her libraries are loaded."""
_HEAD: Final = struct.Struct(">I")
"""Of a question: its length."""
_FOOT: Final = struct.Struct(">iI")
"""Of an answer: the exit status (_LATE where the child was ended), and the length of what it wrote."""
_LATE: Final = 1 << 20
_MAX_OUTPUT: Final = 4 * 1024 * 1024
LOADING_SECONDS: Final = 60.0
"""For a mother to start and load, before any question is hers."""
STANDSTILL_SECONDS: Final = 60.0
"""For a child by the clock on the wall. One that works has met its limit of processor time long before."""
IDLE_SECONDS: Final = 600.0
"""After which an unused mother ends; the next question starts another."""


class Nursery:
    """Answers questions by `python -m MODULE`, whose `__main__` calls `serve`. Threads share it; `places` at a time."""

    def __init__(self, module: str, *, places: int) -> None:
        self._module = module
        self._room = threading.BoundedSemaphore(places)
        self._lock = threading.Lock()
        self._idle: list[subprocess.Popen[bytes]] = []
        self._pid = os.getpid()
        atexit.register(self.close)

    def run(self, question: bytes, *, patience: float) -> Done:
        """The child's exit status and output; status None where it did not end, or could not be started.

        `patience`: seconds to wait for a free place. What a child may spend it limits itself (`confined.confine`).
        """
        if not self._room.acquire(timeout=patience):
            return Done(status=None, output=b"")
        mother = None
        try:
            mother = self._take()
            done = _asked(mother, question)
            if done is None:  # it had ended of idleness, or was killed: one new one is tried
                _end(mother)
                mother = self._started()
                done = _asked(mother, question)
        except OSError:
            done = None
        finally:
            if mother is not None:
                if done is None:
                    _end(mother)
                else:
                    with self._lock:
                        self._idle.append(mother)
            self._room.release()
        return done or Done(status=None, output=b"")

    def close(self) -> None:
        """End the mothers of this process."""
        with self._lock:
            mothers, self._idle = self._idle, []
        for mother in mothers:
            _end(mother)

    def _take(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._pid != os.getpid():  # after a fork: these belong to the other process
                self._idle, self._pid = [], os.getpid()
            if self._idle:
                return self._idle.pop()
        return self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        """A mother that has loaded. Raises OSError: none could be started, or she was not ready in time."""
        mother = subprocess.Popen(
            [sys.executable, "-P", "-s", "-m", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            # nothing of ours is inherited: the environment may name files with secrets
            env={"PYTHONPATH": str(Path(__file__).resolve().parents[1]), "LC_ALL": "C.UTF-8"},
        )
        assert mother.stdout is not None  # noqa: S101 -- a pipe
        if _read(mother.stdout, len(_READY), time.monotonic() + LOADING_SECONDS) != _READY:
            _end(mother)
            raise TimeoutError("the libraries were not loaded in time")
        return mother


def _asked(mother: subprocess.Popen[bytes], question: bytes) -> Done | None:
    """None where the mother is gone or out of step."""
    assert mother.stdin is not None  # noqa: S101 -- both are pipes
    assert mother.stdout is not None  # noqa: S101 -- as above
    deadline = time.monotonic() + STANDSTILL_SECONDS + 1  # after the mother's own
    try:
        mother.stdin.write(_HEAD.pack(len(question)) + question)
        mother.stdin.flush()
        foot = _read(mother.stdout, _FOOT.size, deadline)
        if foot is None:
            return None
        status, length = _FOOT.unpack(foot)
        output = _read(mother.stdout, length, deadline)
    except (OSError, ValueError):
        return None
    if output is None:
        return None
    return Done(status=None if status == _LATE else status, output=output)


def _read(stream: IO[bytes], length: int, deadline: float) -> bytes | None:
    data = b""
    while len(data) < length:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([stream], [], [], left)[0]:
            return None
        piece = os.read(stream.fileno(), length - len(data))
        if not piece:
            return None
        data += piece
    return data


def _end(mother: subprocess.Popen[bytes]) -> None:
    mother.kill()
    for stream in (mother.stdin, mother.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
    mother.wait()


# --- the mother's side -----------------------------------------------------------------------------------------------


def serve(answer: Callable[[bytes], None]) -> None:
    """Answer questions until nobody asks any more: `answer` runs in a child of its own and writes to standard output.

    All libraries are loaded before. `answer` confines itself first.
    """
    source, sink = 0, os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.write(sink, _READY)
    while select.select([source], [], [], IDLE_SECONDS)[0]:
        head = _whole(source, _HEAD.size)
        if head is None:
            return
        (length,) = _HEAD.unpack(head)
        question = _whole(source, length)
        if question is None:
            return
        status, output = _in_child(answer, question)
        answered = _FOOT.pack(status, len(output)) + output
        while answered:
            answered = answered[os.write(sink, answered) :]


def _whole(source: int, length: int) -> bytes | None:
    data = bytearray()
    while len(data) < length:
        piece = os.read(source, min(1 << 20, length - len(data)))
        if not piece:
            return None
        data += piece
    return bytes(data)


def _in_child(answer: Callable[[bytes], None], question: bytes) -> tuple[int, bytes]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            os.dup2(writing, 1)
            os.close(0)
            answer(question)
            sys.stdout.flush()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        finally:
            os._exit(status)
    os.close(writing)
    output, late = _listened(reading, time.monotonic() + STANDSTILL_SECONDS)
    os.close(reading)
    if late:
        os.kill(child, signal.SIGKILL)
    _, ended = os.waitpid(child, 0)
    return (_LATE if late else os.waitstatus_to_exitcode(ended)), output


def _listened(reading: int, deadline: float) -> tuple[bytes, bool]:
    """What a child writes until it ends; whether it must be ended, for time or for too much."""
    output = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            return output, True
        piece = os.read(reading, 1 << 16)
        if not piece:
            return output, False
        output += piece
        if len(output) > _MAX_OUTPUT:
            return output, True
