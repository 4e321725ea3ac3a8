"""The agent's card work in a process that lives on: one touch of the card per line that it is sent.

`touch PIN` makes one login's card work and prints one JSON object: the outcome (an error's name, or "signed"), the
seconds it took, the commands that the card was asked and the threads that are alive. Nothing is ever restarted here.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cardreader.authentication import APDUCards
from cardreader.errors import CardError
from cardreader.pcsc import PCSCReaders
from cardreader.transport import CardConnection, CountingConnection

DEADLINE = 1.0  # seconds for each exchange
CARD_WAIT = 1.0
ENDING = 1.0


class CountedReaders:
    """The real readers, counting the commands of the touch under way."""

    def __init__(self) -> None:
        self._readers = PCSCReaders(deadline=DEADLINE, card_wait=CARD_WAIT)
        self.commands = 0

    @contextmanager
    def connect(self) -> Iterator[CardConnection]:
        self.commands = 0
        with self._readers.connect() as held:
            connection = CountingConnection(held)
            try:
                yield connection
            finally:
                self.commands = connection.apdus


def touch(readers: CountedReaders, pin: str) -> dict[str, object]:
    began, outcome = time.monotonic(), "signed"
    readers.commands = 0
    try:
        with APDUCards(readers).connect() as card:
            card.present()
            card.verify_pin(pin)
            card.sign(b"a campaign")
    except CardError as error:
        outcome = type(error).__name__
    seconds = time.monotonic() - began
    return {"outcome": outcome, "seconds": seconds, "commands": readers.commands, "threads": _threads_left()}


def _threads_left() -> int:
    """Threads alive once those that have closed their card had time to end, which takes a busy machine a moment."""
    until = time.monotonic() + ENDING
    while threading.active_count() > 1 and time.monotonic() < until:
        time.sleep(0.01)
    return threading.active_count()


def main() -> None:
    readers = CountedReaders()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(touch(readers, line.split()[1])) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
