"""Eight redeemers on one code, refresh token, request_uri, device code, auth_req_id or jti: of each, one wins.

Two worker processes with four threads each, as production has them, on SQLite and on a PostgreSQL of its own.
`python -m tests.campaigns.races` is the full form: 100 000 races of each kind on each engine (hours);
`--races` takes fewer, and tests/contracts/test_races.py runs some hundred.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from sqlalchemy import func, select

from broker.storage import migrations
from broker.storage.engine import open_engine
from broker.storage.schema import audit
from broker.storage.store import SQLStore
from tests import postgres
from tests.campaigns.one_time import BROKEN, KINDS
from tests.campaigns.racer import THREADS
from tests.contracts import records

WORKERS = 2
HEAT = 250
"""Races between two looks at the tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of the races of one kind."""

    engine: str
    kind: str
    races: int
    redeemers: int
    anomalies: int
    """Items that were not won exactly once, by the redeemers' word or by the rows that the winners left."""
    refused: int
    """Tries that the store did not take (busy for 2 s): they won nothing, and their client would try again."""
    seconds: float


@contextmanager
def _workers(url: str) -> Iterator[list[tuple[IO[str], IO[str]]]]:
    with ExitStack() as stack:
        pipes = []
        for _ in range(WORKERS):
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.campaigns.racer"],
                    cwd=Path(__file__).parents[2],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            assert process.stdin is not None
            assert process.stdout is not None
            _tell(process.stdin, {"url": url})
            pipes.append((process.stdin, process.stdout))
        yield pipes


def _tell(pipe: IO[str], message: object) -> None:
    pipe.write(json.dumps(message) + "\n")
    pipe.flush()


def run(url: str, kinds: Sequence[str], races: int) -> Iterator[Row]:
    """Race over a migrated database; one row for each kind."""
    engine = open_engine(url)
    store = SQLStore(engine)
    login = records.log_in(store)
    try:
        with _workers(url) as workers:
            for kind in kinds:
                began, anomalies, refused = time.monotonic(), 0, 0
                for first in range(0, races, HEAT):
                    with store.transaction() as tx:
                        thing = BROKEN if kind == "broken" else KINDS[kind]
                        items = [thing.lay_out(tx, login) for _ in range(min(HEAT, races - first))]
                    for stdin, _ in workers:
                        _tell(stdin, {"kind": kind, "items": items})
                    answers = [json.loads(stdout.readline()) for _, stdout in workers]
                    wins = sum((Counter(answer["wins"]) for answer in answers), Counter[str]())
                    refused += sum(answer["refused"] for answer in answers)
                    with engine.connect() as connection:
                        rows = connection.execute(
                            select(audit.c.reference, func.count())
                            .where(audit.c.reference.in_(items))
                            .group_by(audit.c.reference)
                        )
                        left = {row[0]: row[1] for row in rows}
                    anomalies += sum(wins[item] != 1 or left.get(item) != 1 for item in items)
                yield Row(
                    engine=engine.dialect.name,
                    kind=kind,
                    races=races,
                    redeemers=WORKERS * THREADS,
                    anomalies=anomalies,
                    refused=refused,
                    seconds=round(time.monotonic() - began, 1),
                )
    finally:
        engine.dispose()


def main() -> None:
    """Print one JSON row for each engine and kind; exit status 1 where there is an anomaly."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--races", type=int, default=100_000)
    options.add_argument("--engine", choices=("sqlite", "postgresql"), action="append")
    options.add_argument("--kind", choices=tuple(KINDS), action="append")
    chosen = options.parse_args()
    engines = chosen.engine or ["sqlite", "postgresql"]
    if "postgresql" in engines and (reason := postgres.missing()) is not None:
        sys.exit(reason)
    anomalies = 0
    with ExitStack() as stack:
        for engine in engines:
            if engine == "postgresql":
                url = stack.enter_context(postgres.cluster()).database()
            else:
                url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory(prefix='races-'))}/broker.db"
            migrations.upgrade(url)
            for row in run(url, chosen.kind or tuple(KINDS), chosen.races):
                print(json.dumps(asdict(row)), flush=True)  # noqa: T201 -- the campaign's answer
                anomalies += row.anomalies
    sys.exit(1 if anomalies else 0)


if __name__ == "__main__":
    main()
