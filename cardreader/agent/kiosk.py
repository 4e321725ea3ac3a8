"""A terminal that everybody uses: its browser is this program's child, and ends with the card (design 4.3, ux 1.3).

One session is one browser with a throw-away profile. It ends when the card leaves, when a login that was begun stands
still, five minutes after the card answered, or when the browser ends by itself; then the browser is killed, its profile
removed, the broker told, and a new browser started. Nothing of one person is left to the next.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from cardreader.agent.journal import log
from cardreader.agent.request import SignRequest
from cardreader.readers import Happening, ReaderEvent

IDLE_SECONDS: Final = 60.0
LIFETIME_SECONDS: Final = 300.0
"""From the card's first answer on; nobody's session is longer (R4)."""
LOOK_SECONDS: Final = 0.25  # how long one wait for the reader may take: a removal is acted on within a second
END_TIMEOUT: Final = 5.0
END_PAUSES: Final = (0.0, 1.0, 5.0)
"""Before each attempt to tell the broker, in seconds."""
_RESTART_SECONDS: Final = 1.0
_KILL_SECONDS: Final = 2.0
_MAX_ENDS: Final = 16

_CHROMIUM: Final = (
    "--kiosk",
    "--user-data-dir={profile}",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-extensions",
    "--disable-sync",
    "--disable-features=Translate",
    "{url}",
)
_FIREFOX: Final = ("--kiosk", "--no-remote", "--profile", "{profile}", "{url}")


class KioskRefused(Exception):
    """Kiosk mode cannot be had safely here; says why."""


class CardWatch(Protocol):
    """Follows the readers (pcsc.PCSCWatch)."""

    def wait(self, seconds: float) -> tuple[ReaderEvent, ...]:
        """What happened since the last call; empty after `seconds`."""


class SharedTerminal(Protocol):
    """What the agent's pages tell a terminal that everybody uses."""

    def on_request(self) -> None:
        """Something was asked of the agent: the session is in use."""

    def on_answer(self, request: SignRequest) -> None:
        """The card has answered `request`: its session lasts until the card leaves."""


@dataclass(slots=True, kw_only=True)
class _Session:
    """One browser and what was done in it."""

    process: subprocess.Popen[bytes]
    profile: Path
    touched_at: float | None = None  # monotonic; None until anything was asked of the agent
    logged_in_at: float | None = None  # monotonic; None until the card answered
    ends: list[str] = field(default_factory=list, repr=False)


def browser_command(program: str, *, profile: Path, url: str) -> list[str]:
    """How `program` is started on a profile of its own, for the kinds of browser we know by name."""
    arguments = _FIREFOX if "firefox" in Path(program).name else _CHROMIUM
    return [program, *(argument.format(profile=profile, url=url) for argument in arguments)]


def require_read_only(path: Path) -> None:
    """Raise KioskRefused where whoever uses this terminal could add a broker: the list belongs to its operator."""
    try:
        status = path.stat()
    except OSError as error:
        raise KioskRefused(f"the trust file {path} cannot be read: {error.strerror}") from None
    others = stat.S_IWGRP | stat.S_IWOTH
    ours = stat.S_IWUSR if not hasattr(os, "getuid") or status.st_uid == os.getuid() else 0
    if status.st_mode & (others | ours):
        raise KioskRefused(f"in kiosk mode the trust file must be read-only:  chmod 0444 {path}")


def tell_ended(url: str) -> int | None:
    """POST nothing to the broker's one-use address; the status, or None where it could not be reached."""
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(parts.netloc, timeout=END_TIMEOUT, context=context)
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=END_TIMEOUT)
    try:
        connection.request("POST", parts.path, body=b"")
        with connection.getresponse() as response:
            return response.status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class Kiosk:
    """Runs one browser after another. `run` belongs to one thread; the other methods may be called from any."""

    def __init__(
        self,
        *,
        browser: str,
        url: str,
        watch: CardWatch,
        idle_seconds: float = IDLE_SECONDS,
        lifetime_seconds: float = LIFETIME_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        tell: Callable[[str], int | None] = tell_ended,
        pauses: Sequence[float] = END_PAUSES,
    ) -> None:
        self._browser = browser
        self._url = url
        self._watch = watch
        self._idle_seconds = idle_seconds
        self._lifetime_seconds = lifetime_seconds
        self._monotonic = monotonic
        self._tell = tell
        self._pauses = pauses
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._session: _Session | None = None

    def on_request(self) -> None:
        """See SharedTerminal."""
        with self._lock:
            if self._session is not None:
                self._session.touched_at = self._monotonic()

    def on_answer(self, request: SignRequest) -> None:
        """See SharedTerminal."""
        with self._lock:
            if self._session is None:
                return
            if self._session.logged_in_at is None:
                self._session.logged_in_at = self._monotonic()
            if request.end_handle and len(self._session.ends) < _MAX_ENDS:
                self._session.ends.append(f"{request.origin}{request.end_handle}")

    def run(self, *, on_end: Callable[[], None] = lambda: None) -> None:
        """Keep a browser running until `stop`. `on_end` is called when a session ends: the agent drops its own.

        Raises KioskRefused where the browser cannot be started at all.
        """
        try:
            while not self._stop.is_set():
                session = self._start()
                reason = self._await_end(session)
                self._end(session, reason=reason)
                on_end()
                if reason == "browser":
                    self._stop.wait(_RESTART_SECONDS)  # one that cannot run must not be started in a tight loop
        finally:
            with self._lock:
                left, self._session = self._session, None
            if left is not None:
                self._end(left, reason="stop")

    def stop(self) -> None:
        """End the browser and let `run` return."""
        self._stop.set()

    def _start(self) -> _Session:
        profile = Path(tempfile.mkdtemp(prefix="card-kiosk-"))
        command = browser_command(self._browser, profile=profile, url=self._url)
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "HOME": str(profile)},
            )
        except OSError as error:
            shutil.rmtree(profile, ignore_errors=True)
            raise KioskRefused(f"the browser {self._browser} cannot be started: {error.strerror}") from None
        session = _Session(process=process, profile=profile)
        with self._lock:
            self._session = session
        log.info("kiosk", reason="session begins", pid=process.pid)
        return session

    def _await_end(self, session: _Session) -> str:
        while not self._stop.is_set():
            happened = {event.happening for event in self._watch.wait(LOOK_SECONDS)}
            if happened & {Happening.CARD_REMOVED, Happening.READER_REMOVED, Happening.SERVICE_LOST}:
                return "card"
            if session.process.poll() is not None:
                return "browser"
            with self._lock:
                now, touched_at, logged_in_at = self._monotonic(), session.touched_at, session.logged_in_at
            if logged_in_at is not None:
                if now - logged_in_at >= self._lifetime_seconds:
                    return "lifetime"
            elif touched_at is not None and now - touched_at > self._idle_seconds:
                return "idle"
        return "stop"

    def _end(self, session: _Session, *, reason: str) -> None:
        _kill(session.process)
        with self._lock:
            self._session = None
            ends = list(session.ends)
        log.info("kiosk", reason=f"session ended: {reason}", pid=session.process.pid)
        if ends:
            threading.Thread(target=self._tell_all, args=(ends,), name="kiosk-end", daemon=True).start()
        _remove(session.profile)

    def _tell_all(self, ends: Sequence[str]) -> None:
        for url in ends:
            for pause in self._pauses:
                time.sleep(pause)
                status = self._tell(url)
                if status is not None:
                    log.info("kiosk", reason="broker told", status=status)
                    break
            else:
                log.warning("kiosk", reason="broker could not be told")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The browser and whatever it started; at once, because a page that may ask questions first may also stay."""
    with contextlib.suppress(OSError):
        if sys.platform != "win32":
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_KILL_SECONDS)


def _remove(profile: Path) -> None:
    """Children of the browser may still write for a moment while they die."""
    for _ in range(20):
        shutil.rmtree(profile, ignore_errors=True)
        if not profile.exists():
            return
        time.sleep(0.1)
    log.warning("kiosk", reason="the profile could not be removed")
