"""The compiled client (load.c) as Python knows it: what one operation sends and wants back, and how long each took."""

from __future__ import annotations

import itertools
import shutil
import statistics
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.card import NotMeasured
from sandbox.series import percentile

SOURCE: Final = Path(__file__).with_name("load.c")
PATIENCE: Final = 600
"""Seconds for one run of the client."""


class Refused(Exception):
    """A server did not answer as the operation goes; the message says in which step and how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request. `{name}` in path, headers and body stands for a value of the row, of the seat, or taken before.

    `takes` and `wants` name a place (`location`, `json`) and a member; what is wanted must be there, and be the value
    given unless that is empty. `keeps` is taken where it is there.
    """

    name: str
    path: str
    body: str = ""
    headers: tuple[str, ...] = ()
    statuses: tuple[int, ...] = (200,)
    takes: tuple[tuple[str, str, str], ...] = ()
    keeps: tuple[tuple[str, str, str], ...] = ()
    wants: tuple[tuple[str, str, str], ...] = ()

    def text(self) -> str:
        """As load.c reads it."""
        lines = [f"STEP {self.name}", f"{'POST' if self.body else 'GET'} {self.path}"]
        lines += [f"HEADER {header}" for header in self.headers]
        lines += [f"BODY {self.body}"] if self.body else []
        lines.append(f"STATUS {' '.join(map(str, self.statuses))}")
        lines += [f"TAKE {name} {place} {member}" for name, place, member in self.takes]
        lines += [f"KEEP {name} {place} {member}" for name, place, member in self.keeps]
        lines += [f"WANT {place} {member} {value}".rstrip() for place, member, value in self.wants]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What a run took: milliseconds of each whole operation, and how often the server closed a connection."""

    milliseconds: Sequence[float]
    reconnects: int

    def p50(self) -> float:
        return statistics.median(self.milliseconds)

    def p99(self) -> float:
        return percentile(sorted(self.milliseconds), 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The compiled client and the folder where it is told what to do."""

    program: Path
    folder: Path

    def run(
        self,
        origin: tuple[str, int],
        steps: Sequence[Step],
        *,
        rows: Sequence[Mapping[str, str]],
        seats: Sequence[Mapping[str, str]],
    ) -> Timed:
        """One operation for each row, over one connection for each seat. Raises Refused."""
        plan, table, places = (self.folder / name for name in ("plan", "rows", "seats"))
        plan.write_text("".join(step.text() for step in steps), encoding="ascii")
        _write(table, rows)
        _write(places, seats)
        host, port = origin
        done = subprocess.run(
            [str(self.program), host, str(port), str(plan), str(table), str(places)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode != 0:
            raise Refused(done.stderr.strip())
        return _read(done.stdout.splitlines())


def build(folder: Path) -> Load:
    """Compile the client into `folder`. Raises NotMeasured where there is no compiler."""
    compiler = shutil.which("gcc")
    if compiler is None:
        raise NotMeasured("gcc is not installed")
    program = folder / "load"
    command = [compiler, "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", str(program), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotMeasured(f"the client does not compile: {done.stderr.strip()}")
    return Load(program=program, folder=folder)


def _write(path: Path, table: Sequence[Mapping[str, str]]) -> None:
    names = list(table[0])
    lines: Iterator[str] = ("\t".join(row[name] for name in names) for row in table)
    path.write_text("\n".join(itertools.chain(["\t".join(names)], lines)) + "\n", encoding="ascii")


def _read(lines: Sequence[str]) -> Timed:
    return Timed(
        milliseconds=[sum(map(float, line.split("\t"))) / 1000 for line in lines[1:-1]],
        reconnects=int(lines[-1].partition("\t")[2]),
    )
