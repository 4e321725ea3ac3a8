"""Requests of one process, one after another as long as none of them is slow (decision 41)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

PATIENCE: Final = 0.02
"""Seconds: longer than any rule takes, shorter than a person notices."""


class Turn:
    """A courtesy among the threads of a process, on which nothing may rely.

    Threads that share an interpreter spend more on handing it to each other at every statement than on the rules.
    Who holds the turn and waits for the network delays each of the others by PATIENCE once, and no more: so nothing
    can stand still, whatever one waits for that another holds.
    """

    __slots__ = ("_lock", "_patience")

    def __init__(self, patience: float = PATIENCE) -> None:
        self._lock = Lock()
        self._patience = patience

    @contextmanager
    def taken(self) -> Iterator[bool]:
        """Run the block while no other runs, or beside it after PATIENCE; whether it is alone."""
        alone = self._lock.acquire(timeout=self._patience)
        try:
            yield alone
        finally:
            if alone:
                self._lock.release()
