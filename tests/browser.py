"""Debian's Chromium for tests: pages, a judge of their accessibility, and pictures to look at.

The fixtures stand in tests/conftest.py, so that the whole run shares one browser. Pictures go to
`build/screenshots/` (or $SCREENSHOTS), never into the repository.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it carries no types
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
PHONE = {"width": 320, "height": 640}
"""The narrowest window WCAG 1.4.10 asks for, CSS pixels."""
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One headless Chromium for all tests."""
    if not CHROMIUM.exists():
        pytest.skip("missing: chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def new_page(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Makes pages in contexts of their own (no shared cookies); options are Playwright's for a context."""
    contexts = []

    def make(**options: object) -> Page:
        context = chromium.new_context(**{"locale": "ja-JP", **options})  # type: ignore[arg-type]  # passed on as given
        context.set_default_timeout(15_000)
        contexts.append(context)
        return context.new_page()

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def browser_page(new_page: Callable[..., Page]) -> Page:
    """A page of a Japanese browser."""
    return new_page()


def assert_accessible(page: Page) -> None:
    """No finding of axe (WCAG 2.2 A and AA, and its best practice), and no sideways scroll at 320 pixels."""
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": _RULES}})
    assert found.violations_count == 0, found.generate_report()
    before = page.viewport_size
    page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    width = page.evaluate("document.documentElement.scrollWidth")
    if before is not None:
        page.set_viewport_size(before)
    assert width <= PHONE["width"], f"{page.url} is {width} pixels wide in a window of 320"


def screen(page: Page, name: str, language: str) -> None:
    """The picture of a screen for the documents: one narrow column. SCREENS names the folder (`SCREENS=docs/screens`;
    `python -m tests.picture docs/screens` then makes them small), else they go where the other pictures go.
    """
    before = page.viewport_size
    page.set_viewport_size({"width": 480, "height": 640})
    folder = os.environ.get("SCREENS")
    screenshot(page, f"{name}.{language}", folder=Path(folder) if folder else None)
    if before is not None:
        page.set_viewport_size(before)


def screenshot(page: Page, name: str, *, folder: Path | None = None) -> Path:
    """A picture of the whole page; answers where it is."""
    folder = folder or Path(os.environ.get("SCREENSHOTS") or Path(__file__).parent.parent / "build" / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    return path
