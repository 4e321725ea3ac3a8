"""The broker under granian with what it needs around it, in a folder of its own and on ports of its own."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil

from sandbox import atomicfile, bank
from sandbox.broker import BrokerHouse, set_up
from sandbox.generate import World, generate
from sandbox.programs import Program, stop_all

START_SECONDS: Final = 60.0
AGENT: Final = "http://127.0.0.1:24780"
"""The agent's origin as the pages state it; nothing listens there, the client brings its own agent."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A process and all it started: what a server really costs."""

    process: psutil.Process

    def members(self) -> tuple[psutil.Process, ...]:
        return (self.process, *self.process.children(recursive=True))

    def cpu_ns(self) -> int:
        """CPU time of all threads that live, in nanoseconds (Linux: /proc/…/schedstat).

        The kernel's clock ticks of 10 ms, which is all that psutil reads, are too coarse for single requests.
        """
        threads = (task for member in self.members() for task in Path(f"/proc/{member.pid}/task").glob("*/schedstat"))
        return sum(int(task.read_text(encoding="ascii").split()[0]) for task in threads)

    def memory(self) -> int:
        """Proportional set size in bytes (memory shared by n processes counts 1/n in each)."""
        return sum(self._sizes())

    def worker_memory(self) -> int:
        """The same of its largest process alone."""
        return max(self._sizes())

    def _sizes(self) -> list[int]:
        return [int(member.memory_full_info().pss) for member in self.members()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """What runs. `tree` is the broker's: its launcher process and the workers."""

    broker: str
    bank: str
    world: World
    trust: Path
    house: BrokerHouse
    tree: Tree


@contextmanager
def running(
    root: Path, *, workers: int, registrations: Sequence[dict[str, Any]] = (), with_bank: bool = False
) -> Iterator[Servers]:
    """Start the outside world, the broker and, if asked for, the bank; stop all three on the way out.

    Raises sandbox.programs.ProgramFailed.
    """
    broker_port, world_port, bank_port = free_ports(3)
    issuer, base_url = f"http://localhost:{broker_port}", f"http://127.0.0.2:{bank_port}"
    world_url = f"http://127.0.0.1:{world_port}"
    world = generate(root, datetime.now(UTC), url=world_url)
    house = BrokerHouse(root=root, issuer=issuer, agent_origins=(AGENT,), port=broker_port, workers=workers)
    clients = [bank.registration(base_url, bank.public_jwks(root / "bank")), *registrations]
    document = set_up(house, clients)
    with ExitStack() as stack:
        programs: list[Program] = []
        stack.callback(lambda: stop_all(programs))

        def start(name: str, command: list[str], ready_url: str, environment: dict[str, str] | None = None) -> Program:
            program = Program(
                name=name,
                command=command,
                log=root / "logs" / f"{name}.log",
                environment=environment or {},
                ready_url=ready_url,
            )
            program.start()
            programs.append(program)
            return program

        start("world", ["-m", "sandbox.world", "--root", str(root), "--port", str(world_port)], f"{world_url}/")
        broker = start("broker", ["-m", "sandbox.broker"], f"{issuer}/readyz", house.environment())
        if with_bank:
            options = ["--root", str(root), "--port", str(bank_port), "--issuer", issuer]
            start("bank", ["-m", "sandbox.bank", *options], f"{base_url}/")
        until = time.monotonic() + START_SECONDS
        for program in programs:
            program.wait_until_ready(until=until)
        if broker.process is None:
            raise RuntimeError("the broker was not started")
        yield Servers(
            broker=issuer,
            bank=base_url,
            world=world,
            trust=write_trust(root / "agent" / "trust.json", document),
            house=house,
            tree=Tree(psutil.Process(broker.process.pid)),
        )


def write_trust(path: Path, document: dict[str, Any]) -> Path:
    """An agent trust file for the broker that published `document`."""
    broker = {name: value for name, value in document.items() if name != "statement"}
    trust = {"version": 1, "phrase": "bench", "brokers": [{**broker, "name": "bench", "sandbox": True}]}
    atomicfile.write(path, json.dumps(trust).encode())
    return path


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in sockets]
