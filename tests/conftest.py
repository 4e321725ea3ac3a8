"""What every test shares: a skip for a missing piece is a failure in CI, and the fixtures that start real programs."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests.browser import browser_page, chromium, new_page, playwright
from tests.thrift import compile_once

__all__ = ["browser_page", "chromium", "new_page", "playwright"]
# The fixtures stand here for the whole run: Playwright allows one browser driver a process.

compile_once()
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")  # no test is judged by the clock: a busy machine is no fault of the code

MISSING = "missing:"
"""How a skip reason begins when a program that can be installed is not there."""


LONG = ("tests/journeys/", "tests/bench/", "tests/broker/web/", "tests/cardreader/agent/", "tests/sandbox/")
"""Where a file takes longest: begun last, one of them would keep a single worker busy while the others have ended."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first; within a folder nothing moves."""
    items.sort(key=lambda item: next((n for n, folder in enumerate(LONG) if item.nodeid.startswith(folder)), len(LONG)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI nothing may be skipped for want of a piece: what was not run was not tested."""
    report = yield
    if os.environ.get("CI") == "true" and report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason.startswith(MISSING):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: skipped in CI, {reason}"
    return report
