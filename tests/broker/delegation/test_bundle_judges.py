"""Others judge an officer's bundle: the very lines of its README, and Go's own log code."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from broker.delegation import bundle as bundles
from tests.broker.delegation.officer import DAY, Operator
from tests.gohouse import built

pytest.importorskip("typst", reason="missing: typst")
PROGRAM = Path(__file__).parents[2] / "interop" / "programs" / "inclusion.go"
PROGRAMS = ("pdfsig", "pdfdetach", "openssl", "sha256sum")


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A bundle in a register of some entries, unpacked by somebody else's unzip."""
    operator = Operator(tmp_path_factory.mktemp("operator"))
    for number in range(5):
        operator.issue(salt=bytes([number]) * 32)
    papers = operator.issue()
    epoch = operator.epoch(at=DAY - timedelta(minutes=1))
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "bundle.zip").write_bytes(bundles.write(operator.bundle(papers, epochs=(epoch,))))
    with zipfile.ZipFile(folder / "bundle.zip") as archive:
        archive.extractall(folder)
    operator.engine.dispose()
    return SimpleNamespace(folder=folder, key=operator.log_key.to_text())


def lines(folder: Path) -> list[str]:
    text = (folder / "README.txt").read_text(encoding="utf-8")
    return [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(folder)}
    return subprocess.run(
        ["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def run_all(folder: Path) -> list[str]:
    for program in PROGRAMS:
        if shutil.which(program) is None:
            pytest.skip(f"missing: {program}")
    return [f"{(done := shell(line, folder)).returncode}\n{done.stdout}{done.stderr}" for line in lines(folder)]


def twice(text: str) -> bool:
    digests = re.findall(r"[0-9a-f]{64}", text)
    return len(digests) == 2 and digests[0] == digests[1]


@pytest.mark.timeout(200)
def test_the_six_lines_of_the_readme_confirm_a_good_bundle(handed_out: SimpleNamespace) -> None:
    seal, attached, entry, status, head, signature = run_all(handed_out.folder)
    assert "Signature is Valid." in seal
    assert "Total document signed" in seal
    assert attached.startswith("0\n")
    assert twice(entry), entry
    assert twice(status), status
    assert head.startswith("0\n")
    assert "Signature Verified Successfully" in signature


@pytest.mark.timeout(200)
def test_the_same_lines_see_what_was_changed(handed_out: SimpleNamespace, tmp_path: Path) -> None:
    for name in ("salt", "status.jwt", "poa.json", "poa.pdf", "poa.tlog-proof"):
        folder = tmp_path / name
        shutil.copytree(handed_out.folder, folder)
        data = bytearray((folder / name).read_bytes())
        at = data.index(b"broker.example") if name == "poa.tlog-proof" else len(data) // 2
        data[at] ^= 1
        (folder / name).write_bytes(data)
        seal, attached, entry, status, _head, signature = run_all(folder)
        seen = {
            "poa.pdf": "Digest Mismatch" in seal,
            "poa.json": not attached.startswith("0\n"),
            "salt": not twice(entry),
            "status.jwt": not twice(status),
            "poa.tlog-proof": "Signature Verified Successfully" not in signature,
        }
        assert seen[name], (name, seal, attached, entry, status, signature)


@pytest.mark.timeout(400)
def test_gos_own_log_code_finds_the_entry_in_the_register(handed_out: SimpleNamespace, tmp_path: Path) -> None:
    judge = built(PROGRAM, tmp_path / "go")
    folder = handed_out.folder

    def judged(entry: str, proof: str) -> tuple[int, str]:
        words = [str(judge), str(folder / entry), str(folder / proof), handed_out.key]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout

    assert judged("poa.entry", "poa.tlog-proof") == (0, "ok 5 6\n")
    assert judged("status.entry", "status.tlog-proof") == (0, "ok 6 7\n")
    assert judged("status.entry", "poa.tlog-proof")[0] == 1
    assert judged("poa.entry", "status.tlog-proof")[0] == 1
