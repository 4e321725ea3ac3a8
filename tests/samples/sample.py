"""A sample as its README runs it: a program of its own, and a resident who opens the address that it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import requests

from bench.servers import Servers, free_ports
from tests.interop.resident import Resident

SAMPLES = Path(__file__).parents[2] / "samples"
CHECK = SAMPLES / "receipts" / "verify.py"


class Sample:
    """The program `script` at `host`, with its keys and files in a folder of its own."""

    def __init__(self, script: str, host: str, state: Path) -> None:
        (port,) = free_ports(1)
        self.state = state
        self._command = [sys.executable, str(SAMPLES / script), "--state", str(state)]
        self._command += ["--redirect-uri", f"http://{host}:{port}/callback"]

    def registration(self) -> dict[str, Any]:
        done = subprocess.run([*self._command, "--registration"], capture_output=True, check=True, timeout=60)
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def without_resident(self, servers: Servers, *words: str) -> tuple[int, str]:
        """Exit status and what it says on stderr, where it never comes to an address."""
        command = [*self._command, "--issuer", servers.broker, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stderr

    def run(self, servers: Servers, resident: str, *words: str) -> tuple[int, str]:
        """With this resident at the address; exit status, and the last thing it says."""
        command = [*self._command, "--issuer", servers.broker, *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
            assert program.stdout is not None
            address = program.stdout.readline().strip()
            with Resident(servers, resident) as somebody:
                back = somebody.visit(address)
            answer = requests.get(back.url, timeout=30)
            assert answer.status_code == 200
            out, err = program.communicate(timeout=60)
        return program.returncode, (out or err).strip()

    def checked_receipt(self) -> dict[str, Any]:
        """What the sample verifier says of the receipt that was filed, with the keys that were."""
        command = [sys.executable, str(CHECK), str(self.state / "receipt.jwt"), str(self.state / "receipt-keys.json")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        return said
