"""`make run`: the outside world, a card in a reader, the reader agent, the broker and services, under one roof."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from cardreader.softcard import CannotStart, PrivatePCSCD, why_not
from cardreader.tray import TrayClient
from sandbox import atomicfile, bank, bidding, clinic, contracts, membership, plan, television, tlsfront, witness
from sandbox.broker import BehindTLS, BrokerHouse, mtls_paths, set_up
from sandbox.contracts import key as contracts_key
from sandbox.generate import World, generate
from sandbox.ports import holder, is_free
from sandbox.programs import Program, ProgramFailed, stop_all
from sandbox.tls import TLSFiles, provide

START_DEADLINE = 60.0
ADDRESSES_FILE = "run/addresses.json"
"""Where broker and bank are, for `python -m sandbox login`."""
SOCKET_PATH_ROOM = 80
"""Characters a run directory may have, so that the sockets in it stay within sockaddr_un's 107."""


class CannotRun(Exception):
    """The sandbox cannot start; the message says why and what to do, in one or two lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where everything listens. Hosts differ on purpose: cookies ignore ports."""

    broker_port: int = 8000
    bank_port: int = 8001
    bidding_port: int = bidding.PORT
    clinic_port: int = clinic.PORT
    television_port: int = television.PORT
    membership_port: int = membership.PORT
    world_port: int = 8010
    agent_port: int = 24780
    witness_port: int = 8020
    tls: bool = False
    """Is the broker reached by https, through nginx?"""
    tls_port: int = 8443
    mtls_port: int = 8444

    @property
    def broker(self) -> str:
        """The issuer."""
        return f"https://localhost:{self.tls_port}" if self.tls else self.behind

    @property
    def behind(self) -> str:
        """Where the broker itself listens, whatever stands in front of it."""
        return f"http://localhost:{self.broker_port}"

    @property
    def mtls(self) -> str:
        """Where clients show certificates; empty without TLS."""
        return f"https://localhost:{self.mtls_port}" if self.tls else ""

    @property
    def bank(self) -> str:
        return f"http://127.0.0.2:{self.bank_port}"

    @property
    def bidding(self) -> str:
        """The sample e-bidding service."""
        return f"http://{bidding.HOST}:{self.bidding_port}"

    @property
    def clinic(self) -> str:
        """The sample clinic."""
        return f"http://{clinic.HOST}:{self.clinic_port}"

    @property
    def television(self) -> str:
        return f"http://{television.HOST}:{self.television_port}"

    @property
    def membership(self) -> str:
        """Three services below one address."""
        return f"http://{membership.HOST}:{self.membership_port}"

    @property
    def world(self) -> str:
        return f"http://127.0.0.1:{self.world_port}"

    @property
    def witness(self) -> str:
        """Of the register; its own program, as if it were another's."""
        return f"http://127.0.0.1:{self.witness_port}"

    @property
    def agent(self) -> str:
        return f"http://127.0.0.1:{self.agent_port}"

    @property
    def agent_origins(self) -> tuple[str, ...]:
        return (self.agent, f"http://[::1]:{self.agent_port}")

    def check_free(self) -> None:
        """Raises CannotRun naming every taken port, the program that holds it, and how to move ours."""
        taken = [
            f'port {port} ({what}) is taken by {holder(port)}; free it, or choose another: make run ARGS="{setting} …"'
            for what, host, port, setting in (
                ("broker", "127.0.0.1", self.broker_port, "--broker-port"),
                ("sample bank", "127.0.0.2", self.bank_port, "--bank-port"),
                ("sample e-bidding", bidding.HOST, self.bidding_port, "--bidding-port"),
                ("sample clinic", clinic.HOST, self.clinic_port, "--clinic-port"),
                ("sample television", television.HOST, self.television_port, "--television-port"),
                ("sample library, event and staff pass", membership.HOST, self.membership_port, "--membership-port"),
                ("outside world", "127.0.0.1", self.world_port, "--world-port"),
                ("reader agent", "127.0.0.1", self.agent_port, "--agent-port"),
                ("witness", "127.0.0.1", self.witness_port, "--witness-port"),
                *((("https", "127.0.0.1", self.tls_port, "--tls-port"),) if self.tls else ()),
                *((("mTLS", "127.0.0.1", self.mtls_port, "--mtls-port"),) if self.tls else ()),
            )
            if not is_free(host, port)
        ]
        if taken:
            raise CannotRun("\n".join(taken))


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """How the card is reached: `kind` is pcscd, software (no PC/SC daemon) or real; `why` says why not pcscd."""

    kind: str
    environment: dict[str, str]
    tray: Path | None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What stands once `sandbox` has opened."""

    root: Path
    addresses: Addresses
    world: World
    card: Card
    programs: tuple[Program, ...]
    tls: TLSFiles | None = None
    """The certificates, where the broker is reached by https."""

    @property
    def authorities(self) -> str | None:
        """Whom a client of the broker must trust, as a PEM file's name; None over http."""
        return None if self.tls is None else str(self.tls.authority)

    def check(self) -> None:
        """Raises ProgramFailed naming the first program that ended."""
        for program in self.programs:
            program.check()


@contextmanager
def sandbox(
    root: Path,
    *,
    addresses: Addresses,
    reader: str = "auto",
    workers: int = 2,
    database_url: str = "",
    resident: str = "hanako",
    plans: Sequence[Path] = (),
    suite: str = plan.SUITE,
    trusted: Sequence[Path] = (),
    say: Callable[[str], None] = lambda _line: None,
) -> Iterator[Running]:
    """Start everything, and stop everything on the way out. `plans` are files of samples/conformance, for a suite that
    serves itself at `suite`; with TLS the broker calls it under the authorities in `trusted` (PEM files).

    Raises CannotRun, ProgramFailed.
    """
    root = root.resolve()
    root.mkdir(mode=0o700, exist_ok=True)
    logs = root / "logs"
    with ExitStack() as stack:
        _alone(root, stack)
        addresses.check_free()
        tls = _tls(root, addresses, trusted)
        world = generate(root, datetime.now(UTC), url=addresses.world)
        if world.made_because:
            say(f"  made the test authority and the residents' cards ({world.made_because})")
        if _forget(root, world, addresses, tls):
            say("  the broker and the bank begin with empty books (other cards, or other addresses)")
        programs: list[Program] = []
        stack.callback(lambda: stop_all(programs))

        def start(program: Program) -> None:
            program.start()
            programs.append(program)

        card = _card(root, reader, stack)
        start(
            Program(
                name="outside world",
                command=[
                    "-m",
                    "sandbox.world",
                    "--root",
                    str(root),
                    "--port",
                    str(addresses.world_port),
                    *(["--tray", str(card.tray)] if card.tray else []),
                ],
                log=logs / "world.log",
                ready_url=f"{addresses.world}/",
            )
        )
        house = BrokerHouse(
            root=root,
            issuer=addresses.broker,
            agent_origins=addresses.agent_origins,
            port=addresses.broker_port,
            workers=workers,
            database_url=database_url,
            mapping=f"{addresses.world}/mapping",
            witness=addresses.witness,
            world=addresses.world,
            door=True,
            front=None if tls is None else BehindTLS(files=tls, mtls_origin=addresses.mtls),
        )
        bank_keys = bank.public_jwks(root / "bank")
        around = plan.Surroundings(root=root, issuer=addresses.broker, mtls=addresses.mtls, tls=tls, suite=suite)
        try:
            completed = plan.complete_all(plans, around)
        except plan.PlanInvalid as wrong:
            raise CannotRun(str(wrong)) from wrong
        registered = [
            bank.registration(addresses.bank, bank_keys),
            bidding.registration(addresses.bidding, bidding.public_jwks(root / "bidding")),
            clinic.registration(addresses.clinic, clinic.public_jwks(root / "clinic")),
            television.registration(addresses.television),
            *membership.registrations(addresses.membership, membership.public_jwks(root / "membership")),
            contracts.registration(contracts_key.public_jwks(root / "contracts")),
        ]
        document = set_up(house, registered, plans=[each.clients for each in completed if each.clients["clients"]])
        for each in completed:
            say(f"  plan  {each.name}: give the suite {os.path.relpath(each.file)}")
        start(
            Program(
                name="witness (not independent)",
                command=witness.command(root, addresses.witness_port),
                log=logs / "witness.log",
                ready_url=f"{addresses.witness}/",
            )
        )
        start(
            Program(
                name="broker",
                command=["-m", "sandbox.broker"],
                log=logs / "broker.log",
                environment=house.environment(),
                ready_url=f"{addresses.behind}/readyz",
            )
        )
        if tls is not None:
            start(_front(root, addresses, tls))
        trust = _write_trust(root, document)
        start(_agent(root, card, trust, addresses, logs))
        for name, place, begins in (
            ("bank", addresses.bank, "/"),
            ("bidding", addresses.bidding, "/"),
            ("clinic", addresses.clinic, "/"),
            ("membership", addresses.membership, "/library/"),
        ):
            start(_service(name, place, begins, root=root, addresses=addresses, tls=tls))
        start(
            Program(
                name="sample television",
                command=[
                    "-m",
                    "sandbox.television",
                    "--port",
                    str(addresses.television_port),
                    "--issuer",
                    addresses.broker,
                    *(["--issuer-ca", str(tls.authority)] if tls else []),
                ],
                log=logs / "television.log",
                ready_url=f"{addresses.television}/",
            )
        )
        until = time.monotonic() + START_DEADLINE
        for program in programs:
            program.wait_until_ready(until=until)
        if card.tray is not None:
            TrayClient(card.tray).insert(world.card(resident))
        yield Running(root=root, addresses=addresses, world=world, card=card, programs=tuple(programs), tls=tls)


def _alone(root: Path, stack: ExitStack) -> None:
    """One sandbox per folder. Raises CannotRun."""
    (root / "run").mkdir(mode=0o700, exist_ok=True)
    lock = stack.enter_context((root / "run" / "launcher.lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CannotRun(f"a sandbox is running already in {root}; stop it with Ctrl-C where it was started") from None


def _tls(root: Path, addresses: Addresses, trusted: Sequence[Path]) -> TLSFiles | None:
    """Raises CannotRun where TLS is wanted and there is no nginx, or `trusted` names what is no certificate."""
    if not addresses.tls:
        return None
    if tlsfront.program() is None:
        raise CannotRun(
            "TLS=1 needs nginx, which is not installed; to install it, type: sudo apt-get install nginx-light"
        )
    files = provide(root / "tls", datetime.now(UTC))
    try:
        files.also_trust(trusted)
    except (OSError, ValueError) as unreadable:
        raise CannotRun(f"--trust: not PEM files of certificates: {unreadable}") from unreadable
    return files


def _front(root: Path, addresses: Addresses, tls: TLSFiles) -> Program:
    front = tlsfront.Front(
        folder=root / "nginx",
        files=tls,
        issuer=addresses.broker,
        mtls_origin=addresses.mtls,
        upstream=f"127.0.0.1:{addresses.broker_port}",
        mtls_paths=mtls_paths(addresses.broker),
    )
    return Program(
        name="nginx",
        interpreter=tlsfront.program() or "nginx",
        command=front.prepare(),
        log=root / "logs" / "nginx.log",
        ready_url=f"{addresses.broker}/readyz",
        authorities=tls.authority,
    )


def _forget(root: Path, world: World, addresses: Addresses, tls: TLSFiles | None) -> bool:
    """Empty the books of broker and services where they speak of cards or addresses that are no more."""
    told = root / ADDRESSES_FILE
    places = {"broker": addresses.broker, "bank": addresses.bank}
    now = json.dumps(places if tls is None else {**places, "authorities": str(tls.authority)}).encode()
    before = told.read_bytes() if told.exists() else now
    atomicfile.write(told, now)
    if world.made_because is None and before == now:
        return False
    kept = (
        "broker/broker.db*",
        "bank/bank.db*",
        "bidding/bidding.db*",
        "clinic/clinic.db*",
        "membership/*.db*",
        "witness/seen.db*",
    )
    books = [book for pattern in kept for book in root.glob(pattern)]
    for book in books:
        book.unlink()
    return bool(books)


def _service(name: str, place: str, begins: str, *, root: Path, addresses: Addresses, tls: TLSFiles | None) -> Program:
    """A sample service that is a module of its own: `sandbox.NAME`."""
    return Program(
        name=f"sample {name}",
        command=[
            "-m",
            f"sandbox.{name}",
            "--root",
            str(root),
            "--port",
            str(urlsplit(place).port),
            "--issuer",
            addresses.broker,
            *(["--issuer-ca", str(tls.authority)] if tls else []),
        ],
        log=root / "logs" / f"{name}.log",
        ready_url=f"{place}{begins}",
    )


def _card(root: Path, reader: str, stack: ExitStack) -> Card:
    if reader == "real":
        return Card(kind="real", environment={}, tray=None)
    reason = why_not() if reader == "auto" else "asked for"
    run_dir = root / "run" / "card"
    if len(str(run_dir)) > SOCKET_PATH_ROOM:
        short = Path(tempfile.mkdtemp(prefix="jpki-"))
        stack.callback(shutil.rmtree, short, ignore_errors=True)
        run_dir = short
    run_dir.mkdir(mode=0o700, exist_ok=True)
    if reason is None:
        try:
            with ExitStack() as own:
                daemon = own.enter_context(PrivatePCSCD(run_dir, save=True))
                if daemon.isolation == "shared":
                    raise CannotStart("without namespaces its reader would listen to the whole network")
                stack.push(own.pop_all())
            return Card(kind="pcscd", environment=dict(daemon.environment), tray=daemon.control_path)
        except CannotStart as fault:
            reason = str(fault)
    return Card(kind="software", environment={}, tray=run_dir / "tray", why=reason)


def _write_trust(root: Path, document: dict[str, Any]) -> Path:
    """Whom the sandbox's agent trusts; lives in this folder alone. The phrase is made once."""
    path = root / "agent" / "trust.json"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    phrase = ""
    if path.exists():
        phrase = json.loads(path.read_text(encoding="utf-8")).get("phrase", "")
    broker = {name: value for name, value in document.items() if name != "statement"}
    trust = {
        "version": 1,
        "phrase": phrase or f"さくら {secrets.randbelow(9000) + 1000}",
        "brokers": [{**broker, "name": "JPKI Broker (sandbox)", "sandbox": True}],
    }
    atomicfile.write(path, json.dumps(trust, ensure_ascii=False, indent=1).encode())
    return path


def _agent(root: Path, card: Card, trust: Path, addresses: Addresses, logs: Path) -> Program:
    options = [
        "--trust",
        str(trust),
        "--state",
        str(root / "agent"),
        "--port",
        str(addresses.agent_port),
    ]
    command = (
        ["-m", "sandbox.agent", *options, "--tray", str(card.tray)]
        if card.kind == "software"
        else ["-m", "cardreader", "agent", "--sandbox", *options]
    )
    return Program(
        name="reader agent",
        command=command,
        log=logs / "agent.log",
        environment=card.environment,
        ready_url=f"{addresses.agent}/",
    )


def run(
    root: Path,
    *,
    addresses: Addresses,
    reader: str,
    plans: Sequence[Path] = (),
    suite: str = plan.SUITE,
    trusted: Sequence[Path] = (),
    say: Callable[[str], None],
) -> int:
    """The whole of `make run`: start, say four lines, watch, stop at Ctrl-C. Answers the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    began = time.monotonic()
    try:
        with sandbox(
            root, addresses=addresses, reader=reader, plans=plans, suite=suite, trusted=trusted, say=say
        ) as running:
            for line in welcome(running, seconds=time.monotonic() - began):
                say(line)
            while True:
                running.check()
                time.sleep(0.5)
    except KeyboardInterrupt:
        say("\nstopped; nothing is left running")
        return 0
    except (CannotRun, ProgramFailed) as fault:
        say(f"\n{fault}")
        return 1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # once is enough; stopping takes its second undisturbed
    raise KeyboardInterrupt


def welcome(running: Running, *, seconds: float) -> list[str]:
    """The four lines a person needs, and more where the card is not where it would be best, or the browser must trust
    an authority of ours first.
    """
    lines = []
    match running.card.kind:
        case "software":
            lines.append(f"  no PC/SC daemon here ({running.card.why}): the software card runs inside the agent")
        case "real":
            lines.append("  a real reader: real cards meet the sandbox's test authority and are refused with a page")
    if running.tls is not None:
        trusted = os.path.relpath(running.tls.authority)
        lines.append(f"  TLS   {running.addresses.broker}, which a browser takes once it trusts {trusted}")
    pin = (
        "your card's own 4-digit PIN (3 tries!)"
        if running.card.kind == "real"
        else f"1234, the card of 山田花子; other cards: {running.addresses.world}/"
    )
    return [
        *lines,
        f"  bank  {running.addresses.bank}/   clinic {running.addresses.clinic}/   "
        f"e-bidding {running.addresses.bidding}/   "
        f"television {running.addresses.television}/   "
        f"library, event, staff pass {running.addresses.membership}/   (ready in {seconds:.1f} s)",
        f"  PIN   {pin}",
        "  stop  Ctrl-C",
        f"  logs  {os.path.relpath(running.root / 'logs')}/",
    ]
