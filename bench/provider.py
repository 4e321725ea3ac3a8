"""`python -m bench.provider`: ours and npm oidc-provider side by side, in interleaved rounds by one compiled client."""

from __future__ import annotations

import json
import platform
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import click
from cryptography.hazmat.backends.openssl import backend

from bench.card import NotMeasured
from bench.client import Unexpected
from bench.fill import Filler
from bench.load import Load, Refused, Timed, build
from bench.operations import LOGIN, OPERATIONS, Operation
from bench.servers import running
from bench.sides import OWN_STORE, STORES, Side, ours, peer
from sandbox import node
from sandbox.programs import ProgramFailed

RESIDENT: Final = "hanako"
CONNECTIONS: Final = 8
P99_FLOOR, P99_STRETCH = 1.0, 2.0
MEMORY_FLOOR, MEMORY_STRETCH = 2.0, 4.0
"""The peer's over ours, as every ratio here: more is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What one operation cost one side. CPU in µs per operation, of each round; latency in ms over all of them."""

    side: str
    cpu_us: float
    spread: float
    p50_ms: float
    p99_ms: float
    reconnects: int
    rounds: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One operation at both sides; a side that does not serve it has no figure and a reason."""

    operation: str
    method: str
    count: int
    figures: Mapping[str, Figure]
    unserved: Mapping[str, str]
    floor: float | None
    stretch: float | None

    @property
    def name(self) -> str:
        """With how the client authenticates, where the operation does not say it."""
        return (
            self.operation if not self.method or self.method in self.operation else f"{self.operation}, {self.method}"
        )

    @property
    def ratio(self) -> float | None:
        """The peer's CPU over ours."""
        if {"ours", "peer"} <= set(self.figures):
            return self.figures["peer"].cpu_us / self.figures["ours"].cpu_us
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Proportional set size in MB: of the process tree before and after all operations, of its worker alone after."""

    idle: float
    loaded: float
    worker: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A ratio beside what was promised of it."""

    name: str
    ratio: float
    floor: float
    stretch: float

    @property
    def held(self) -> bool:
        return self.ratio >= self.floor


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that was measured, and on what."""

    versions: Mapping[str, str]
    rounds: int
    connections: int
    lines: Sequence[Line]
    memory_mb: Mapping[str, Memory]

    def promises(self) -> list[Promise]:
        """In the order of the table; what one side does not serve is not among them."""
        made = [
            Promise(name=f"CPU: {line.name}", ratio=line.ratio, floor=line.floor, stretch=line.stretch)
            for line in self.lines
            if line.ratio is not None and line.floor is not None and line.stretch is not None
        ]
        for line in self.lines:
            if line.operation == LOGIN.name and line.ratio is not None:
                waited = line.figures["peer"].p99_ms / line.figures["ours"].p99_ms
                made.append(Promise(name=f"p99: {line.name}", ratio=waited, floor=P99_FLOOR, stretch=P99_STRETCH))
        if {"ours", "peer"} <= set(self.memory_mb):
            loaded = self.memory_mb["peer"].worker / self.memory_mb["ours"].worker
            made.append(
                Promise(name="memory of a worker under load", ratio=loaded, floor=MEMORY_FLOOR, stretch=MEMORY_STRETCH)
            )
        return made

    def document(self) -> dict[str, Any]:
        """As `--json` writes it."""
        lines = [{**asdict(line), "ratio": line.ratio} for line in self.lines]
        return {
            **asdict(self),
            "lines": lines,
            "promises": [{**asdict(one), "held": one.held} for one in self.promises()],
        }

    def text(self) -> str:
        """As printed: Markdown, so that it can be quoted."""
        lines = [f"{name}: {value}" for name, value in self.versions.items()]
        lines += [
            f"method: {self.rounds} interleaved rounds after one that does not count, each on fresh sessions; one"
            f" compiled client that judges every answer, {self.connections} kept-alive connections, PKCE S256, ES256"
            " throughout; CPU µs per operation of the server's process tree (median; spread: highest - lowest)",
            "",
            "| operation | CPU µs ours | spread | CPU µs peer | spread | ratio | ms ours, p50 / p99 | ms peer |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for line in self.lines:
            cells = [_cells(line, side) for side in ("ours", "peer")]
            ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
            lines.append(f"| {line.name} | {cells[0][0]} | {cells[1][0]} | {ratio} | {cells[0][1]} | {cells[1][1]} |")
        closed = sum(figure.reconnects for line in self.lines for figure in line.figures.values())
        if closed:
            lines += ["", f"connections that a server closed meanwhile: {closed}"]
        lines += ["", "| ratio, the peer's over ours | measured | floor | stretch | |", "|---|---:|---:|---:|---|"]
        for one in self.promises():
            word = "beyond the stretch" if one.ratio >= one.stretch else "held" if one.held else "BELOW THE FLOOR"
            lines.append(f"| {one.name} | {one.ratio:.2f} | {one.floor:.1f} | {one.stretch:.1f} | {word} |")
        lines.append("")
        lines += [
            f"memory of {side} (PSS): {held.idle:.0f} MB idle, {held.loaded:.0f} MB loaded,"
            f" {held.worker:.0f} MB of it the worker"
            for side, held in self.memory_mb.items()
        ]
        return "\n".join(lines)


def _grants(figures: Mapping[int, Figure]) -> None:
    fewest = figures[min(figures)]
    click.echo(f"{LOGIN.name}, by the number of grants stored\n")
    click.echo("| grants | CPU µs | spread | beside the fewest | p50 ms | p99 ms |\n|---:|---:|---:|---:|---:|---:|")
    for stored, one in figures.items():
        share = one.cpu_us / fewest.cpu_us
        click.echo(
            f"| {stored} | {one.cpu_us:.0f} | {one.spread:.0%} | {share:.2f} | {one.p50_ms:.1f} | {one.p99_ms:.1f} |"
        )


def _cells(line: Line, side: str) -> tuple[str, str]:
    figure = line.figures.get(side)
    if figure is None:
        return f"not served: {line.unserved.get(side, '')} |", ""
    return f"{figure.cpu_us:.0f} | {figure.spread:.0%}", f"{figure.p50_ms:.1f} / {figure.p99_ms:.1f}"


class Bench:
    """The two sides and the client between them, and the figures so far."""

    def __init__(self, load: Load, sides: Sequence[Side], *, count: int) -> None:
        self._load = load
        self._sides = {side.name: side for side in sides}
        self._count = count
        self._seats: dict[tuple[str, str, str], list[dict[str, str]]] = {}
        self._runs: dict[tuple[str, str], list[tuple[float, Timed]]] = {}

    def method(self, operation: Operation) -> str:
        """How the client authenticates: the first way that all sides serve, else the last that the operation has."""
        offered = [set(operation.served_methods(side.metadata)) for side in self._sides.values()]
        both = [method for method in operation.methods if all(method in methods for methods in offered)]
        return both[0] if both else operation.methods[-1]

    def round(self, *, recorded: bool) -> None:
        """Fresh sessions, then every operation at one side and the other in turn. Raises Refused, Unexpected."""
        self._seats.clear()
        for operation in OPERATIONS:
            # The peer's own store forgets whoever was not seen for a thousand entries.
            self._seats = {place: seats for place, seats in self._seats.items() if place[0] != "peer"}
            for side in self._sides.values():
                if not operation.unserved(side.metadata):
                    run = self.run(operation, side)
                    if recorded:
                        self._runs.setdefault((operation.name, side.name), []).append(run)

    def run(self, operation: Operation, side: Side, *, count: int = 0) -> tuple[float, Timed]:
        """One run: CPU µs per operation, and the times. Raises Refused, Unexpected."""
        client = side.clients[self.method(operation)]
        rows = operation.rows(side, client, count or self._count)
        seats = self._seated(operation, side)
        before = side.tree.cpu_ns()
        try:
            timed = self._load.run(side.origin, operation.steps(side, client), rows=rows, seats=seats)
        except Refused as refusal:
            raise Refused(f"{side.name}: {operation.name}: {refusal}") from None
        return (side.tree.cpu_ns() - before) / len(rows) / 1000, timed

    def _seated(self, operation: Operation, side: Side) -> list[dict[str, str]]:
        client = side.clients[self.method(operation)]
        place = (side.name, client.method, operation.scope)
        if place not in self._seats:
            self._seats[place] = [side.seat(client, scope=operation.scope) for _ in range(CONNECTIONS)]
        return self._seats[place]

    def lines(self) -> list[Line]:
        """What the rounds came to."""
        return [
            Line(
                operation=operation.name,
                method=self.method(operation) if operation.authenticates else "",
                count=self._count,
                figures={
                    name: figure_of(name, self._runs[operation.name, name])
                    for name in self._sides
                    if (operation.name, name) in self._runs
                },
                unserved={
                    name: reason for name, side in self._sides.items() if (reason := operation.unserved(side.metadata))
                },
                floor=operation.floor,
                stretch=operation.stretch,
            )
            for operation in OPERATIONS
        ]


def figure_of(side: str, runs: Sequence[tuple[float, Timed]]) -> Figure:
    """The median of the rounds for CPU, every operation of all of them for latency."""
    cpu = [cost for cost, _ in runs]
    together = Timed(
        milliseconds=[one for _, timed in runs for one in timed.milliseconds],
        reconnects=sum(timed.reconnects for _, timed in runs),
    )
    middle = statistics.median(cpu)
    return Figure(
        side=side,
        cpu_us=middle,
        spread=(max(cpu) - min(cpu)) / middle if middle else 0.0,
        p50_ms=together.p50(),
        p99_ms=together.p99(),
        reconnects=together.reconnects,
        rounds=cpu,
    )


def measure(root: Path, *, rounds: int, count: int, workers: int = 1, store: str = OWN_STORE) -> Report:
    """Start both, measure, stop both.

    Raises NotMeasured, node.NodeMissing, ProgramFailed, Refused, Unexpected.
    """
    load = build(root)
    with peer(root, store=store) as theirs, running(root, workers=workers) as servers:
        sides = (theirs, ours(servers, software=_software(workers), resident=RESIDENT))
        idle = {side.name: side.tree.memory() for side in sides}
        bench = Bench(load, sides, count=count)
        for number in range(rounds + 1):
            bench.round(recorded=number > 0)
        return Report(
            versions={
                "machine": f"{platform.machine()}, {platform.system()} {platform.release()}",
                **{side.name: side.software for side in sides},
            },
            rounds=rounds,
            connections=CONNECTIONS,
            lines=bench.lines(),
            memory_mb={
                side.name: Memory(
                    idle=idle[side.name] / 1e6,
                    loaded=side.tree.memory() / 1e6,
                    worker=side.tree.worker_memory() / 1e6,
                )
                for side in sides
            },
        )


def measure_full(root: Path, *, grants: Sequence[int], rounds: int, count: int) -> dict[int, Figure]:
    """Our login by the number of grants that are stored when its first round begins.

    Raises NotMeasured, ProgramFailed, Refused, Unexpected.
    """
    load = build(root)
    with running(root, workers=1) as servers:
        side = ours(servers, software=_software(1), resident=RESIDENT)
        bench = Bench(load, [side], count=count)
        bench.run(LOGIN, side)
        filler = Filler(servers.house.folder / "broker.db")
        figures = {}
        for wanted in grants:
            filler.fill(wanted, login=lambda: bench.run(LOGIN, side, count=1))
            bench.run(LOGIN, side)
            stored = filler.grants()
            figures[stored] = figure_of("ours", [bench.run(LOGIN, side) for _ in range(rounds)])
        return figures


def _software(workers: int) -> str:
    return (
        f"granian {version('granian')}, {workers} worker{'s' * (workers != 1)}, Flask {version('flask')}, SQLite"
        f" {sqlite3.sqlite_version} (synchronous=FULL), {platform.python_implementation()} {platform.python_version()},"
        f" {backend.openssl_version_text()}"
    )


@click.command()
@click.option("--quick", is_flag=True, help="Few operations: shows that it works, figures are rough.")
@click.option("--rounds", type=click.IntRange(3, 100), default=3, show_default=True)
@click.option("--count", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="Operations per run.")
@click.option("--workers", type=click.IntRange(1, 2), default=1, show_default=True, help="Of ours; the peer has one.")
@click.option(
    "--grants",
    type=click.IntRange(1, 10_000_000),
    multiple=True,
    help="Instead: our login with this many stored grants. Give it twice to compare.",
)
@click.option("--peer-store", type=click.Choice(STORES), default=OWN_STORE, show_default=True)
@click.option("--strict", is_flag=True, help="End with status 1 where a floor is not held.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures there too."
)
def main(
    *,
    quick: bool,
    rounds: int,
    count: int,
    workers: int,
    grants: tuple[int, ...],
    peer_store: str,
    strict: bool,
    json_file: Path | None,
) -> None:
    """Measure the provider beside npm oidc-provider on this machine, and print the table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            if grants:
                _grants(measure_full(Path(folder), grants=sorted(grants), rounds=rounds, count=min(count, 250)))
                return
            report = measure(Path(folder), rounds=3 if quick else rounds, count=16 if quick else count, workers=workers)
        except (NotMeasured, node.NodeMissing) as reason:
            click.echo(f"not measured: {reason}")
            return
        except (ProgramFailed, Refused, Unexpected) as failure:
            raise click.ClickException(str(failure)) from None
    click.echo(report.text())
    if json_file is not None:
        json_file.write_text(json.dumps(report.document(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    missed = [one.name for one in report.promises() if not one.held]
    if strict and missed:
        raise click.ClickException(f"below the floor: {', '.join(missed)}")


if __name__ == "__main__":
    sys.exit(main())
