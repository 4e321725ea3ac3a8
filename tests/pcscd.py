"""The real PC/SC daemon for tests: private, one per test process, with a tray that tests put cards in.

Use the `private_pcscd` fixture (import it in a conftest). One per process because the PC/SC library remembers the first
socket it was told of; insert a card of your own at the start of a test.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from cardreader.softcard import PrivatePCSCD, why_not

ROOT = Path(__file__).parents[1]
SKIP_PREFIX = "missing: a private pcscd: "  # in CI a skip that begins so is a failure


def for_child(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for a Python child that must find this checkout, whatever else is on its path."""
    inherited = environment.get("PYTHONPATH")
    return {**environment, "PYTHONPATH": str(ROOT) if not inherited else f"{ROOT}{os.pathsep}{inherited}"}


@cache
def _started(config: pytest.Config) -> PrivatePCSCD:
    folder = tempfile.TemporaryDirectory(prefix="pcscd-")
    config.add_cleanup(folder.cleanup)
    daemon = PrivatePCSCD(Path(folder.name), save=True)
    daemon.__enter__()
    config.add_cleanup(lambda: daemon.__exit__(None, None, None))
    os.environ["PCSCLITE_CSOCK_NAME"] = str(daemon.socket_path)
    return daemon


@cache
def missing_piece() -> str | None:
    """What this machine lacks for the real daemon, found out once."""
    return why_not()


@pytest.fixture(scope="session")
def private_pcscd(pytestconfig: pytest.Config) -> PrivatePCSCD:
    """A running private pcscd with an empty reader; PCSCLITE_CSOCK_NAME is set for this process and its children."""
    missing = missing_piece()
    if missing is not None:
        pytest.skip(SKIP_PREFIX + missing)
    return _started(pytestconfig)
