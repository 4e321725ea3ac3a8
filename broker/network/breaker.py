"""A service that gave no answer is left alone for a while, so that people do not queue behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

PAUSE: Final = timedelta(seconds=10)


class Breaker:
    """One service's; threads share it."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._until: datetime | None = None

    @property
    def open(self) -> bool:
        """Is the service to be left alone now? A clock that was set back does not prolong it."""
        now = self._clock()
        with self._lock:
            return self._until is not None and now < self._until <= now + PAUSE

    def trip(self) -> None:
        """It gave no answer."""
        until = self._clock() + PAUSE
        with self._lock:
            self._until = until
