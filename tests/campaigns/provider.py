"""The provider's state machine (tests/broker/web/test_web_machine.py) at length and from a seed of its own.

`python -m tests.campaigns.provider` runs 400 stories of 60 steps each: logins, silent requests, codes, replays,
refreshes, revocations, logouts, waits and purges in any order.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

import click
import pytest

MACHINE = Path(__file__).parents[1] / "broker" / "web" / "test_web_machine.py"


@click.command()
@click.option("--examples", default=400, show_default=True, help="Stories.")
@click.option("--steps", default=60, show_default=True, help="Acts of each.")
@click.option("--seed", type=int, help="Of a run that is to be repeated; else a new one.")
def main(examples: int, steps: int, seed: int | None) -> None:
    """Exit status 0 where model and broker agreed throughout; the seed is printed."""
    chosen = secrets.randbelow(10**9) if seed is None else seed
    click.echo(f"seed {chosen}, {examples} stories of {steps} steps")
    os.environ |= {"MACHINE_EXAMPLES": str(examples), "MACHINE_STEPS": str(steps)}
    sys.exit(pytest.main(["-q", "--show-capture=no", "--timeout=0", f"--hypothesis-seed={chosen}", str(MACHINE)]))


if __name__ == "__main__":
    main()
