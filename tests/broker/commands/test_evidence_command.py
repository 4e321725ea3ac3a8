"""`broker evidence verify`, the sample that does the same without us, and openssl: all judge a receipt alike."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from broker.__main__ import main
from broker.audit.receipt import CardEvidence, Decision, Happened, Kind, SignedDocument, facts, new_id, sign
from broker.flows.ports import KeyUse
from broker.ids import ClientID, InteractionID, Subject, TransactionID
from broker.keys.live import LiveKeys
from broker.keys.ring import OVERLAP, PUBLISHED_BEFORE
from broker.keys.rotation import create, rotate

SAMPLE = Path(__file__).parents[3] / "samples" / "receipts" / "verify.py"
NOW = datetime(2026, 11, 21, 1, 2, 3, tzinfo=UTC)
CONTRACT = "口座開設の申込書".encode()


@dataclass(kw_only=True)
class Archive:
    """What a client has kept: a receipt, and the keys of the day it was checked."""

    folder: Path
    receipt: str
    keys: dict[str, Any]

    def file(self, name: str, content: str | bytes) -> str:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def run(self, *words: str, receipt: str | None = None, keys: dict[str, Any] | None = None) -> Result:
        told = self.file("receipt.jwt", (self.receipt if receipt is None else receipt) + "\n")
        known = self.file("keys.json", json.dumps(self.keys if keys is None else keys))
        return CliRunner().invoke(main, ["evidence", "verify", told, "--keys", known, *words])

    def sample(self, receipt: str, keys: dict[str, Any]) -> int:
        told, known = self.file("sample.jwt", receipt), self.file("sample.json", json.dumps(keys))
        return subprocess.run(
            [sys.executable, str(SAMPLE), told, known], capture_output=True, check=False, timeout=60
        ).returncode


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """A receipt of 2026 whose key was followed and destroyed years ago."""
    folder, clock = tmp_path / "keys", [NOW]
    create(folder, "word", issuer="https://op.example", now=NOW, agent_root_out=tmp_path / "root.json")
    keys = LiveKeys(folder, "word", clock=lambda: clock[0], look_every=0.0)
    evidence = CardEvidence(
        kind=Kind.SIGN,
        transaction_id=TransactionID("t"),
        tag="JPKI-FED-PROOF/1",
        action="{}",
        frame=b"frame",
        decisions=(
            Decision(use="user-authentication", kind="plastic", source="ocsp", this_update=NOW, checked_at=NOW),
        ),
        documents=(SignedDocument(sha256=hashlib.sha256(CONTRACT).digest(), form="cades", signature=b"\x01" * 32),),
    )
    said = facts(
        Happened(
            receipt_id=new_id(NOW, b"0123456789"),
            issuer="https://op.example",
            client_id=ClientID("bank"),
            subject=Subject("pairwise"),
            interaction_id=InteractionID("i"),
            at=NOW,
            auth_time=NOW,
            acr="aal3",
            amr=("hwk",),
            scope=frozenset({"openid", "sign"}),
            evidence=json.loads(evidence.to_json()),
        )
    )
    receipt = sign(said, signer=keys.signer(KeyUse.RECEIPT), now=NOW)
    clock[0] += timedelta(days=3650)
    rotate(folder, "word", now=clock[0], uses=(KeyUse.RECEIPT,))
    clock[0] += PUBLISHED_BEFORE + OVERLAP[KeyUse.RECEIPT] + timedelta(seconds=1)
    assert keys.retire(now=clock[0]) == 1
    return Archive(folder=tmp_path, receipt=receipt, keys=keys.receipt_keys())


def altered(receipt: str) -> str:
    head, body, signature = receipt.split(".")
    return f"{head}.{body[:-4]}AAAA.{signature}"


def test_a_receipt_of_a_key_long_gone_is_genuine_and_told_in_both_languages(archive: Archive) -> None:
    done = archive.run()
    assert (done.exit_code, "証跡は有効です。" in done.output, "種類: sign" in done.output) == (0, True, True)
    assert "2026-11-21T01:02:03+00:00" in done.output
    english = archive.run("--lang", "en")
    assert (english.exit_code, "The receipt is genuine." in english.output) == (0, True)
    assert archive.sample(archive.receipt, archive.keys) == 0


def test_the_verdicts_have_a_status_each(archive: Archive) -> None:
    contract, other = archive.file("contract.txt", CONTRACT), archive.file("other.txt", b"another")
    verdicts = {
        (): ("valid", 0),
        ("--document", contract): ("valid", 0),
        ("--document", contract, "--document", other): ("not_covered", 12),
    }
    for words, (verdict, status) in verdicts.items():
        done = archive.run("--json", *words)
        assert (json.loads(done.output)["verdict"], done.exit_code) == (verdict, status)
    forged = archive.run("--json", receipt=altered(archive.receipt))
    assert (json.loads(forged.output)["verdict"], forged.exit_code) == ("forged", 13)
    assert json.loads(forged.output)["receipt"] is None
    later = {**archive.keys, "keys": archive.keys["keys"][1:]}
    unknown = archive.run("--json", keys=later)
    assert (json.loads(unknown.output)["verdict"], unknown.exit_code) == ("cannot_tell", 14)
    foreign = archive.run("--json", keys={**archive.keys, "issuer": "https://other.example"})
    assert (json.loads(foreign.output)["verdict"], foreign.exit_code) == ("forged", 13)
    for receipt, keys in (
        (altered(archive.receipt), archive.keys),
        (archive.receipt, later),
        (archive.receipt, {**archive.keys, "issuer": "https://other.example"}),
    ):
        assert archive.sample(receipt, keys) == 1


def test_wrong_usage_is_no_verdict(archive: Archive) -> None:
    broken = archive.file("broken.json", "{")
    told = archive.file("receipt.jwt", archive.receipt)
    assert CliRunner().invoke(main, ["evidence", "verify", told, "--keys", broken]).exit_code == 2
    assert CliRunner().invoke(main, ["evidence", "verify", told], env={"BROKER_ISSUER": "x"}).exit_code == 3
    for nothing in ("", "\x00", "x" * 20_000):
        assert archive.run(receipt=nothing).exit_code == 13


def test_openssl_judges_the_same(archive: Archive) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("missing: openssl")
    out = archive.folder / "openssl"
    for receipt, holds in ((archive.receipt, True), (altered(archive.receipt), False)):
        done = archive.run("--for-openssl", str(out), receipt=receipt)
        command = done.output.splitlines()[-1].split()
        assert command[0] == "openssl"
        judged = subprocess.run([openssl, *command[1:]], capture_output=True, check=False, timeout=60)
        assert (judged.returncode == 0) is holds
        assert (b"Verified OK" in judged.stdout) is holds


def test_the_sample_is_as_short_as_it_says() -> None:
    code = SAMPLE.read_text(encoding="utf-8").partition("def decoded")[2].partition("if __name__")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 30
