"""The installed package: everything it serves is in it, and nothing of the sandbox."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVED = {".html", ".css", ".js", ".svg", ".toml", ".po", ".mo", ".LICENSE"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in a wheel built from a copy of this checkout, without the network."""
    copy = tmp_path_factory.mktemp("wheel") / "project"
    copy.mkdir()
    for name in ("broker", "cardreader", "sandbox"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", str(copy), "--quiet", "--no-deps", "--no-build-isolation"),
            *("--no-index", "--wheel-dir", str(copy / "dist")),
        ],
        check=True,
        capture_output=True,
        timeout=100,
    )
    [built] = (copy / "dist").glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return set(archive.namelist())


def test_every_page_style_catalogue_and_translation_is_in_the_wheel(wheel: set[str]) -> None:
    wanted = {
        str(path.relative_to(ROOT))
        for package in ("broker", "cardreader")
        for path in (ROOT / package).rglob("*")
        if path.suffix in SERVED
    }
    assert len(wanted) > 20
    assert wanted - wheel == set()


def test_the_sandbox_its_test_door_and_its_switches_are_not_installed(wheel: set[str]) -> None:
    assert {name.split("/")[0] for name in wheel if not name.startswith("jpki_broker-")} == {"broker", "cardreader"}
