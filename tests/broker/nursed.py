"""What a mother is made of: `python -m tests.broker.nursed` loads for a second, then does as each question says."""

from __future__ import annotations

import sys
import time

from broker import confined, nursery


def answer(question: bytes) -> None:
    confined.confine(cpu_seconds=1, memory=512 * 1024 * 1024)
    match question:
        case b"spin":
            while True:
                pass
        case b"stand still":
            time.sleep(3600)
        case b"refuse":
            sys.exit(7)
        case _:
            sys.stdout.write(question.decode()[::-1])


if __name__ == "__main__":
    nursery.STANDSTILL_SECONDS = 10.0  # type: ignore[misc]  # final for all but its test
    time.sleep(1)
    nursery.serve(answer)
