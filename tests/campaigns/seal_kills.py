"""Killed between any two steps from acceptance to the sealed document: nothing is signed that is not logged, no power
is lost, and none is logged twice (design 4.15, delegation 5.2).

`python -m tests.campaigns.seal_kills [KILLS]` is the full form (500 at each of six points);
tests/contracts/test_seal_kills.py runs it with fewer. Two residents grant and accept a power with their cards; a child
takes it through verification, register, witness and seal, and is killed at a named point. What is left on the disk is
held against what the child had told, and another child goes on from there, until it is killed one point further.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog

from broker.audit.leaf import Happening, commitment, read_leaf
from broker.audit.monitor import Watched
from broker.delegation import verification
from broker.delegation.life import State
from broker.delegation.sealing import holds, unsigned_part
from broker.errors import SealFailed, WitnessMissing
from broker.flows import mandate_issue, register
from broker.flows.mandate_ports import Mandate
from broker.flows.mandates import context
from broker.flows.ports import Ports
from broker.ids import MandateNumber
from broker.keys.live import open_keys
from broker.keys.rotation import create
from broker.storage import migrations
from broker.storage.engine import open_engine
from broker.storage.store import SQLStore
from sandbox.generate import generate
from tests.broker.web.conftest import houses
from tests.broker.web.house import ISSUER, PASSPHRASE, House
from tests.broker.web.mandatehouse import WITNESS, Person, equip
from tests.campaigns.register_kills import dying, published, stands
from tests.registerhouse import officers_policy

POINTS: Final = (
    *("verified, not kept", "entered, not committed", "entry committed"),
    *("at the witness", "sealed, not kept", "kept, not told"),
)
_ANEW: Final = 40
"""Mandates after which the parties log in again: sessions end."""
_TOLD_EVERY: Final = 10
"""Mandates between two lines of progress."""


class Place:
    """A house with a register, a witness and a seal; principal and agent at their browsers."""

    def __init__(self, folder: Path, house: House) -> None:
        self.house = house
        self.neighbours = equip(house, folder)
        self.witness = self.neighbours.services[WITNESS]
        self.url = f"sqlite:///{house.database}"
        self.origin = register.origin_at(house.issuer, house.clock())
        self.key, _signer = register.log_key(house.ports.keys, self.origin)
        assert house.ports.register is not None
        self.register = house.ports.register
        self.policy = officers_policy(self.key, self.register)
        self.keys, self.clock = house.ports.keys, house.clock
        self._granted = 0
        self._parties: tuple[Person, Person] | None = None
        verification.verify_document(b"", anchors=(), at=datetime.now(UTC))  # the judges' mother is loaded once

    def accepted(self) -> MandateNumber:
        """One more power of attorney, granted and accepted with both cards."""
        self.clock.step(minutes=2)
        if self._parties is None or self._granted % _ANEW == 0:
            self._parties = Person.at(self.house, "hanako"), Person.at(self.house, "shain")
        self._granted += 1
        principal, agent = self._parties
        path, invitation = principal.draft()
        principal.sign(path, "sign")
        agent.take(invitation)
        agent.sign(path, "accept")
        return MandateNumber(path.rpartition("/")[2])

    def child(self, number: MandateNumber, point: str) -> tuple[list[str], int]:
        """Take the mandate as far as it goes, in a process of its own that dies at the point: its words, its end."""
        self.close()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                self._work(number, point, writing)
            finally:
                os._exit(3)
        os.close(writing)
        with os.fdopen(reading) as said:
            lines = said.read().splitlines()
        _pid, status = os.waitpid(child, 0)
        return lines, status

    def close(self) -> None:
        """No connection survives a fork."""
        store: Any = self.house.ports.store
        store._connections._engine.dispose()
        self.witness.state.close()

    def _work(self, number: MandateNumber, point: str, told: int) -> None:
        verification._JUDGE._pid = os.getpid()  # the parent waits: its loaded mother serves us
        ports = replace(self.house.ports, store=SQLStore(open_engine(self.url)))
        arm(point, self, told)
        mandate_issue.issue(ports)
        register.witness_all(ports)
        mandate_issue.issue(ports)
        with ports.store.transaction() as tx:
            mandate = tx.mandates.get(number)
        os.write(told, f"replied {'nothing' if mandate is None else mandate.state.value}\n".encode())
        os._exit(0)


def arm(point: str, place: Place, told: int) -> None:
    """Put the end of the process at its point, and tell what is about to be sealed."""
    issue: Any = mandate_issue
    neighbours: Any = place.neighbours
    seal_printed = issue.seal_printed

    def sealing(unsigned: bytes, *, ports: Ports) -> bytes:
        os.write(told, f"sealing {hashlib.sha256(unsigned).hexdigest()}\n".encode())
        sealed: bytes = seal_printed(unsigned, ports=ports)
        return sealed

    def kept(mandate: Mandate, ports: Ports) -> bool:
        done: bool = seal(mandate, ports)
        if done:
            os.write(told, b"kept\n")
        return done

    seal = issue._seal
    issue.sign_jws = dying(point, "verified, not kept", issue.sign_jws, after=True)
    register.append = dying(point, "entered, not committed", register.append, after=True)
    issue._enter = dying(point, "entry committed", issue._enter, after=True)
    neighbours.add_checkpoint = dying(point, "at the witness", neighbours.add_checkpoint, after=True)
    issue.seal_printed = dying(point, "sealed, not kept", sealing, after=True)
    issue._seal = dying(point, "kept, not told", kept, after=True)


def opened(mandate: Mandate, place: Place, what: str) -> bytes:
    """A sealed part of a mandate's row; empty where it has none yet."""
    value: bytes | None = getattr(mandate, f"{what}_sealed")
    return b"" if value is None else place.keys.unseal(value, context=context(mandate.number, what))


def faults_of(place: Place, number: MandateNumber, said: list[str]) -> dict[str, int]:
    """What the disk says of one mandate, held against what a child told."""
    faults = {"unlogged": 0, "lost": 0, "doubled": 0}
    with place.house.ports.store.transaction() as tx:
        mandate = tx.mandates.get(number)
        listed = len(tx.mandates.listed())
        head = tx.register_tree.head(place.origin)
        entries = () if head is None else tx.register_tree.entries(place.origin, 0, head.size)
        leaves = [read_leaf(entry) for entry in entries]
        issued = [leaf.commit for leaf in leaves if leaf.event is Happening.ISSUE]
        faults["doubled"] += abs(len(issued) - listed) + len(issued) - len(set(issued))
        if mandate is None:
            return faults | {"lost": 1}
        document = opened(mandate, place, "document")
        begun = [line.split()[1] for line in said if line.startswith("sealing")]
        if begun or mandate.state is State.ACTIVE:
            salt, record = opened(mandate, place, "salt"), opened(mandate, place, "record")
            try:
                register.proof(tx, origin=mandate.log_origin or "", index=mandate.log_index or 0)
                printed = unsigned_part(document)
                logged = leaves[mandate.log_index or 0].commit
            except (WitnessMissing, SealFailed, IndexError):
                return faults | {"unlogged": 1}
            faults["unlogged"] += int(logged != commitment(salt, record, printed))
            faults["unlogged"] += sum(each != hashlib.sha256(printed).hexdigest() for each in begun)
            if mandate.state is State.ACTIVE:
                faults["unlogged"] += int(len(document) == len(printed))
                faults["unlogged"] += int(not holds(logged, salt=salt, record=record, sealed=document))
        faults["lost"] += int("kept" in said and mandate.state is not State.ACTIVE)
    return faults


def killed(place: Place, number: MandateNumber, point: str) -> list[str]:
    """A child that died at the point, and what it had told."""
    said: list[str] = []
    for _ in range(5):  # on a busy machine a step may have had no time: it waits for the next round
        said, status = place.child(number, point)
        if os.WIFSIGNALED(status):
            return said
    raise AssertionError(f"the child was not killed at {point}: status {status}, {said}")


def finished(place: Place, number: MandateNumber) -> list[str]:
    """What the child told that nobody killed."""
    said: list[str] = []
    for _ in range(5):
        said, status = place.child(number, "")
        if status:
            raise AssertionError(f"who goes on ended with {status}: {said}")
        if said[-1:] == ["replied active"]:
            break
    return said


def one(place: Place, points: Sequence[str], known: Watched | None) -> tuple[dict[str, dict[str, int]], Watched | None]:
    """One power of attorney whose every child dies one point further than the one before, and one that ends it."""
    number = place.accepted()
    found = {point: _looked_at(place, number, killed(place, number, point)) for point in points}
    said = finished(place, number)
    after = _looked_at(place, number, said)
    after["lost"] += int(said[-1:] != ["replied active"])
    open_ended, known = published(place, known)
    after["forks"] += open_ended
    found[points[-1]] = {name: found[points[-1]][name] + count for name, count in after.items()}
    return found, known


def _looked_at(place: Place, number: MandateNumber, said: list[str]) -> dict[str, int]:
    """Nothing is witnessed by looking: that is left to the next child."""
    faults, tree = faults_of(place, number, said), stands(place, [])
    faults["lost"] += tree["lost"]
    return faults | {"forks": tree["forks"] + tree["unsigned"]}


def campaign(kills: int, *, folder: Path, points: Sequence[str] = POINTS) -> dict[str, dict[str, int]]:
    """`kills` at each of the points, all on one register that goes on; what was found wrong, zeros included."""
    outcome = {point: {"kills": 0, "unlogged": 0, "forks": 0, "lost": 0, "doubled": 0} for point in points}
    world = generate(folder / "world", datetime.now(UTC))
    made = datetime.now(UTC) - timedelta(days=3)
    create(folder / "keys", PASSPHRASE, issuer=ISSUER, now=made, agent_root_out=folder / "root" / "root.json")
    migrations.upgrade(f"sqlite:///{folder / 'empty.db'}")
    with houses(world, open_keys(folder / "keys", PASSPHRASE), folder / "empty.db", folder) as make:
        place, known = Place(folder, make()), None
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        _said, status = place.child(place.accepted(), "")  # the register begins
        if status:
            raise AssertionError(f"nothing is sealed here: status {status}")
        for round_ in range(1, kills + 1):
            found, known = one(place, points, known)
            for point, faults in found.items():
                outcome[point]["kills"] += 1
                for name, count in faults.items():
                    outcome[point][name] += count
            if not round_ % _TOLD_EVERY or round_ == kills:
                wrong = sum(count for counts in outcome.values() for name, count in counts.items() if name != "kills")
                sys.stderr.write(f"{round_} of {kills} at each of {len(points)} points: {wrong} wrong\n")
        place.close()
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int, nargs="?", default=500)
    parser.add_argument("--point", action="append", choices=POINTS, help="Here alone; may be given again.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = campaign(given.kills, folder=Path(folder), points=given.point or POINTS)
    sys.stdout.write(json.dumps(outcome) + "\n")  # the last line; the log stands above it
    return 0 if all(not sum(list(counts.values())[1:]) for counts in outcome.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
