"""CONFORMANCE.md names the tests there are, and every case of the suite."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def negatives() -> ModuleType:
    spec = importlib.util.spec_from_file_location("negatives", ROOT / ".ci" / "negatives.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_what_the_command_prints(negatives: ModuleType) -> None:
    page = (ROOT / "CONFORMANCE.md").read_text(encoding="utf-8")
    assert page == negatives.with_table(page, negatives.current()), "run `python .ci/negatives.py --write`"


def test_the_sixty_cases_are_there_in_order() -> None:
    cases = tomllib.loads((ROOT / "tests" / "negatives.toml").read_text(encoding="utf-8"))["case"]
    assert [case["number"] for case in cases] == list(range(1, 61))


def test_a_case_is_missing_only_where_the_feature_is(negatives: ModuleType) -> None:
    cases = tomllib.loads((ROOT / "tests" / "negatives.toml").read_text(encoding="utf-8"))["case"]
    not_built = {case["number"] for case in cases if "not_built" in case}
    rows = [line for line in negatives.current().splitlines() if "**missing**" in line]
    assert {int(line.split("|")[1]) for line in rows} == not_built


def test_names_with_one_number_and_with_two_are_collected(negatives: ModuleType) -> None:
    text = "def test_n07_one() -> None:\n    def test_n52_n53_both(self) -> None:\ndef test_no_case_n09_() -> None:\n"
    both = ["tests/a.py::test_n52_n53_both"]
    found = negatives.tests_by_number([("tests/a.py", text)])
    assert found == {7: ["tests/a.py::test_n07_one"], 52: both, 53: both}
    assert "**missing**: no test yet" in negatives.table([{"number": 1, "module": "m", "asks": "a"}], {})


def test_both_readmes_lead_there() -> None:
    for name in ("README.md", "README.ja.md"):
        assert "(CONFORMANCE.md)" in (ROOT / name).read_text(encoding="utf-8")
