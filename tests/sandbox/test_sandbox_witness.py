"""The sandbox's own witness: a real program that the sandbox's broker is told of, and that says whose it is."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from broker.audit.leaf import Happening, Leaf
from broker.flows.register import append, origin_at, proof, witness_all
from broker.settings import read
from sandbox import witness
from sandbox.broker import BrokerHouse, open_ports, set_up
from sandbox.generate import generate
from sandbox.programs import Program
from tests.journeys.conftest import free_ports


def test_what_the_sandbox_logs_its_witness_sees_and_new_books_are_new_to_it_too(tmp_path: Path) -> None:
    broker_port, port, world_port = free_ports(3)
    generate(tmp_path, datetime.now(UTC), url=f"http://127.0.0.1:{world_port}")
    for issuer_port in (broker_port, world_port):  # the second time the broker has moved
        house = BrokerHouse(
            root=tmp_path,
            issuer=f"http://localhost:{issuer_port}",
            agent_origins=("http://127.0.0.1:24780",),
            port=issuer_port,
            witness=f"http://127.0.0.1:{port}",
        )
        set_up(house, [])
        ports = open_ports(read(house.environment()))
        program = Program(
            name="witness",
            command=witness.command(tmp_path, port),
            log=tmp_path / "witness.log",
            ready_url=f"http://127.0.0.1:{port}/",
        )
        program.start()
        try:
            program.wait_until_ready(until=time.monotonic() + 60)
            origin = origin_at(house.issuer, ports.clock())
            with ports.store.transaction() as tx:
                leaf = Leaf(event=Happening.ISSUE, commit=b"\x00" * 32, at=ports.clock())
                (logged,) = append(tx, ports.keys, origin=origin, leaves=[leaf])
            assert witness_all(ports) == {"published": 1, "waiting": 0, "contradicted": 0}
            with ports.store.transaction() as tx:
                note = proof(tx, origin=origin, index=logged.index).note
            assert [line.name for line in note.lines] == [origin, "witness.sandbox/not-independent"]
        finally:
            program.ask_to_stop()
            program.stop(until=time.monotonic() + 5)
    assert logged.index == 0
