"""The short form of `python -m tests.campaigns.register_kills`."""

from __future__ import annotations

from pathlib import Path

from tests.campaigns.register_kills import POINTS, campaign


def test_killed_at_any_step_the_register_forks_nowhere_and_loses_nothing(tmp_path: Path) -> None:
    assert campaign(3, folder=tmp_path) == {
        point: {"kills": 3, "lost": 0, "forks": 0, "unsigned": 0} for point in POINTS
    }
