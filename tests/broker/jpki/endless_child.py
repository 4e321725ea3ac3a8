"""A child that does not end by itself: stands in the place of a chain that cannot be judged."""

import time

from broker import confined, nursery


def _endless(_question: bytes) -> None:
    confined.confine(cpu_seconds=1, memory=512 * 1024 * 1024)
    while True:
        pass


if __name__ == "__main__":
    nursery.serve(_endless)
    time.sleep(60)  # of those who ask it without a frame
