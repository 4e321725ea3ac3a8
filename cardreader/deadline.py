"""A deadline around calls that know none: PC/SC waits as long as reader and card please, so a thread waits for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from cardreader.errors import CardError, CardTimeout, TransportFault

T = TypeVar("T")


class _Job:
    """One call on its way. A bare lock tells that it is done: a Future's condition costs as much as the exchange."""

    __slots__ = ("call", "done", "error", "result")

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()


class DeadlineThread:
    """A thread that runs one call after another; the caller waits for each no longer than `deadline` seconds.

    A call that hangs cannot be ended from outside: it is left behind with its thread, which closes in its own time.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
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
        job = self._begin(call)
        if not job.done.acquire(timeout=self._deadline + extra):
            self._broken = "this connection timed out before"
            self._timed_out = True
            raise CardTimeout(f"no answer within {self._deadline + extra:g} s")
        if job.error is not None:
            if isinstance(job.error, CardError):
                self._broken = "this connection failed before"
            raise job.error
        result: T = job.result
        return result

    def finish(self, close: Callable[[], None]) -> None:
        """Close and end the thread; where a call hangs, that happens when it comes back, and nobody waits for it.

        What `close` raises is passed over: there is nobody left who could mend it.
        """
        self._broken = "this connection is closed"
        job = self._begin(close)
        self._jobs.put(None)
        if not self._timed_out and not job.done.acquire(timeout=self._deadline):
            self._timed_out = True

    def _begin(self, call: Callable[[], Any]) -> _Job:
        job = _Job(call)
        self._jobs.put(job)
        return job

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job.result = job.call()
            except BaseException as error:  # handed to the caller, whatever it is
                job.error = error
            job.done.release()
