"""The short form of `python -m tests.campaigns.seal_kills`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from broker.delegation.rendering import FONTS
from tests.campaigns.seal_kills import POINTS


@pytest.mark.timeout(400)
def test_killed_at_any_step_nothing_is_sealed_that_is_not_logged_and_no_power_is_lost() -> None:
    """In a process of its own, which forks: the printer's threads of this one would not be there in a child."""
    if not all(font.exists() for font in FONTS):
        pytest.skip("missing: fonts-ipaexfont-gothic, fonts-ipamj-mincho")
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaigns.seal_kills", "1"],
        capture_output=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    nothing = {"unlogged": 0, "forks": 0, "lost": 0, "doubled": 0}
    told = json.loads(done.stdout.splitlines()[-1])
    assert told == {point: {"kills": 1, **nothing} for point in POINTS}, done.stderr[-2000:]
