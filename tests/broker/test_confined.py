"""A child that looks at hostile bytes: what it may not do, and that it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import BoundedSemaphore

import pytest

from broker import confined


@pytest.mark.parametrize(
    "act",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import socket; socket.getaddrinfo('example.invalid', 80)",
        "import subprocess; subprocess.run(['true'])",
        "bytearray(300 * 1024 * 1024)",
        "open('written', 'w', buffering=1).write('x\\n')",
    ],
)
def test_the_child_can_reach_nothing(act: str, tmp_path: Path) -> None:
    program = (
        "from broker import confined\nconfined.confine(cpu_seconds=4, memory=256 * 1024 * 1024)\n"
        f"confined.forbid()\n{act}\nprint('did it')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=False,
        timeout=20,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(confined.__file__).parents[1])},
    )
    assert done.returncode != 0
    assert b"did it" not in done.stdout


def test_a_child_that_never_ends_is_ended() -> None:
    done = confined.run("tests.broker.jpki.endless_child", b"", seconds=0.3, room=BoundedSemaphore())
    assert done.status is None


def test_without_room_no_child_is_started() -> None:
    full = BoundedSemaphore()
    full.acquire()
    assert confined.run("tests.broker.jpki.endless_child", b"{}", seconds=0.05, room=full).status is None


def test_a_child_inherits_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_KEY_PASSPHRASE", "a secret")
    done = confined.run("tests.broker.show_environment", b"", seconds=20, room=BoundedSemaphore())
    assert done.status == 0
    assert b"PYTHONPATH" in done.output
    assert b"a secret" not in done.output
