"""Debian's Chromium for tests: pages, a judge of their accessibility, and pictures to look at.

The fixtures stand in tests/conftest.py, so that the whole run shares one browser. Pictures go to
`build/screenshots/` (or $SCREENSHOTS), never into the repository.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AxeResults  # type: ignore[import-untyped]  # it carries no types
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it carries no types
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Playwright, Request, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
SHELL = Path("/usr/bin/chromium-headless-shell")
"""Its engine without the windows and bars around it, which cost three times as much as most of our pages."""
PHONE = {"width": 320, "height": 640}
"""The narrowest window WCAG 1.4.10 asks for, CSS pixels."""
WINDOW = {"width": 1280, "height": 720}
"""At which text of twice the size must fit (WCAG 1.4.4)."""
HEAVIEST = 30_000
"""Octets that a page may bring over the wire, with its pictures, style and scripts."""
LATENCY = int(os.environ.get("BROWSER_LATENCY", "0"))
"""Milliseconds that every answer takes longer. A test that looks at a page before it has come fails under 400."""
_PATIENCE = 60_000
"""Milliseconds until something waited for is missing: long, for a busy machine; who is answered waits no longer."""
expect.set_options(timeout=_PATIENCE)
_HEADERS = 600
"""Octets counted for the headers of each answer: more than ours have (the CSP is the longest)."""
_LOADED = """[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  .map(e => [e.name, e.encodedBodySize])"""
_SENT: dict[str, int] = {}
"""Octets of each thing when it was sent: a browser that has it counts nothing, and the next person's has not."""
_COMPRESSED: dict[str, int] = {}
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """What drives browsers: one a process."""
    with sync_playwright() as playwright:
        yield playwright


def launched(playwright: Playwright, program: Path) -> Iterator[Browser]:
    """This browser, until the tests have ended."""
    if not program.exists():
        pytest.skip(f"missing: {program.name}")
    browser = playwright.chromium.launch(executable_path=str(program), args=["--no-sandbox"])
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """One headless browser for all tests of pages. Journeys have the whole Chromium instead, as residents do."""
    yield from launched(playwright, SHELL)


_ON_THE_WAY: set[Request] = set()
"""Pages that a slowed browser has asked for."""


@contextmanager
def opened(browser: Browser, **options: Any) -> Iterator[BrowserContext]:
    """A context of its own (no shared cookies), closed at the end; options are Playwright's."""
    context = browser.new_context(**options)
    context.set_default_timeout(_PATIENCE)
    if LATENCY:
        context.on("page", _slowed)
    try:
        yield context
    finally:
        context.close()


def _asked(request: Request) -> None:
    if request.is_navigation_request():
        _ON_THE_WAY.add(request)


def _came(request: Request) -> None:
    _ON_THE_WAY.discard(request)


def _slowed(page: Page) -> None:
    page.on("request", _asked)
    page.on("requestfinished", _came)
    page.on("requestfailed", _came)
    conditions = {"offline": False, "latency": LATENCY, "downloadThroughput": -1, "uploadThroughput": -1}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", conditions)


@pytest.fixture
def new_page(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Makes pages in contexts of their own (no shared cookies); options are Playwright's for a context."""
    with ExitStack() as contexts:

        def make(**options: object) -> Page:
            return contexts.enter_context(opened(chromium, **{"locale": "ja-JP", **options})).new_page()

        yield make


@pytest.fixture
def browser_page(new_page: Callable[..., Page]) -> Page:
    """A page of a Japanese browser."""
    return new_page()


def follow(link: Locator, *, key: str | None = None) -> None:
    """Press what leads to another page, by mouse or by this key, and be there: it has come, with its style."""
    with link.page.expect_navigation():
        if key is None:
            link.click()
        else:
            link.press(key)


def _wait_until_loaded(page: Page) -> None:
    """A page without its style yet is another one. Of a slowed browser, that nobody looks at the page before it."""
    page.wait_for_load_state()
    late = [request.url for request in _ON_THE_WAY if request.frame.page == page]
    assert not late, f"{page.url} is looked at while {late} is on its way"


def assert_light(page: Page) -> None:
    """At most 30 kB over the wire, as encoded there, and every octet from where the page came from."""
    _wait_until_loaded(page)
    loaded = [(name, size) for name, size in page.evaluate(_LOADED) if not name.startswith(("about:", "data:"))]
    origin = page.evaluate("location.origin")
    assert [name for name, _ in loaded if not name.startswith(f"{origin}/")] == [], page.url
    _SENT.update((name, size) for name, size in loaded if size)
    weight = sum(_COMPRESSED.get(name, _SENT.get(name, 0)) + _HEADERS for name, _ in loaded)
    assert weight <= HEAVIEST, f"{page.url} weighs {weight} octets: {loaded}"


def compressed(url: str, octets: int) -> None:
    """Told by a test that answers in the server's place: a browser takes no compressed answer from it, so what would
    have been sent is counted.
    """
    _COMPRESSED[url] = octets


_FOCUSABLE = "a[href], button, input:not([type=hidden]), select, textarea, summary"
_VISIBLE = f"""[...document.querySelectorAll('{_FOCUSABLE}')].filter(e => e.checkVisibility() && !e.disabled)"""
_RECORD = f"""() => {{
  const all = {_VISIBLE};
  window.reached = [];
  window.recorder = new AbortController();
  document.addEventListener('focusin', event => {{
    const e = event.target, s = getComputedStyle(e);
    window.reached.push([all.indexOf(e), s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2]);
  }}, {{ signal: window.recorder.signal }});
  return all.map((e, i) => e.type === 'radio' ? e.name : String(i));
}}"""
_AXE = Axe()


def assert_accessible(page: Page) -> None:
    """No finding of axe (WCAG 2.2 A and AA, and its best practice), in forced colours neither; no sideways scroll at
    320 pixels, nor with text of twice the size; everything that can be pressed is reached by Tab, and seen to be. And
    the page is light: a slow line shuts people out too."""
    assert_light(page)
    _judge(page, {"type": "tag", "values": _RULES})
    page.emulate_media(forced_colors="active")
    _judge(page, {"type": "rule", "values": ["color-contrast"]})  # what they can change
    page.emulate_media(forced_colors="none")
    before = page.viewport_size
    page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    width = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size(WINDOW)
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    enlarged = page.evaluate("document.documentElement.scrollWidth")
    page.evaluate("document.documentElement.style.removeProperty('font-size')")
    if before is not None:
        page.set_viewport_size(before)
    assert width <= PHONE["width"], f"{page.url} is {width} pixels wide in a window of 320"
    assert enlarged <= WINDOW["width"], f"{page.url} is {enlarged} pixels wide with text of twice the size"
    _assert_reached_by_keyboard(page)


def _judge(page: Page, rules: dict[str, object]) -> None:
    if page.evaluate("typeof axe") == "undefined":  # half a megabyte of program: once for each page
        page.evaluate(_AXE.axe_script)
    options = {"runOnly": rules, "resultTypes": ["violations"]}
    found = AxeResults(page.evaluate("options => axe.run(document, options)", options))
    assert found.violations_count == 0, found.generate_report()


def _assert_reached_by_keyboard(page: Page) -> None:
    """Of radio buttons of one name Tab reaches one, as it should; they count as one."""
    page.evaluate("document.activeElement.blur(); window.getSelection().removeAllRanges()")
    groups = page.evaluate(_RECORD)
    reached: set[str] = set()
    for _ in range(4):  # begun anywhere, once around, and over what the browser itself has to focus
        for _ in range(len(groups) + 1):
            page.keyboard.press("Tab")
        for place, seen in page.evaluate("window.reached.splice(0)"):
            if place >= 0:
                assert seen, f"{page.url}: focus on element {place} is not seen"
                reached.add(groups[place])
        if reached == set(groups):
            break
    page.evaluate("window.recorder.abort(); document.activeElement.blur()")
    missed = [place for place, group in enumerate(groups) if group not in reached]
    assert not missed, f"{page.url}: Tab never reaches the elements {missed} of {_FOCUSABLE}"


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
    _wait_until_loaded(page)
    page.screenshot(path=path, full_page=True)
    return path
