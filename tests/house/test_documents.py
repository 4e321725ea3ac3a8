"""The documents: a complete glossary, numbered decisions, and no trace of the machine they were written on."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))


def glossary_rows() -> list[list[str]]:
    lines = [line for line in GLOSSARY.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_glossary_is_sorted_by_the_english_word_and_says_each_once() -> None:
    words = [row[1].casefold() for row in glossary_rows()]
    assert len(words) >= 40
    assert words == sorted(set(words))


def test_every_glossary_row_is_complete() -> None:
    rows = glossary_rows()
    assert [row for row in rows if len(row) != 4 or not all(row)] == []
    japanese = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
    assert [row[0] for row in rows if not japanese.search(row[0])] == ["PKCE"]


def test_decisions_are_numbered_without_a_gap_and_say_why_what_and_price() -> None:
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    for path in DECISIONS:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(path.name[:4])}. "), path.name
        places = [text.find(f"\n**{part}.**") for part in ("Why", "What", "Price")]
        assert -1 < places[0] < places[1] < places[2], path.name


def tracked_texts() -> dict[str, str]:
    listing = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    try:
        done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("missing: git, or a git checkout")
    texts = {}
    for name in filter(None, done.stdout.split("\0")):
        try:
            texts[name] = (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue  # a picture, or deleted and not yet committed
    return texts


def test_no_tracked_file_names_this_checkout_or_where_packages_were_taken_from() -> None:
    traces = {str(ROOT)}
    for variable in ("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS"):
        traces |= set(os.environ.get(f"PIP_{variable}", "").split()) | set(os.environ.get(f"UV_{variable}", "").split())
    texts = tracked_texts()
    assert "setup.cfg" in texts
    assert [(name, trace) for name, text in texts.items() for trace in traces if trace in text] == []


def test_lock_files_name_no_registry_and_no_folder() -> None:
    for path in sorted((ROOT / "locks").glob("*.lock")):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text, path.name
        assert re.search(r"^\s*-", re.sub(r"^\s+--hash=.*$", "", text, flags=re.M), re.M) is None, path.name
