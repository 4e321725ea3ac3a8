"""Every fault of card, reader and service over the real pcscd, against one process that is never restarted.

`python -m tests.campaigns.faults` is the full form (about ten minutes); tests/cardreader/test_fault_campaign.py runs
the same functions with fewer rounds. Each row: what was done, how the touch ended, how long it took, how many PIN tries
it cost, and how the next touch, with a sound card and nothing restarted but what had died, ended.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import click

from cardreader import cardfile
from cardreader.cardfile import CardFile
from cardreader.faults import Fault, FaultKind
from cardreader.softcard import PrivatePCSCD
from cardreader.tray import TrayClient
from tests.campaigns.client import DEADLINE
from tests.pcscd import for_child

RIGHT_PIN, WRONG_PIN = "1234", "9999"
GRACE = 2.0  # seconds beyond the deadline in which every fault must have ended
STYLES = ("", "-plain")  # cards that take short identifiers, and cards that want a SELECT before every use
REPLIES = (FaultKind.EMPTY, FaultKind.SHORT, FaultKind.HUGE, FaultKind.SLOW)


class FaultyPCSCD(PrivatePCSCD):
    """A private daemon whose cards fail as their names say."""

    program = "tests.cardreader.faulty_softcard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault and what came of it."""

    fault: str
    outcome: str
    seconds: float
    commands: int
    tries_lost: int
    after: str
    threads: int

    @property
    def keeps_promises(self) -> bool:
        """Ended by an error (or not harmed at all) within 2 s of the deadline, no try lost except at VERIFY itself, the
        next touch works, and no thread stays behind."""
        is_lost = self.tries_lost != 0 and not (self.tries_lost == 1 and self.outcome == "PINOutcomeUnknown")
        return self.seconds <= DEADLINE + GRACE and not is_lost and self.after == "signed" and self.threads == 1


class Client:
    """The process under test."""

    def __init__(self, socket_path: Path) -> None:
        environment = {**os.environ, "PCSCLITE_CSOCK_NAME": str(socket_path)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.campaigns.client"],
            env=for_child(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.kill()
        self._process.wait()

    def begin(self, pin: str = RIGHT_PIN) -> None:
        """Start a touch; `end` waits for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"touch {pin}\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, object]:
        """What became of the touch. Fails where the client does not answer in 30 s."""
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], 30)
        assert readable, "the client hangs"
        answer: dict[str, object] = json.loads(self._process.stdout.readline())
        return answer

    def touch(self, pin: str = RIGHT_PIN) -> dict[str, object]:
        """One whole touch."""
        self.begin(pin)
        return self.end()


class Bench:
    """A daemon, a client and cards."""

    def __init__(self, run_dir: Path, card: CardFile) -> None:
        self._run_dir = run_dir
        self._card = card
        self._daemon: FaultyPCSCD | None = None
        self.client = Client(run_dir / "pcscd.comm")

    @property
    def daemon(self) -> FaultyPCSCD:
        """The daemon that runs now."""
        assert self._daemon is not None
        return self._daemon

    def start(self) -> None:
        """Start a daemon where the last one was."""
        self._daemon = FaultyPCSCD(self._run_dir, save=False)
        self._daemon.__enter__()

    def stop(self) -> None:
        """End the daemon, whatever state it is in."""
        if self._daemon is not None:
            self._daemon.__exit__(None, None, None)
            self._daemon = None

    def insert(self, name: str) -> None:
        """Put a card of this name in."""
        path = self._run_dir / "card.json"
        cardfile.save(replace(self._card, name=name), path)
        self.daemon.insert(path)

    def tries(self) -> int:
        """What the card in the tray has left, read behind the client's back."""
        tries = self.daemon.status().auth_tries
        assert tries is not None
        return tries

    def pcscd(self) -> int:
        """The daemon's process id: the child of our child."""
        for launcher in _children(os.getpid()):
            if str(self._run_dir).encode() in Path(f"/proc/{launcher}/cmdline").read_bytes():
                (daemon,) = _children(launcher)
                return daemon
        raise AssertionError("no daemon")

    def commands(self, style: str) -> int:
        """How many commands one whole login asks of a card of this style."""
        self.insert(f"sound{style}")
        done = self.client.touch()
        assert done["outcome"] == "signed", done
        return int(str(done["commands"]))

    def row(self, fault: str, done: dict[str, object], tries_lost: int, *, same_card: bool = False) -> Row:
        """Touch a sound card, or the very same one, and write all of it down."""
        if not same_card:
            self.insert("sound")
        after = self.client.touch()
        return Row(
            fault=fault,
            outcome=str(done["outcome"]),
            seconds=float(str(done["seconds"])),
            commands=int(str(done["commands"])),
            tries_lost=tries_lost,
            after=str(after["outcome"]),
            threads=int(str(after["threads"])),
        )


@contextmanager
def bench(card: CardFile) -> Iterator[Bench]:
    """A running daemon and a client; all of it ends with the context."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        rig = Bench(Path(folder), card)
        with rig.client:
            try:
                rig.start()
                yield rig
            finally:
                rig.stop()


def reply(rig: Bench, kind: FaultKind, at: int, *, style: str = "") -> Row:
    """The answer to one command of a login, counted from 0, is none."""
    rig.insert(f"sound{style}")
    TrayClient(rig.daemon.control_path).fail(Fault(kind=kind, at=at))
    done = rig.client.touch()
    return rig.row(f"{kind.value} reply to command {at + 1}{style}", done, 3 - rig.tries())


def pulled_once(rig: Bench, at: int, pin: str) -> Row:
    """The card is taken away at one command."""
    rig.insert(f"dies-at-{at}")
    done = rig.client.touch(pin)
    return rig.row(f"taken away at command {at}", done, 3 - rig.tries())


def pulled(rig: Bench, *, style: str = "", pin: str = RIGHT_PIN, first: int = 1, step: int = 1) -> Iterator[Row]:
    """The card is taken away at each command of a login in turn, after the command was done and before its answer.

    `first` and `step` share the commands out among several rigs.

    With a wrong PIN it ends where the login goes on to be refused. Each touch begins where the last one was broken off,
    so the rows are each other's "next touch"; a sound card comes after the last.
    """
    for at in itertools.count(first, step):
        rig.insert(f"dies-at-{at}{style}")
        done = rig.client.touch(pin)
        lost = 3 - rig.tries()
        if done["outcome"] in ("signed", "PINRejected"):
            yield rig.row(f"taken away after the login{style}", done, 0 if pin == WRONG_PIN else lost)
            return
        yield Row(
            fault=f"taken away at command {at}{style}{' with a wrong PIN' if pin == WRONG_PIN else ''}",
            outcome=str(done["outcome"]),
            seconds=float(str(done["seconds"])),
            commands=int(str(done["commands"])),
            tries_lost=lost,
            after="signed",  # see the text above
            threads=1,
        )


def killed(rig: Bench, delay: float) -> Row:
    """The daemon is killed in the middle of a login, and another one started in its place."""
    rig.insert("drags")
    rig.client.begin()
    time.sleep(delay)
    os.kill(rig.pcscd(), signal.SIGKILL)
    done = rig.client.end()
    rig.stop()
    rig.start()
    return rig.row(f"pcscd killed after {delay:.2f} s", done, 0)  # the card is a new one: nothing to count


def gone(rig: Bench) -> Row:
    """No daemon at all, then one."""
    rig.stop()
    done = rig.client.touch()
    rig.start()
    return rig.row("no pcscd", done, 0)


def unplugged(rig: Bench) -> Row:
    """The reader is away, and comes back: this virtual one only does so together with its daemon."""
    rig.stop()
    os.environ["FAULT"] = "no-reader"
    try:
        rig.start()
    finally:
        del os.environ["FAULT"]
    done = rig.client.touch()
    rig.stop()
    rig.start()
    return rig.row("reader unplugged", done, 0)


def frozen(rig: Bench) -> Row:
    """The daemon stops answering in the middle of a login, and goes on later."""
    rig.insert("drags")
    rig.client.begin()
    time.sleep(0.3)
    daemon = rig.pcscd()
    os.kill(daemon, signal.SIGSTOP)
    try:
        done = rig.client.end()
    finally:
        os.kill(daemon, signal.SIGCONT)
    return rig.row("pcscd frozen", done, 3 - rig.tries(), same_card=True)


RIVAL = """
import sys
from smartcard import scard
_, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
_, readers = scard.SCardListReaders(context, [])
code, card, protocol = scard.SCardConnect(context, readers[0], scard.SCARD_SHARE_SHARED, scard.SCARD_PROTOCOL_ANY)
if code == 0:
    scard.SCardTransmit(card, scard.SCARD_PCI_T1, [0, 0xA4, 4, 0x0C, 10, 0xD3, 0x92, 0xF0, 0, 0x26, 1, 0, 0, 0, 1])
print(scard.SCardGetErrorMessage(code).split(".")[0], flush=True)
sys.stdin.readline()
if code == 0:
    scard.SCardReconnect(card, scard.SCARD_SHARE_SHARED, scard.SCARD_PROTOCOL_ANY, scard.SCARD_RESET_CARD)
    scard.SCardDisconnect(card, scard.SCARD_RESET_CARD)
"""


@contextmanager
def rival(rig: Bench) -> Iterator[str]:
    """Another program that takes the card in shared mode and resets it when told to end; gives what it was answered."""
    program = subprocess.Popen(
        [sys.executable, "-c", RIVAL],
        env=for_child({**os.environ, "PCSCLITE_CSOCK_NAME": str(rig.daemon.socket_path)}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    with program:
        yield program.stdout.readline().strip()
        program.stdin.write("\n")
        program.stdin.flush()


def held_by_another(rig: Bench) -> Row:
    """Another program has the card, and leaves it with a reset."""
    rig.insert("sound")
    with rival(rig) as answer:
        assert answer == "Command successful", answer
        done = rig.client.touch()
    return rig.row("another program holds the card, then resets it", done, 3 - rig.tries(), same_card=True)


def reset_under_way(rig: Bench) -> Row:
    """Another program tries to take and reset the card in the middle of a login: it is not let near."""
    rig.insert("drags")
    rig.client.begin()
    time.sleep(0.3)
    with rival(rig) as answer:
        done = rig.client.end()
    return rig.row(f"another program tries a reset ({answer})", done, 3 - rig.tries(), same_card=True)


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def full(card: CardFile, *, kills: int, seed: int) -> Iterator[Row]:
    """Every fault at every command, and `kills` killed daemons."""
    chance = random.Random(seed)
    with bench(card) as rig:
        for style in STYLES:
            for at in range(1, rig.commands(style) + 1):
                for kind in REPLIES:
                    yield reply(rig, kind, at - 1, style=style)
            yield from pulled(rig, style=style)
            yield from pulled(rig, style=style, pin=WRONG_PIN)
        others: list[Callable[[Bench], Row]] = [gone, unplugged, frozen, held_by_another, reset_under_way]
        for other in others:
            yield other(rig)
        for _ in range(kills):
            yield killed(rig, chance.uniform(0.0, 1.0))


def main() -> int:
    """Print a table; exit status 1 where a promise was broken."""
    from tests.cardreader.conftest import make_card_maker

    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.faults")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    broken = 0
    click.echo("| fault | outcome | seconds | tries lost | next touch | threads |\n|---|---|---:|---:|---|---:|")
    for row in full(make_card_maker()(), kills=options.kills, seed=options.seed):
        broken += not row.keeps_promises
        cells = (row.fault, row.outcome, f"{row.seconds:.2f}", row.tries_lost, row.after, row.threads)
        click.echo("| " + " | ".join(map(str, cells)) + (" |" if row.keeps_promises else " | BROKEN"))
    click.echo(f"\npromises broken: {broken}")
    return min(broken, 1)


if __name__ == "__main__":
    raise SystemExit(main())
