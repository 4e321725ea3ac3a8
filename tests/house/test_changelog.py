"""Changelog fragments: well-formed, and put together in the order a reader needs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def changelog(load_check: Callable[[str], ModuleType]) -> ModuleType:
    return load_check("changelog")


def test_every_fragment_is_well_formed(changelog: ModuleType) -> None:
    texts = changelog.fragments(ROOT / "changelog.d")
    assert [fault for name, text in texts.items() for fault in changelog.faults(name, text)] == []
    assert {path.name for path in (ROOT / "changelog.d").iterdir()} == {*texts, "README.md"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("login.news.md", "A sentence."),
        ("Login.added.md", "A sentence."),
        ("added.md", "A sentence."),
        ("login.added.md", "  \n"),
        ("login.added.md", "One.\n\nTwo."),
        ("login.added.md", "- A list item."),
        ("login.added.md", "No full stop"),
    ],
)
def test_a_malformed_fragment_is_named(changelog: ModuleType, name: str, text: str) -> None:
    found = changelog.faults(name, text)
    assert len(found) == 1
    assert found[0].startswith(f"{name}: ")


def test_security_comes_first_and_lines_are_joined(changelog: ModuleType) -> None:
    texts = {"a.fixed.md": "Fixed\nthis.", "b.security.md": "Safe.", "c.fixed.md": "And that."}
    wanted = "### Security\n\n- Safe.\n\n### Fixed\n\n- Fixed this.\n- And that.\n"
    assert changelog.compose(texts) == wanted


def test_a_release_moves_the_fragments_to_the_top_of_the_changelog(
    changelog: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(ROOT / "CHANGELOG.md", tmp_path)
    (tmp_path / "changelog.d").mkdir()
    monkeypatch.setattr(changelog, "ROOT", tmp_path)
    for version, subject in (("0.1.0", "first"), ("0.2.0", "second")):
        (tmp_path / "changelog.d" / f"{subject}.added.md").write_text(f"The {subject} thing.\n", encoding="utf-8")
        assert changelog.main(["--release", version, "2026-12-01"]) == 0
    written = (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")
    assert written.index("## 0.2.0 (2026-12-01)") < written.index("- The second thing.") < written.index("## 0.1.0")
    assert list((tmp_path / "changelog.d").iterdir()) == []


def test_no_release_is_made_of_a_malformed_fragment(
    changelog: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "CHANGELOG.md", tmp_path)
    (tmp_path / "changelog.d").mkdir()
    (tmp_path / "changelog.d" / "x.news.md").write_text("Text.", encoding="utf-8")
    monkeypatch.setattr(changelog, "ROOT", tmp_path)
    assert changelog.main(["--release", "0.1.0", "2026-12-01"]) == 1
    assert "x.news.md" in capsys.readouterr().err
    assert (tmp_path / "CHANGELOG.md").read_bytes() == (ROOT / "CHANGELOG.md").read_bytes()
