"""One worker process of a race, with as many threads as a worker serves with: one JSON object a line, in and out.

In: {"url"} first, then {"kind", "items"} for each heat; every thread tries every item, in the same order. Out: how
often each item was won here, and how often the store was not to be had.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from broker.errors import StoreUnavailable
from broker.storage.engine import open_engine
from broker.storage.store import SQLStore
from tests.campaigns.one_time import BROKEN, KINDS, OneTime, redeem

THREADS = 4


def run(store: SQLStore, kind: OneTime, items: list[str], start: Barrier) -> tuple[Counter[str], int]:
    """One thread's heat."""
    wins: Counter[str] = Counter()
    refused = 0
    for item in items:
        start.wait(timeout=60)
        try:
            wins[item] += redeem(kind, store, item)
        except StoreUnavailable:
            refused += 1
    return wins, refused


def main() -> None:
    """Until standard input ends."""
    store = SQLStore(open_engine(json.loads(sys.stdin.readline())["url"]))
    kinds = {**KINDS, "broken": BROKEN}
    with ThreadPoolExecutor(THREADS) as pool:
        for line in sys.stdin:
            heat = json.loads(line)
            start = Barrier(THREADS)
            outcomes = list(
                pool.map(lambda _: run(store, kinds[heat["kind"]], heat["items"], start), range(THREADS))  # noqa: B023 -- the heat ends before the next begins
            )
            wins = sum((outcome[0] for outcome in outcomes), Counter[str]())
            sys.stdout.write(json.dumps({"wins": wins, "refused": sum(outcome[1] for outcome in outcomes)}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
