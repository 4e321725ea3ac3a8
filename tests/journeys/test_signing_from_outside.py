"""`python -m sandbox sign`: a service written to the agency's interface has documents signed by the real broker."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox import contracts
from sandbox.contracts import key
from sandbox.contracts.relying_party import Addresses, Begun, Service, SigningFailed
from sandbox.launcher import Running
from sandbox.login import through_the_broker
from tests.broker.pades.paper import paper

pytestmark = pytest.mark.timeout(180)


def run(running: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a person types it."""
    return subprocess.run(
        [sys.executable, "-m", "sandbox", "sign", "--root", str(running.root), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def accepted(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture
def service(running: Running) -> Service:
    signing_key, encryption_key = key.keys(running.root / "contracts")
    return Service(
        Addresses.of_this_broker(running.addresses.broker),
        client_id=contracts.CLIENT_ID,
        redirect_uri=contracts.REDIRECT_URI,
        signing_key=signing_key,
        encryption_key=encryption_key,
    )


def signed(running: Running, begun: Begun, resident: str = "hanako") -> str:
    """The address that the resident's browser comes back with."""
    return through_the_broker(
        begun.url,
        broker=running.addresses.broker,
        resident_card=running.world.card(resident),
        trust=running.root / "agent" / "trust.json",
    )


def test_a_pdf_a_text_and_a_file_of_any_kind_are_signed_and_judged(running: Running, tmp_path: Path) -> None:
    files = [tmp_path / "契約書.pdf", tmp_path / "同意書.txt", tmp_path / "絵.bin"]
    for file, content in zip(files, (paper(), "同意します。".encode(), b"\x00\x01"), strict=True):
        file.write_bytes(content)
    told = accepted(run(running, *map(str, files), "--json", "--out", str(tmp_path / "out")))
    assert [document["format"] for document in told["result"]["documents"]] == ["pades", "cades", "cades"]
    assert told["judged"][1:] == ["openssl cms: verification successful"] * 2
    assert told["claims"]["sub"] == told["result"]["sub"]
    assert told["claims"]["acr"] == "aal3"
    assert (tmp_path / "out" / "契約書.pdf.signed.pdf").read_bytes().startswith(paper())


def test_a_digest_goes_and_a_bare_signature_with_its_certificate_comes_back(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "terms"
    file.write_bytes("利用規約に同意します。".encode())
    told = accepted(run(running, str(file), "--form", "raw", "--resident", "taro", "--json"))
    assert told["judged"] == ["RSASSA-PKCS1-v1_5 with SHA-256: good"]
    assert {"signature", "certificate"} <= told["result"].keys()


def test_a_child_is_told_why_and_nothing_is_signed(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "terms.txt"
    file.write_text("terms")
    done = run(running, str(file), "--resident", "mirai")
    assert done.returncode == 1
    assert "CARD-023" in done.stderr


def test_an_answer_of_another_request_and_a_result_fetched_before_are_not_taken(
    running: Running, service: Service
) -> None:
    one, two = service.begin_with_digest(b"one"), service.begin_with_digest(b"two")
    url = signed(running, one)
    with pytest.raises(SigningFailed, match="wrong_state"):
        service.finish(two, url)
    done = service.finish(one, url)
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"one").digest()).rstrip(b"=").decode()
    assert done.result["documents"][0]["sha256"] == digest
    with pytest.raises(SigningFailed, match="invalid_grant"):
        service.finish(one, url)
