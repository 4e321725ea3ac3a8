"""A terminal that everybody uses: what ends a session, how fast, and what is left of it."""

from __future__ import annotations

import http.server
import json
import queue
import shutil
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cardreader.__main__ import main
from cardreader.agent.kiosk import LOOK_SECONDS, Kiosk, KioskRefused, browser_command, require_read_only, tell_ended
from cardreader.pcsc import PCSCReaders, PCSCWatch
from cardreader.readers import Happening, ReaderEvent
from tests.cardreader.agent.conftest import ISSUER, Broker
from tests.cardreader.conftest import CardMaker, ThroughPCSCD

CHROMIUM = shutil.which("chromium")

# A browser that lives in its profile: it leaves a mark there, has a child, and does not go when asked politely.
BROWSER = """#!{python}
import os, signal, subprocess, sys, time
profile = next(a for a in sys.argv if a.startswith("--user-data-dir=")).partition("=")[2]
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "300"])
with open({log!r}, "a") as log:
    log.write(f"{{os.getpid()}} {{child.pid}} {{profile}} {{sys.argv[-1]}}\\n")
open(os.path.join(profile, "history"), "w").write("what this person did")
{then}
"""


class Watch:
    """Readers whose events a test makes."""

    def __init__(self) -> None:
        self.events: queue.Queue[ReaderEvent] = queue.Queue()

    def wait(self, seconds: float) -> tuple[ReaderEvent, ...]:
        try:
            return (self.events.get(timeout=seconds),)
        except queue.Empty:
            return ()

    def remove_card(self) -> None:
        self.events.put(ReaderEvent(happening=Happening.CARD_REMOVED, reader="r"))


class Booth:
    """A kiosk under way."""

    def __init__(self, folder: Path, *, then: str = "time.sleep(300)", **options: Any) -> None:
        self.log = folder / "browsers"
        program = folder / "chromium-like"
        program.write_text(BROWSER.format(python=sys.executable, log=str(self.log), then=then), encoding="utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.watch = options.pop("watch", None) or Watch()
        self.told: list[str] = []
        options.setdefault("tell", self._tell)
        self.kiosk = Kiosk(
            browser=str(program), url="https://start.example/", watch=self.watch, pauses=(0.0, 0.0), **options
        )
        self.ended = 0
        self._thread = threading.Thread(target=self.kiosk.run, kwargs={"on_end": self._on_end})
        self._thread.start()

    def _tell(self, url: str) -> int | None:
        self.told.append(url)
        return 204

    def _on_end(self) -> None:
        self.ended += 1

    def browsers(self, count: int) -> list[list[str]]:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            rows = [line.split() for line in self.log.read_text().splitlines()] if self.log.exists() else []
            if len(rows) >= count and (Path(rows[-1][2]) / "history").exists():
                return rows
            time.sleep(0.02)
        raise AssertionError(f"no browser number {count}")

    def close(self) -> None:
        self.kiosk.stop()
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def booth(tmp_path: Path) -> Iterator[Callable[..., Booth]]:
    made: list[Booth] = []

    def make(**options: Any) -> Booth:
        made.append(Booth(tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def _is_alive(pid: str) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a kiosk looks at in a request."""

    end_handle: str
    origin: str = ISSUER


def _request(end_handle: str) -> Any:
    return Asked(end_handle=end_handle)


def _until(condition: Callable[[], bool], *, seconds: float) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "too late"
        time.sleep(0.01)
    return time.monotonic() - began


linux_only = pytest.mark.skipif(not Path("/proc/self").exists(), reason="missing: /proc (Linux)")


@linux_only
def test_removed_card_kills_the_browser_and_its_children_within_a_second(booth: Callable[..., Booth]) -> None:
    here = booth()
    ((pid, child, profile, url),) = here.browsers(1)
    assert url == "https://start.example/"
    assert stat.S_IMODE(Path(profile).stat().st_mode) == 0o700
    here.watch.remove_card()
    assert _until(lambda: not _is_alive(pid) and not _is_alive(child), seconds=1.0) <= 1.0
    _until(lambda: not Path(profile).exists(), seconds=3)
    second = here.browsers(2)[1]
    assert second[2] != profile
    assert here.ended == 1


@linux_only
def test_a_session_ends_five_minutes_after_the_card_answered_although_it_stays(booth: Callable[..., Booth]) -> None:
    now = [1000.0]
    here = booth(monotonic=lambda: now[0])
    here.browsers(1)
    here.kiosk.on_answer(_request("/agent/end/one"))
    now[0] += 299
    here.kiosk.on_answer(_request("/agent/end/two"))  # a second login prolongs nothing
    time.sleep(3 * LOOK_SECONDS)
    assert len(here.browsers(1)) == 1
    now[0] += 1
    here.browsers(2)
    _until(lambda: sorted(here.told) == [f"{ISSUER}/agent/end/one", f"{ISSUER}/agent/end/two"], seconds=5)


class CountedWatch:
    """The real daemon's events, and what was asked and told since the card was taken."""

    def __init__(self, watch: PCSCWatch) -> None:
        self._watch = watch
        self.is_card_gone = threading.Event()
        self.looks_after = 0
        self.looks_at_removal = 0
        self.told: list[Happening] = []

    def wait(self, seconds: float) -> tuple[ReaderEvent, ...]:
        if self.is_card_gone.is_set():
            self.looks_after += 1
        events = self._watch.wait(seconds)
        if events and not self.told:
            self.looks_at_removal = self.looks_after
        self.told += [event.happening for event in events]
        return events


@linux_only
def test_a_card_pulled_from_the_real_reader_ends_the_session_at_the_looks_that_fit_into_a_second(
    through_pcscd: ThroughPCSCD, card_maker: CardMaker, booth: Callable[..., Booth]
) -> None:
    """By order of events: the session ends at the look that is told of the removal, and a second holds four looks."""
    through_pcscd.insert(card_maker())
    with PCSCReaders().watch() as real:
        real.wait(0.0)
        watch = CountedWatch(real)
        here = booth(watch=watch)
        try:
            ((pid, child, profile, _),) = here.browsers(1)
            here.kiosk.on_answer(_request("/agent/end/real"))
            watch.is_card_gone.set()
            through_pcscd.remove()
            here.browsers(2)  # the next person's session has begun: the first one is over
            assert not _is_alive(pid)
            assert not _is_alive(child)
            assert not Path(profile).exists()
            assert (here.ended, watch.told) == (1, [Happening.CARD_REMOVED])
            _until(lambda: here.told == [f"{ISSUER}/agent/end/real"], seconds=5)
            assert 1 <= watch.looks_at_removal <= int(1.0 / LOOK_SECONDS)
        finally:
            here.close()


@linux_only
def test_login_that_stands_still_is_ended_and_one_that_was_finished_is_not(booth: Callable[..., Booth]) -> None:
    here = booth(idle_seconds=0.5)
    here.browsers(1)
    time.sleep(1)
    assert len(here.browsers(1)) == 1  # nobody has come: nothing to end
    here.kiosk.on_request()
    here.browsers(2)
    here.kiosk.on_request()
    here.kiosk.on_answer(_request(""))
    time.sleep(1.2)
    assert len(here.browsers(2)) == 2


@linux_only
def test_broker_is_told_once_for_each_login_of_the_session_and_only_where_it_asked(booth: Callable[..., Booth]) -> None:
    here = booth()
    here.browsers(1)
    here.kiosk.on_answer(_request("/agent/end/one"))
    here.kiosk.on_answer(_request(""))
    here.kiosk.on_answer(_request("/agent/end/two"))
    here.watch.remove_card()
    here.browsers(2)
    _until(lambda: len(here.told) == 2, seconds=3)
    assert here.told == [f"{ISSUER}/agent/end/one", f"{ISSUER}/agent/end/two"]
    here.watch.remove_card()
    here.browsers(3)
    assert len(here.told) == 2


@linux_only
def test_browser_that_ends_by_itself_is_replaced_on_a_fresh_profile(booth: Callable[..., Booth]) -> None:
    here = booth(then="child.kill(); child.wait()")
    _until(lambda: here.log.exists() and len(here.log.read_text().splitlines()) == 2, seconds=10)
    profiles = [line.split()[2] for line in here.log.read_text().splitlines()]
    assert profiles[0] != profiles[1]
    assert not Path(profiles[0]).exists()


@linux_only
def test_end_of_the_program_ends_the_browser_and_leaves_no_profile(booth: Callable[..., Booth]) -> None:
    here = booth()
    ((pid, child, profile, _),) = here.browsers(1)
    here.close()
    assert not _is_alive(pid)
    _until(lambda: not _is_alive(child), seconds=1)
    assert not Path(profile).exists()


def test_broker_is_told_by_a_post_without_a_body_and_tried_again_where_it_is_away() -> None:
    seen: list[tuple[str, str, bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append((self.path, self.headers.get("Content-Length", ""), b""))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        assert tell_ended(f"http://127.0.0.1:{server.server_port}/agent/end/abc") == 204
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert seen == [("/agent/end/abc", "0", b"")]
    assert tell_ended(f"http://127.0.0.1:{server.server_port}/agent/end/abc") is None


@linux_only
def test_an_unreachable_broker_is_tried_as_often_as_there_are_pauses(booth: Callable[..., Booth]) -> None:
    calls: list[str] = []
    here = booth(tell=calls.append)
    here.browsers(1)
    here.kiosk.on_answer(_request("/agent/end/one"))
    here.watch.remove_card()
    _until(lambda: len(calls) >= 2, seconds=3)
    _until(lambda: not any(thread.name == "kiosk-end" for thread in threading.enumerate()), seconds=3)
    assert calls == [f"{ISSUER}/agent/end/one"] * 2


def test_a_browser_that_is_not_there_is_named(tmp_path: Path) -> None:
    kiosk = Kiosk(browser=str(tmp_path / "none"), url="https://start.example/", watch=Watch())
    with pytest.raises(KioskRefused, match="none cannot be started"):
        kiosk.run()


def test_known_browsers_get_a_profile_of_their_own() -> None:
    profile = Path("/p")
    assert "--user-data-dir=/p" in browser_command("/usr/bin/chromium", profile=profile, url="https://x/")
    firefox = browser_command("/usr/bin/firefox-esr", profile=profile, url="https://x/")
    assert firefox[firefox.index("--profile") + 1] == "/p"
    assert firefox[-1] == "https://x/"


@pytest.mark.parametrize(("mode", "is_refused"), [(0o444, False), (0o644, True), (0o464, True), (0o446, True)])
def test_trust_file_that_a_visitor_could_write_stops_the_start(tmp_path: Path, mode: int, is_refused: bool) -> None:
    path = tmp_path / "trust.json"
    path.write_text("{}")
    path.chmod(mode)
    if is_refused:
        with pytest.raises(KioskRefused, match="chmod 0444"):
            require_read_only(path)
    else:
        require_read_only(path)


def test_command_refuses_a_writable_list_and_a_missing_or_plain_start_page(broker: Broker, tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    path.write_text(json.dumps(broker.trust_document()), encoding="utf-8")
    options = ["agent", "--trust", str(path), "--state", str(tmp_path / "s"), "--sandbox", "--kiosk"]
    refused = CliRunner().invoke(main, [*options, "--start-url", "https://start.example/"])
    assert (refused.exit_code, "read-only" in refused.output) == (1, True)
    path.chmod(0o444)
    refused = CliRunner().invoke(main, options)
    assert (refused.exit_code, "--start-url" in refused.output) == (1, True)


@linux_only
@pytest.mark.skipif(CHROMIUM is None, reason="missing: chromium")
def test_real_chromium_dies_within_a_second_and_its_profile_goes(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    program = tmp_path / "chromium"
    program.write_text(f'#!/bin/sh\nexec {CHROMIUM} --headless --no-sandbox --disable-gpu "$@"\n')
    program.chmod(0o755)
    watch = Watch()
    kiosk = Kiosk(browser=str(program), url="about:blank", watch=watch)
    thread = threading.Thread(target=kiosk.run)
    thread.start()
    try:
        profile, pids = "", list[str]()

        def is_up() -> bool:
            nonlocal profile, pids
            pids = _processes_with("--user-data-dir=")
            profile = next((part for pid in pids for part in _arguments(pid) if "card-kiosk-" in part), "")
            profile = profile.partition("=")[2]
            return bool(profile) and (Path(profile) / "Default").exists()

        _until(is_up, seconds=20)
        first = [pid for pid in pids if any(profile in part for part in _arguments(pid))]
        assert first
        watch.remove_card()
        took = _until(lambda: not any(_is_alive(pid) for pid in first), seconds=2)
        assert took <= 1.0
        _until(lambda: not Path(profile).exists(), seconds=5)
    finally:
        kiosk.stop()
        thread.join(15)
    assert not thread.is_alive()


def _processes_with(text: str) -> list[str]:
    return [
        entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit() and text in str(_arguments(entry.name))
    ]


def _arguments(pid: str) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []
