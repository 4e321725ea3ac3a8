"""The arrows between the rooms are real: each contract breaks when its arrow is reversed."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

OFFENCES = (
    # the place, what would be written there, and the contract that must refuse it
    ("broker/oidc/offence.py", "import broker.web", "Arrows point down"),
    ("broker/storage/offence.py", "import broker.keys", "Arrows point down"),
    ("broker/flows/offence.py", "import broker.storage", "Arrows point down"),
    ("broker/jpki/offence.py", "import broker.audit", "Arrows point down"),
    ("broker/delegation/offence.py", "import broker.oidc", "Arrows point down"),
    ("broker/errors.py", "import broker.jose", "Arrows point down"),
    ("broker/web/offence.py", "import broker.app", "Arrows point down"),
    ("broker/settings.py", "import broker.app", "Arrows point down"),
    ("broker/accounts/offence.py", "import broker.jpki", "handed a subject"),
    ("broker/oidc/offence2.py", "import broker.audit", "handed a subject"),
    ("broker/flows/offence2.py", "import flask", "From flows down"),
    ("broker/audit/offence.py", "import sqlite3", "From flows down"),
    ("broker/jose/offence.py", "import broker.jwe", "Arrows point down"),
    ("broker/jwe.py", "import urllib3", "From flows down"),
    ("broker/keys/offence.py", "import sandbox", "The broker knows neither"),
    ("broker/app.py", "import cardreader", "The broker knows neither"),
    ("cardreader/offence.py", "import broker.errors", "The card side knows neither"),
    ("sandbox/offence.py", "import broker.app", "by sandbox.broker and its test door only"),
    ("cardreader/offence2.py", "import smartcard", "Only cardreader.pcsc"),
)


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "lint-imports"
    if not program.exists():
        pytest.skip("missing: import-linter")
    return subprocess.run([program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


def build(folder: Path, extra: dict[str, str]) -> None:
    """Empty rooms with our contracts, and what `extra` writes into them."""
    shutil.copy(ROOT / "setup.cfg", folder)
    modules = [f"broker/{room.parent.name}/__init__.py" for room in (ROOT / "broker").glob("*/__init__.py")]
    modules += [f"broker/{module.name}" for module in (ROOT / "broker").glob("*.py")]
    modules += ["cardreader/__init__.py", "cardreader/pcsc.py", "sandbox/__init__.py", "sandbox/broker.py"]
    for name in modules:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    for name, text in extra.items():
        (folder / name).write_text(text + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says about rooms in which every offence is committed at once, each contract's part."""
    folder = tmp_path_factory.mktemp("offences")
    build(folder, {place: line for place, line, _ in OFFENCES})
    done = lint(folder)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_allowed_imports_keep_every_contract(tmp_path: Path) -> None:
    allowed = {
        "broker/app.py": "import broker.web, broker.storage, broker.settings",
        "broker/storage/relational.py": "import broker.flows, broker.accounts, sqlalchemy",
        "broker/flows/login.py": "import broker.oidc, broker.jpki, broker.audit",
        "broker/delegation/approval.py": "import broker.jpki",
        "broker/jose/__init__.py": "import broker.errors, broker.ids",
        "broker/jwe.py": "import broker.jose",
        "cardreader/pcsc.py": "import smartcard.scard",
        "sandbox/broker.py": "import broker.app, broker.storage.relational",
    }
    build(tmp_path, allowed)
    done = lint(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


@pytest.mark.parametrize(("place", "line", "contract"), OFFENCES)
def test_a_reversed_arrow_breaks_its_contract(report: str, place: str, line: str, contract: str) -> None:
    importer = place.removesuffix(".py").replace("/", ".")
    imported = line.removeprefix("import ")
    _, _, broken = report.partition("Broken contracts")
    parts = re.split(r"\n-{5,}\n", broken)
    details = [after for before, after in itertools.pairwise(parts) if contract in " ".join(before.split())]
    assert details, f"{contract!r} was kept"
    assert re.search(rf"{re.escape(importer)} -> {re.escape(imported)}\b", details[0])


def test_a_new_room_must_be_given_a_layer(tmp_path: Path) -> None:
    build(tmp_path, {"broker/helpers.py": ""})
    done = lint(tmp_path)
    assert done.returncode == 1
    assert "helpers" in done.stdout
