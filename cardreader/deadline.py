"""A deadline around calls that know none: PC/SC waits as long as reader and card please, so a thread waits for it."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from cardreader.errors import CardError, CardTimeout, TransportFault

T = TypeVar("T")


class DeadlineThread:
    """A thread that runs one call after another; the caller waits for each no longer than `deadline` seconds.

    A call that hangs cannot be ended from outside: it is left behind with its thread, which closes in its own time.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._broken: str | None = None
        self._timed_out = False
        self._thread = threading.Thread(target=self._work, name="pcsc", daemon=True)
        self._thread.start()

    @property
    def is_hanging(self) -> bool:
        """Whether a call that was given up has still not come back."""
        return self._timed_out and self._thread.is_alive()

    @property
    def is_finished(self) -> bool:
        """Whether the thread has ended."""
        return not self._thread.is_alive()

    def run(self, call: Callable[[], T], *, extra: float = 0.0) -> T:
        """The call's result. Raises what it raises, or CardTimeout past the deadline; no call works after either.

        `extra` seconds are granted to a call that waits on purpose.
        """
        if self._broken is not None:
            raise TransportFault(self._broken)
        future: Future[T] = Future()
        self._jobs.put((call, future))
        try:
            return future.result(self._deadline + extra)
        except TimeoutError:
            self._broken = "this connection timed out before"
            self._timed_out = True
            raise CardTimeout(f"no answer within {self._deadline + extra:g} s") from None
        except CardError:
            self._broken = "this connection failed before"
            raise

    def finish(self, close: Callable[[], None]) -> None:
        """Close and end the thread; where a call hangs, that happens when it comes back, and nobody waits for it."""
        self._broken = "this connection is closed"
        future: Future[None] = Future()
        self._jobs.put((close, future))
        self._jobs.put(None)
        if self._timed_out:
            return
        with contextlib.suppress(TimeoutError):
            future.result(self._deadline)
            return
        self._timed_out = True

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            call, future = job
            try:
                future.set_result(call())
            except BaseException as error:  # handed to the caller, whatever it is
                future.set_exception(error)
