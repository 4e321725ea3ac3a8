"""A program of ours that looks at hostile bytes: started apart, with bounds on time and memory and nothing to inherit.

A parser can be kept busy, made to fill the memory, or brought down; then a child ends and the broker goes on. `run` is
the parent's side; `confine` and `forbid` are the child's first and second act.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_FORBIDDEN: Final = (
    "socket.connect",
    "socket.bind",
    "socket.sendto",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
)
"""Audit events (PEP 578): a library that changes its mind about fetching ends the program instead."""
_BREACH: Final = 3
"""Exit code of a child that tried one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a child left. `status` is its exit code; None where it did not end in time or could not be started."""

    status: int | None
    output: bytes = field(repr=False)
    """What it had written by then: of a child that was ended, perhaps half of it."""


def run(module: str, question: bytes, *, seconds: float, room: threading.BoundedSemaphore) -> Done:
    """Run `python -m MODULE` on `question` (its standard input) for at most `seconds`, waiting for `room` included.

    `room` bounds how many there are at once: each may take its memory, so strangers must not choose the number.
    """
    deadline = time.monotonic() + seconds
    if not room.acquire(timeout=seconds):
        return Done(status=None, output=b"")
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-s", "-m", module],
            input=question,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            # nothing of ours is inherited: the environment may name files with secrets
            env={"PYTHONPATH": str(Path(__file__).resolve().parents[1]), "LC_ALL": "C.UTF-8"},
            timeout=max(0.1, deadline - time.monotonic()),
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        return Done(status=None, output=late.output or b"")
    except OSError:
        return Done(status=None, output=b"")
    finally:
        room.release()
    return Done(status=done.returncode, output=done.stdout)


def confine(*, cpu_seconds: int, memory: int) -> None:
    """What this process may spend (`memory`: bytes of address space), set before a stranger's byte is read."""
    for limit, value in (
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        resource.setrlimit(limit, (value, value))


def forbid() -> None:
    """End this process where it calls out or starts another; once, after all that does so rightly is loaded."""
    sys.addaudithook(_refuse)


def _refuse(event: str, _arguments: tuple[Any, ...]) -> None:
    if event in _FORBIDDEN:
        raise SystemExit(_BREACH)
