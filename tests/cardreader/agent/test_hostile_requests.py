"""The quick form of tests/campaigns/agent.py, and what the agent's modules may import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.campaigns.agent import KINDS, QUICK, SEED, run
from tests.cardreader.agent.conftest import Hierarchy
from tests.cardreader.conftest import CardMaker

linux_only = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="missing: /proc/net/tcp (Linux)")


@linux_only
def test_five_hundred_hostile_requests_touch_no_card_and_the_person_still_gets_an_answer(
    card_maker: CardMaker, hierarchy: Hierarchy, tmp_path: Path
) -> None:
    verdict = run(QUICK, seed=SEED, card_maker=card_maker, hierarchy=hierarchy, folder=tmp_path)
    assert sum(sum(seen.values()) for seen in verdict.statuses.values()) == QUICK
    assert all(verdict.statuses[kind.__name__.strip("_")] for kind in KINDS)
    assert (verdict.apdus, verdict.tries_lost) == (0, 0)
    assert verdict.answered_at_the_end
    assert verdict.holds, verdict


# Modules that exist on one family of systems only; the agent may use them inside functions, with words for their lack.
BLOCKED = """
import sys
for name in ("fcntl", "pwd", "grp", "termios", "tty", "pty", "resource", "syslog", "posix_ipc", "_curses", "winreg"):
    sys.modules[name] = None
import importlib, pkgutil
import cardreader
seen = 0
for module in pkgutil.walk_packages(cardreader.__path__, "cardreader."):
    if module.name.endswith("__main__"):
        continue
    if module.name in ("cardreader.softcard", "cardreader.namespaces"):
        continue  # the software card in a private daemon: for development on Linux, and said so
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as missing:
        if missing.name in ("smartcard", "pkcs11"):
            continue  # libraries of their own, not parts of a system
        raise
    seen += 1
print(seen)
"""


def test_no_module_of_the_card_side_needs_one_family_of_systems_to_be_imported() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 30
