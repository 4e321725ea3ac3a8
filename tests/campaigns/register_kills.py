"""Killed between any two steps, the register forks nowhere and loses nothing that was answered (reliability F3).

`python -m tests.campaigns.register_kills [KILLS]` is the full form (500 at each of six points);
tests/contracts/test_register_kills.py runs it with fewer. A child appends entries, has them witnessed and says each
index once it is committed or proved; it is killed at a named point, and what is left is compared with what was said.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Protocol

import structlog

from broker.audit.checkpoint import open_checkpoint
from broker.audit.merkle import EMPTY_ROOT, consistency_proof, grow, hash_leaf, verify_consistency
from broker.audit.monitor import Watched, look
from broker.audit.note import NoteKey
from broker.audit.policy import Policy
from broker.audit.tiles import bundle
from broker.flows import register
from broker.flows.register_ports import Register
from broker.keys.live import open_keys
from broker.keys.rotation import create
from broker.storage import migrations
from broker.storage.engine import open_engine
from broker.storage.store import SQLStore
from broker.witness.service import WitnessService
from tests.registerhouse import NOW, Neighbours, leaf, officers_policy, register_of, witness_service

POINTS: Final = (
    *("before signing", "after signing", "after entries"),
    *("after the commit", "at the witness", "before publishing"),
)
ORIGIN: Final = "op.example/register-log/2026"


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying(point: str, wanted: str, run: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    """`run`, and the end of the process before or after it where the point is the wanted one."""

    def both(*words: Any, **named: Any) -> Any:
        if point == wanted and not after:
            kill()
        answer = run(*words, **named)
        if point == wanted and after:
            kill()
        return answer

    return both


class Logged(Protocol):
    """A log with its witness, as `judge` looks at it."""

    @property
    def url(self) -> str: ...
    @property
    def origin(self) -> str: ...
    @property
    def key(self) -> NoteKey: ...
    @property
    def keys(self) -> Any: ...
    @property
    def witness(self) -> WitnessService: ...
    @property
    def register(self) -> Register: ...
    @property
    def policy(self) -> Policy: ...
    @property
    def clock(self) -> Callable[[], datetime]: ...


class Place:
    """A log in a folder, with its witness."""

    origin = ORIGIN
    clock = staticmethod(lambda: NOW)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        create(folder / "keys", "word", issuer="https://op.example", now=NOW, agent_root_out=folder / "root.json")
        self.keys = open_keys(folder / "keys", "word")
        self.url = f"sqlite:///{folder / 'broker.db'}"
        migrations.upgrade(self.url)
        self.key, _signer = register.log_key(self.keys, ORIGIN)
        self.witness = witness_service(folder, "w.example", self.key)
        self.neighbours = Neighbours({"https://w.example": self.witness})
        self.register = register_of(self.neighbours)
        self.policy = officers_policy(self.key, self.register)

    def work(self, point: str, told: int) -> None:
        """What the child does: three entries each by itself, witnessed; it dies at the point of the second."""
        engine = open_engine(self.url)
        store = SQLStore(engine)
        ports: Any = SimpleNamespace(store=store, keys=self.keys, clock=lambda: NOW, register=self.register)
        for number in range(3):
            if number == 1:
                arm(point, self)
            with store.transaction() as tx:
                (logged,) = register.append(tx, self.keys, origin=ORIGIN, leaves=[leaf(number)])
            if number == 1 and point == "after the commit":
                kill()
            os.write(told, f"logged {logged.index}\n".encode())
            register.witness(ports, self.register, origin=ORIGIN)
            with store.transaction() as tx:
                register.proof(tx, origin=ORIGIN, index=logged.index)
            os.write(told, f"proved {logged.index}\n".encode())
        os._exit(0)


def arm(point: str, place: Place) -> None:
    """Put the end of the process at its point."""
    import broker.storage.register as storage

    story: Any = register
    rows: Any = storage.SQLRegister
    neighbours: Any = place.neighbours
    story.sign_checkpoint = dying(point, "before signing", story.sign_checkpoint, after=False)
    story.sign_checkpoint = dying(point, "after signing", story.sign_checkpoint, after=True)
    rows.extend = dying(point, "after entries", rows.extend, after=True)
    neighbours.add_checkpoint = dying(point, "at the witness", neighbours.add_checkpoint, after=True)
    rows.publish = dying(point, "before publishing", rows.publish, after=False)


def run(place: Place, point: str) -> list[str]:
    """One child, killed; what it had said."""
    reading, writing = os.pipe()
    place.witness.state.close()  # a connection does not survive a fork
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            place.work(point, writing)
        finally:
            os._exit(3)
    os.close(writing)
    with os.fdopen(reading) as said:
        lines = said.read().splitlines()
    _pid, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise AssertionError(f"the child was not killed at {point}: status {status}")
    return lines


def judge(place: Logged, said: list[str], known: Watched | None) -> tuple[dict[str, int], Watched | None]:
    """What the disk says now, against what was said and what a stranger saw before."""
    faults = stands(place, said)
    open_ended, known = published(place, known)
    return faults | {"forks": faults["forks"] + open_ended}, known


def stands(place: Logged, said: list[str]) -> dict[str, int]:
    """What the disk says now, against what was said; nothing is changed by looking."""
    engine = open_engine(place.url)
    faults = {"lost": 0, "forks": 0, "unsigned": 0}
    with SQLStore(engine).transaction() as tx:
        head = tx.register_tree.head(place.origin)
        if head is None:
            raise AssertionError("the first entry was not made")
        entries = tx.register_tree.entries(place.origin, 0, head.size + 10)
        signed = open_checkpoint(head.note, keys=[place.key]).checkpoint
        whole = grow(0, (), map(hash_leaf, entries))
        faults["unsigned"] += int(len(entries) != head.size or signed.size != head.size)
        faults["forks"] += int(signed.root != whole.root)
        faults["lost"] += sum(int(line.split()[1]) >= head.size for line in said)
        seen = place.witness.state.seen(place.origin)
        if seen.root != EMPTY_ROOT and seen.size <= head.size:
            hashes = consistency_proof(seen.size, head.size, register.nodes(tx, place.origin, head.size))
            verify_consistency(size1=seen.size, root1=seen.root, size2=head.size, root2=signed.root, proof=hashes)
        faults["forks"] += int(seen.size > head.size)
        for line in said:
            if line.startswith("proved"):
                register.proof(tx, origin=place.origin, index=int(line.split()[1]))
    engine.dispose()
    return faults


def published(place: Logged, known: Watched | None) -> tuple[int, Watched | None]:
    """Have it witnessed and published, and look as a stranger does: how many heads were contradicted or still wait."""
    engine = open_engine(place.url)
    store = SQLStore(engine)
    ports: Any = SimpleNamespace(store=store, keys=place.keys, clock=place.clock, register=place.register)
    counts = register.witness(ports, place.register, origin=place.origin)
    with store.transaction() as tx:
        head = tx.register_tree.published(place.origin)
        if head is None:
            raise AssertionError("nothing is published")
        found = look(
            known,
            head.note,
            policy=place.policy,
            read=lambda tile: bundle(tx.register_tree.entries(place.origin, tile.first, tile.width)),
        )
    engine.dispose()
    return counts["contradicted"] + counts["waiting"], found.watched


def campaign(kills: int, *, folder: Path) -> dict[str, dict[str, int]]:
    """`kills` at each point, all on one log that goes on; what was found wrong, zeros included."""
    place, known = Place(folder), None
    outcome = {}
    for point in POINTS:
        total = {"kills": 0, "lost": 0, "forks": 0, "unsigned": 0}
        for _ in range(kills):
            faults, known = judge(place, run(place, point), known)
            total["kills"] += 1
            for name, count in faults.items():
                total[name] += count
        outcome[point] = total
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int, nargs="?", default=500)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        outcome = campaign(parser.parse_args().kills, folder=Path(folder))
    for point, counts in outcome.items():
        sys.stdout.write(f"{point:<20} {counts}\n")
    return 0 if all(not sum(list(counts.values())[1:]) for counts in outcome.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
