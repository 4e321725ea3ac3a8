"""The bench of people runs on a small database, and every unit is measured."""

from __future__ import annotations

from pathlib import Path

from bench import people


def test_every_unit_is_measured_over_a_small_database(tmp_path: Path) -> None:
    lines = people.measure(f"sqlite:///{tmp_path / 'bench.db'}", people=20, times=10)
    assert [line.name for line in lines] == list(people.UNITS)
    assert people.table(lines).count("\n") == len(lines) + 1
