"""`make run` as a person meets it: four lines, a clean end, and a name for whatever is in the way."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from sandbox.launcher import Addresses
from tests.journeys.conftest import free_addresses
from tests.journeys.person import Person

pytestmark = pytest.mark.timeout(180)
PROJECT = Path(__file__).parents[2]
PATIENCE = 60.0


@dataclass
class Run:
    """One `python -m sandbox run` and what it has printed so far."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def until(self, wanted: str) -> str:
        """Read on until a line holds `wanted`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if wanted in line:
                return line
        raise AssertionError(f"it ended without saying {wanted!r}: {self.lines}")

    def rest(self) -> str:
        assert self.process.stdout is not None
        return "\n".join([*self.lines, self.process.stdout.read()])

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


Start = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Run] = []

    def begin(addresses: Addresses, *options: str) -> Run:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "sandbox", "run", "--root", str(tmp_path / "s")),
                *("--broker-port", str(addresses.broker_port), "--bank-port", str(addresses.bank_port)),
                *("--world-port", str(addresses.world_port), "--agent-port", str(addresses.agent_port)),
                *("--witness-port", str(addresses.witness_port), "--bidding-port", str(addresses.bidding_port)),
                *("--television-port", str(addresses.television_port), "--clinic-port", str(addresses.clinic_port)),
                *("--membership-port", str(addresses.membership_port)),
                *options,
            ],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(Run(process))
        return started[-1]

    yield begin
    for run in started:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGTERM)
        run.process.wait(timeout=PATIENCE)
        assert run.process.stdout is not None
        run.process.stdout.close()


def all_gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=15)
    return not alive


def test_four_lines_then_ctrl_c_leaves_no_process_and_no_port_behind(start: Start) -> None:
    addresses = free_addresses()
    run = start(addresses)
    run.until("logs")
    told = "\n".join(run.lines)
    assert f"{addresses.bank}/" in told
    assert "1234" in told
    assert "Ctrl-C" in told
    assert len([line for line in run.lines if line.startswith("  ") and "made the test" not in line]) == 4
    family = run.family()
    names = {" ".join(process.cmdline()) for process in family}
    assert any("sandbox.broker" in name for name in names)
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(timeout=PATIENCE) == 0
    assert "nothing is left running" in run.rest()
    assert all_gone(family)
    for port in (addresses.broker_port, addresses.bank_port, addresses.world_port, addresses.agent_port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_taken_port_is_named_with_the_program_that_holds_it(start: Start) -> None:
    addresses = free_addresses()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", addresses.broker_port))
        holder.listen()
        run = start(addresses)
        assert run.process.wait(timeout=PATIENCE) == 1
        told = run.rest()
    assert f"port {addresses.broker_port} (broker) is taken by" in told
    assert f"(process {os.getpid()})" in told
    assert "Traceback" not in told


def test_a_program_that_dies_is_named_and_the_others_are_stopped(start: Start) -> None:
    run = start(free_addresses())
    run.until("logs")
    family = run.family()
    bank = next(process for process in family if "sandbox.bank" in process.cmdline())
    bank.kill()
    assert run.process.wait(timeout=PATIENCE) == 1
    told = run.rest()
    assert "sample bank ended by itself" in told
    assert "bank.log" in told
    assert all_gone(family)


def test_a_second_start_in_the_same_folder_is_told_of_the_first(start: Start) -> None:
    first = start(free_addresses())
    first.until("logs")
    second = start(free_addresses())
    assert second.process.wait(timeout=PATIENCE) == 1
    assert "running already" in second.rest()
    assert first.process.poll() is None


def test_a_launcher_that_is_killed_takes_its_programs_with_it(start: Start) -> None:
    run = start(free_addresses())
    run.until("logs")
    family = run.family()
    run.process.kill()
    run.process.wait(timeout=PATIENCE)
    assert all_gone(family)


def test_without_a_pcsc_daemon_the_software_card_runs_inside_the_agent_and_one_line_says_so(start: Start) -> None:
    addresses = free_addresses()
    run = start(addresses, "--reader", "software")
    run.until("logs")
    assert [line for line in run.lines if "the software card runs inside the agent" in line]
    with Person(addresses) as somebody:
        assert "greeting" in somebody.log_in().elements.texts


def test_a_real_reader_is_used_when_asked_for_and_its_absence_has_a_page(start: Start) -> None:
    addresses = free_addresses()
    run = start(addresses, "--reader", "real")
    run.until("logs")
    assert [line for line in run.lines if "real cards meet the sandbox's test authority" in line]
    with Person(addresses) as somebody:
        page = somebody.place_card()
        assert page.elements.texts["error-code"] in {"CARD-001", "CARD-002", "CARD-003"}


def test_state_survives_a_restart(start: Start) -> None:
    addresses = free_addresses()
    greetings = []
    for _ in range(2):
        run = start(addresses)
        run.until("logs")
        with Person(addresses) as somebody:
            greetings.append(somebody.log_in().elements.texts["greeting"])
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(timeout=PATIENCE) == 0
        time.sleep(0.1)
    assert greetings[0] == greetings[1]
