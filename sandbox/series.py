"""Many logins at once: what came of them, whom they mixed up, and how long each step took."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.login import STEPS, LoginFailed, LoginResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Many logins. `crossed` names residents whose logins gave more than one subject, or another's."""

    results: Sequence[LoginResult]
    failures: Sequence[str]
    seconds: float

    @property
    def crossed(self) -> tuple[str, ...]:
        """Residents that share a subject with another, or have two."""
        subjects: dict[str, set[str]] = {}
        for result in self.results:
            subjects.setdefault(result.resident, set()).add(str(result.claims["sub"]))
        owners: dict[str, list[str]] = {}
        for resident, mine in subjects.items():
            for subject in mine:
                owners.setdefault(subject, []).append(resident)
        mixed = {resident for residents in owners.values() if len(residents) > 1 for resident in residents}
        return tuple(sorted(mixed | {resident for resident, mine in subjects.items() if len(mine) > 1}))

    def document(self) -> dict[str, Any]:
        """As `--json` prints it."""
        totals = sorted(result.total_ms for result in self.results)
        by_step = {
            step: sorted(result.steps_ms[step] for result in self.results if step in result.steps_ms) for step in STEPS
        }
        return {
            "accepted": not self.failures and not self.crossed,
            "logins": len(self.results),
            "failures": list(self.failures),
            "crossed": list(self.crossed),
            "seconds": round(self.seconds, 3),
            "subjects": {result.resident: result.claims["sub"] for result in self.results},
            "total_ms": _percentiles(totals),
            "steps_ms": {step: _percentiles(values) for step, values in by_step.items() if values},
        }


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    return {name: round(percentile(values, share), 2) for name, share in (("p50", 0.5), ("p99", 0.99))}


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of values in ascending order; 0 where there are none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def login_series(
    cards: Sequence[Path], *, count: int, concurrency: int, attempt: Callable[[Path], LoginResult]
) -> Series:
    """`count` logins for each card, dealt in turn to `concurrency` browsers that all begin at the same moment.

    `attempt` is `login` with everything but the card filled in.
    """
    start = threading.Barrier(min(concurrency, count * len(cards)))
    waited = threading.local()

    def one(card: Path) -> LoginResult | str:
        if not getattr(waited, "once", False):
            waited.once = True
            start.wait()
        try:
            return attempt(card)
        except LoginFailed as failure:
            return f"{card.stem}: {failure}"

    begun = time.perf_counter()
    with ThreadPoolExecutor(max_workers=start.parties) as pool:
        outcomes = list(pool.map(one, list(cards) * count))
    return Series(
        results=[outcome for outcome in outcomes if isinstance(outcome, LoginResult)],
        failures=[outcome for outcome in outcomes if isinstance(outcome, str)],
        seconds=time.perf_counter() - begun,
    )
