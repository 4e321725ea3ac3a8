"""The sample that opens an account does so at a running broker, with the residents' own software cards."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from bench.servers import Servers, free_ports, running
from sandbox.residents import RESIDENTS_FILE, load_residents
from tests.interop.resident import Resident

SAMPLES = Path(__file__).parents[2] / "samples"
OPEN_ACCOUNT = SAMPLES / "account-opening" / "open_account.py"
CHECK = SAMPLES / "receipts" / "verify.py"


class Sample:
    """The program, with its key and its files in a folder of its own."""

    def __init__(self, state: Path) -> None:
        (port,) = free_ports(1)
        self.state = state
        self.redirect_uri = f"http://127.0.0.4:{port}/callback"

    def command(self, *words: str) -> list[str]:
        return [
            sys.executable,
            str(OPEN_ACCOUNT),
            "--state",
            str(self.state),
            "--redirect-uri",
            self.redirect_uri,
            *words,
        ]

    def registration(self) -> dict[str, Any]:
        done = subprocess.run(self.command("--registration"), capture_output=True, check=True, timeout=60)
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def run(self, servers: Servers, resident: str, *, decision: str = "approve") -> tuple[int, str]:
        """The account of this resident, who opens the printed address; exit status and last line."""
        with subprocess.Popen(
            self.command("--issuer", servers.broker), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as program:
            assert program.stdout is not None
            assert program.stderr is not None
            address = program.stdout.readline().strip()
            with Resident(servers, resident) as somebody:
                back = somebody.visit(address, decision=decision)
            answer = requests.get(back.url, timeout=30)
            assert answer.status_code == 200
            out, err = program.communicate(timeout=60)
        return program.returncode, (out or err).strip()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return Sample(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def servers(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with running(tmp_path_factory.mktemp("samples"), workers=1, registrations=[sample.registration()]) as up:
        yield up


@pytest.mark.parametrize("name", ["hanako", "hanbun"])
def test_an_account_is_opened_with_what_stands_on_the_card(sample: Sample, servers: Servers, name: str) -> None:
    (person,) = [one for one in load_residents(RESIDENTS_FILE.read_bytes()).residents if one.name == name]
    status, told = sample.run(servers, name)
    assert status == 0, told
    form = json.loads(told)
    assert form["name"] in str(person), "the name as it stands in residents.toml"
    assert form["proved_by"] == "aal3"
    assert form["address"]
    receipt, keys = sample.state / "receipt.jwt", sample.state / "receipt-keys.json"
    command = [sys.executable, str(CHECK), str(receipt), str(keys)]
    checked = subprocess.run(command, capture_output=True, check=False, timeout=60)
    said = json.loads(checked.stdout)
    assert checked.returncode == 0
    assert (said["kind"], said["sub"]) == ("proof", form["customer"])
    assert [each["use"] for each in said["certificates"]] == ["user-authentication", "digital-signature"]
    assert len(said["signed"]["documents"]) == 1, "the application that the resident signed"
    assert form["name"] not in json.dumps(said, ensure_ascii=False)


def test_the_sample_s_key_is_its_own(sample: Sample, servers: Servers) -> None:
    key = sample.state / "client-key.pem"
    assert key.stat().st_mode & 0o077 == 0
    kept = key.read_bytes()
    key.unlink()
    try:
        done = subprocess.run(
            sample.command("--issuer", servers.broker), capture_output=True, text=True, check=False, timeout=60
        )
    finally:
        key.write_bytes(kept)
    assert done.returncode == 1
    assert "invalid_client" in done.stderr
