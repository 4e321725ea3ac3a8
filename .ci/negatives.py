"""Which test holds which of the official suite's negative cases: the table in CONFORMANCE.md.

    python .ci/negatives.py          print the table
    python .ci/negatives.py --write  put it into CONFORMANCE.md

A test holds a case when its name begins with the number: `test_n35_…`, or `test_n52_n53_…` for two.
"""

# ruff: noqa: T201  # a command: what it prints is its result

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "CONFORMANCE.md"
BEGIN, END = "<!-- negatives: written by .ci/negatives.py -->", "<!-- end of negatives -->"
_NUMBERS = re.compile(r"^test_((?:n[0-9]{2}_)+).*")
_NAME = re.compile(r"^\s*(?:async )?def (test_(?:n[0-9]{2}_)+\w+)", re.MULTILINE)


def tests_by_number(files: Iterable[tuple[str, str]]) -> dict[int, list[str]]:
    """Case number to the files and tests that hold it; `files` are paths and texts."""
    found: dict[int, list[str]] = {}
    for path, text in files:
        for name in _NAME.findall(text):
            for number in re.findall(r"n([0-9]{2})_", _NUMBERS.sub(r"\1", name)):
                found.setdefault(int(number), []).append(f"{path}::{name}")
    return {number: sorted(names) for number, names in found.items()}


def table(cases: Sequence[Mapping[str, Any]], held: Mapping[int, Sequence[str]]) -> str:
    """Markdown; a case that no test holds says so."""
    lines = ["| No. | Module of the suite | What it asks | Held by |", "|---|---|---|---|"]
    for case in cases:
        tests = held.get(case["number"], [])
        by = "<br>".join(f"`{name}`" for name in tests) or f"**missing**: {case.get('not_built', 'no test yet')}"
        lines.append(f"| {case['number']} | {case['module']} | {case['asks']} | {by} |")
    return "\n".join(lines) + "\n"


def current() -> str:
    """The table as it is now."""
    cases = tomllib.loads((ROOT / "tests" / "negatives.toml").read_text(encoding="utf-8"))["case"]
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    texts = ((path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in files)
    return table(cases, tests_by_number(texts))


def with_table(page: str, rows: str) -> str:
    """The page with this table between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{rows}\n{END}{after}"


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), current()), encoding="utf-8")
    else:
        print(current(), end="")
