"""`python -m bench`: start the broker, measure it, print the table. Exit status 1 where a promised limit is broken."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import click
import psutil
from cryptography.hazmat.backends.openssl import backend
from cryptography.hazmat.primitives.asymmetric import ec

from bench import ends, revocation
from bench.card import (
    MAX_APDUS,
    MAX_BYTES_IN,
    CardCost,
    CountingReaders,
    NotMeasured,
    RoundTrip,
    driver_costs,
    opensc_cost,
    round_trip,
)
from bench.client import LoginClient, Unexpected, registration
from bench.rounds import CARD, FLOOR, SESSION, Round, Row, card_round, floor_round, rows, session_round
from bench.servers import running
from cardreader import cardfile
from cardreader.agent.trust import load_trust
from cardreader.emulator import SoftwareCard
from cardreader.tray import SoftwareReaders, Tray
from sandbox.programs import ProgramFailed

RESIDENT: Final = "hanako"
ENDS: Final = 20
"""Withdrawals, and cards pulled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that was measured, and on what."""

    versions: dict[str, str]
    rounds: int
    logins_per_round: int
    workers: int
    rows: Sequence[Row]
    memory_mb: float
    certificate_bytes: int
    card: CardCost
    driver: dict[str, tuple[CardCost, int]]
    opensc: CardCost | None
    opensc_forced: CardCost | None
    opensc_missing: str
    round_trip: RoundTrip | None
    round_trip_missing: str
    ends: Sequence[ends.End]

    @property
    def ends_held(self) -> bool:
        """Promised: nothing is served to anybody after an end."""
        return all(end.held for end in self.ends)

    @property
    def card_within_limits(self) -> bool:
        """Promised: at most 13 commands and 1.6 kB from the card in a login, and each row of the driver's own limit."""
        is_within = all(cost.apdus <= limit for cost, limit in self.driver.values())
        return is_within and self.card.apdus <= MAX_APDUS and self.card.bytes_in <= MAX_BYTES_IN

    def total(self, kind: str) -> Row:
        """The last row of a kind."""
        return [row for row in self.rows if row.kind == kind][-1]

    def ratios(self) -> dict[str, float]:
        """Within this run only: other work on the machine moves all figures together."""
        floor = self.total(FLOOR).cpu_us
        return {
            f"{CARD} / {SESSION}": round(self.total(CARD).cpu_us / self.total(SESSION).cpu_us, 2),
            f"{SESSION} / {FLOOR}": round(self.total(SESSION).cpu_us / floor, 2),
            f"{CARD} / {FLOOR}": round(self.total(CARD).cpu_us / floor, 2),
        }

    def document(self) -> dict[str, Any]:
        """As `--json` writes it."""
        return {**asdict(self), "ratios": self.ratios(), "card_within_limits": self.card_within_limits}

    def text(self) -> str:
        """As printed: Markdown, so that it can be quoted."""
        lines = [f"{name}: {value}" for name, value in self.versions.items()]
        lines += [
            f"method: {self.rounds} interleaved rounds of {self.logins_per_round} logins, {self.workers} workers;"
            " CPU is read from the broker's process tree (median of the rounds), latency by one Python client on one"
            " pinned core over one kept-alive connection, the card's and the client's own work not counted",
            "",
            "| | step | CPU µs | spread | p50 ms | p99 ms |",
            "|---|---|---:|---:|---:|---:|",
        ]
        lines += [
            f"| {row.kind} | {row.step} | {row.cpu_us:.0f} | {row.spread:.0%} | {row.p50_ms:.2f} | {row.p99_ms:.2f} |"
            for row in self.rows
        ]
        lines += ["", *(f"ratio {name}: {value}" for name, value in self.ratios().items())]
        lines += [f"memory of the broker's process tree after it: {self.memory_mb:.0f} MB (PSS)", ""]
        lines += ["| card, one login | APDUs | bytes to the card | bytes from the card |", "|---|---:|---:|---:|"]
        lines += [_card_line(f"a whole login of the above (limits {MAX_APDUS} and {MAX_BYTES_IN})", self.card)]
        lines += [_card_line(f"{name} (limit {limit})", cost) for name, (cost, limit) in self.driver.items()]
        for name, cost in (("OpenSC's default", self.opensc), ("OpenSC, its jpki driver forced", self.opensc_forced)):
            if cost is not None:
                lines.append(_card_line(f"{name}, pkcs11-tool", cost))
            else:
                lines.append(f"| {name} | not measured: {self.opensc_missing} | | |")
        lines += ["", self._round_trip_line()]
        lines += ["", ends.text(self.ends)]
        lines.append(f"\nthe certificate on this card has {self.certificate_bytes} bytes")
        return "\n".join(lines)

    def _round_trip_line(self) -> str:
        if self.round_trip is None:
            return f"one command over the card daemon: not measured: {self.round_trip_missing}"
        ours, raw, ratio = self.round_trip.ours, self.round_trip.raw, self.round_trip.ratio
        return (
            f"one command over the card daemon (quickest of interleaved rounds): ours {ours:.0f} µs, bare SCardTransmit"
            f" {raw:.0f} µs, ratio {ratio:.2f} (promised: 2)"
        )


def _card_line(name: str, cost: CardCost) -> str:
    return f"| {name} | {cost.apdus} | {cost.bytes_out} | {cost.bytes_in} |"


def measure(root: Path, *, rounds: int, logins: int, workers: int, times: int) -> Report:
    """Start a broker in `root`, measure, stop it. Raises ProgramFailed, Unexpected."""
    key = ec.generate_private_key(ec.SECP256R1())
    with running(root, workers=workers, registrations=[registration(key)]) as servers:
        card = cardfile.load(servers.world.card(RESIDENT))
        tray = Tray()
        tray.insert_card(SoftwareCard(card))
        readers = CountingReaders(SoftwareReaders(tray))
        trust = load_trust(servers.trust, sandbox=True)
        before = _pin_to_one_core()
        client = LoginClient(broker=servers.broker, trust=trust, readers=readers, pin=card.auth.pin, key=key)
        try:
            _, cookies = card_round(servers, client, 3)  # the first consent and cold caches are not the story
            session_round(servers, client, 3, cookies)
            done: list[Round] = []
            for _ in range(rounds):
                cards, cookies = card_round(servers, client, logins)
                done += [cards, session_round(servers, client, logins, cookies), floor_round(servers, client, logins)]
            memory = servers.tree.memory()
        finally:
            client.close()
            os.sched_setaffinity(0, before)
        path = servers.world.card(RESIDENT)
        felt = ends.measure(servers, resident=RESIDENT, times=times)
    opensc, forced, missing = _opensc(path, card.auth.pin)
    trip, trip_missing = _round_trip(path)
    return Report(
        versions=_versions(root),
        rounds=rounds,
        logins_per_round=logins,
        workers=workers,
        rows=rows(done),
        memory_mb=memory / 1e6,
        certificate_bytes=len(card.auth.certificate or b""),
        card=readers.last,
        driver=driver_costs(card),
        opensc=opensc,
        opensc_forced=forced,
        opensc_missing=missing,
        round_trip=trip,
        round_trip_missing=trip_missing,
        ends=felt,
    )


def _opensc(card: Path, pin: str) -> tuple[CardCost | None, CardCost | None, str]:
    try:
        return opensc_cost(card, pin=pin, forced=False), opensc_cost(card, pin=pin, forced=True), ""
    except NotMeasured as reason:
        return None, None, str(reason)


def _round_trip(card: Path) -> tuple[RoundTrip | None, str]:
    try:
        return round_trip(card), ""
    except NotMeasured as reason:
        return None, str(reason)


def _pin_to_one_core() -> set[int]:
    """Keep this client on the last core it may use; answers where it may run otherwise."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    return before


def _versions(root: Path) -> dict[str, str]:
    """Beside every figure: what it was measured on."""
    mounts = sorted(psutil.disk_partitions(all=True), key=lambda mount: len(mount.mountpoint))
    disk = [mount.fstype for mount in mounts if root.resolve().is_relative_to(mount.mountpoint)]
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "interpreter": f"{platform.python_implementation()} {platform.python_version()} ({platform.python_compiler()})",
        "OpenSSL": f"{backend.openssl_version_text()} in cryptography {version('cryptography')}",
        "server": f"granian {version('granian')}, Flask {version('flask')}",
        "database": f"SQLite {sqlite3.sqlite_version} on {disk[-1] if disk else 'an unknown file system'}",
    }


@click.command()
@click.option("--quick", is_flag=True, help="Few logins: shows that it works, figures are rough.")
@click.option("--full", is_flag=True, help="The revocation list with five million entries instead of one.")
@click.option("--rounds", type=click.IntRange(3, 100), default=3, show_default=True)
@click.option("--logins", type=click.IntRange(1, 10_000), default=150, show_default=True, help="Per round and kind.")
@click.option("--workers", type=click.IntRange(1, 2), default=2, show_default=True)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures there too."
)
def main(*, quick: bool, full: bool, rounds: int, logins: int, workers: int, json_file: Path | None) -> None:
    """Measure the broker and the card on this machine, and print the table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            report = measure(
                Path(folder),
                rounds=3 if quick else rounds,
                logins=5 if quick else logins,
                workers=workers,
                times=1 if quick else ENDS,
            )
        except (ProgramFailed, Unexpected) as failure:
            raise click.ClickException(str(failure)) from None
    click.echo(report.text())
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        size = 20_000 if quick else 5_000_000 if full else 1_000_000
        lists = revocation.measure(Path(folder), entries=size, rounds=1 if quick else 3)
    click.echo(f"\n{lists.text()}")
    if json_file is not None:
        document = {**report.document(), "revocation": lists.document()}
        json_file.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if not report.ends_held:
        raise click.ClickException("something was served after its end")
    if not report.card_within_limits:
        raise click.ClickException(f"the card is asked for more than {MAX_APDUS} APDUs or {MAX_BYTES_IN} bytes")


if __name__ == "__main__":
    sys.exit(main())
