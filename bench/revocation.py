"""A revocation list of national size, from its octets to an answer: ours, OpenSSL's C API, cryptography, side by side.

Every figure comes from a process of its own, so that its memory is its own too, in interleaved rounds. Ours is ready
when the list is verified, indexed, synced to the disk, checked and mapped; a peer when it has verified the list and
gives its first answer from memory. Peers keep dates and reasons in memory; ours keeps them in the file.
"""

from __future__ import annotations

import io
import json
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click
import numpy as np

PARTITIONS: Final = 1900
"""As many as there are municipalities; fewer where they would have under 500 entries each."""
DELTA: Final = 10_000
_ASKED: Final = 50_000
_ISSUER: Final = b"k" * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Medians of the rounds; None where a measure has no such figure or the peer is absent."""

    name: str
    seconds: float | None = None
    cpu_seconds: float | None = None
    rss_mb: float | None = None
    lookup_us: float | None = None
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """All figures of one run."""

    entries: int
    partitions: int
    megabytes: float
    rounds: int
    figures: Sequence[Figure]

    def ratios(self) -> dict[str, float]:
        """Of figures of this run only."""
        by = {figure.name: figure for figure in self.figures}
        ours, found = by["index"], {}
        for peer in ("OpenSSL", "cryptography"):
            for what in ("seconds", "cpu_seconds", "rss_mb", "lookup_us"):
                theirs, mine = getattr(by[peer], what), getattr(ours, what)
                if theirs is not None and mine:
                    found[f"{peer} / index, {what}"] = round(theirs / mine, 2)
        parts, peer_parts = by[f"index, {self.partitions} lists"], by[f"cryptography, {self.partitions} lists"]
        if parts.cpu_seconds and peer_parts.cpu_seconds:
            found[f"cryptography / index, {self.partitions} lists, cpu_seconds"] = round(
                peer_parts.cpu_seconds / parts.cpu_seconds, 2
            )
        if ours.cpu_seconds and (limit := by["SHA-256 of the file alone"].cpu_seconds):
            found["index / SHA-256 of the file alone, cpu_seconds"] = round(ours.cpu_seconds / limit, 2)
        return found

    def document(self) -> dict[str, Any]:
        """As `--json` writes it."""
        return {**asdict(self), "ratios": self.ratios()}

    def text(self) -> str:
        """As printed: Markdown."""
        lines = [
            f"revocation list of {self.entries} entries, {self.megabytes:.1f} MB; medians of {self.rounds} rounds",
            "",
            "| | ready s | of it CPU s | peak MB | lookup, CPU µs |",
            "|---|---:|---:|---:|---:|",
        ]
        for figure in self.figures:
            cells = [
                "" if value is None else f"{value:.{digits}f}"
                for value, digits in (
                    (figure.seconds, 4),
                    (figure.cpu_seconds, 4),
                    (figure.rss_mb, 0),
                    (figure.lookup_us, 2),
                )
            ]
            lines.append(f"| {figure.name} {figure.missing} | " + " | ".join(cells) + " |")
        return "\n".join([*lines, "", *(f"ratio {name}: {value}" for name, value in self.ratios().items())])


def measure(folder: Path, *, entries: int, rounds: int) -> Revocation:
    """Make the lists in `folder` and measure everything; needs about 400 bytes of disk an entry."""
    _child("make", folder, entries)
    peer, missing = _compile(folder)
    partitions = _partitions(entries)
    commands: dict[str, list[str] | None] = {
        "index": _command("index", folder, entries),
        "OpenSSL": peer,
        "cryptography": _command("cryptography", folder, entries),
        "SHA-256 of the file alone": _command("hash", folder, entries),
        f"index, {partitions} lists": _command("parts", folder, entries),
        f"index, {partitions} lists, each synced and swapped": _command("durable-parts", folder, entries),
        f"cryptography, {partitions} lists": _command("cryptography-parts", folder, entries),
        f"delta of {DELTA}, put and seen": _command("delta", folder, entries),
        "lookup in 10000": _command("small", folder, entries),
    }
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            if command is not None:
                seen[name].append(_run(command))
    figures = []
    for name, runs in seen.items():
        medians = {key: statistics.median(run[key] for run in runs) for key in (runs[0] if runs else ())}
        figures.append(Figure(name=name, missing="" if runs else f"(not measured: {missing})", **medians))
    size = (folder / "list.crl").stat().st_size / 1e6
    return Revocation(entries=entries, partitions=partitions, megabytes=size, rounds=rounds, figures=figures)


def _partitions(entries: int) -> int:
    return min(PARTITIONS, entries // 500)


def _compile(folder: Path) -> tuple[list[str] | None, str]:
    program = folder / "crl_openssl"
    command = ["cc", "-O2", "-o", str(program), str(Path(__file__).with_name("crl_openssl.c")), "-lcrypto"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None, "no C compiler"
    if done.returncode != 0:
        return None, "OpenSSL's headers are not installed"
    return [str(each) for each in (program, folder / "list.crl", folder / "ca.der", folder / "asked")], ""


def _command(what: str, folder: Path, entries: int) -> list[str]:
    return [sys.executable, "-m", "bench.revocation", "child", what, str(folder), str(entries)]


def _run(command: list[str]) -> dict[str, float]:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _child(what: str, folder: Path, entries: int) -> None:
    subprocess.run(_command(what, folder, entries), check=True)


# --- what each process does ------------------------------------------------------------------------------------------


def _make(folder: Path, entries: int) -> None:
    from bench.crl import Maker
    from bench.crl import entries as encoded

    random, maker = np.random.default_rng(1), Maker.fresh()
    serials = random.integers(1, 2**63, entries + DELTA, dtype=np.uint64)
    piece = 200_000
    body = b"".join(encoded(serials[at : min(at + piece, entries)], random) for at in range(0, entries, piece))
    (folder / "ca.der").write_bytes(maker.certificate)
    (folder / "list.crl").write_bytes(maker.crl(body, number=1))
    (folder / "delta.crl").write_bytes(maker.crl(encoded(serials[entries:], random), number=2, base=1))
    (folder / "small.crl").write_bytes(maker.crl(encoded(serials[:10_000], random), number=1))
    random.choice(serials[:entries], _ASKED).tofile(folder / "asked")
    random.choice(serials[:10_000], _ASKED).tofile(folder / "asked-small")
    (folder / "parts").mkdir(exist_ok=True)
    for number, part in enumerate(np.array_split(serials[:entries], _partitions(entries))):
        (folder / "parts" / f"{number}.crl").write_bytes(maker.crl(encoded(part, random), number=1))


def _index(folder: Path, name: str = "list") -> dict[str, float]:
    from broker.jpki.index import Index, check_octets, write_index
    from broker.storage.indexes import FileSource

    issuer, target = (folder / "ca.der").read_bytes(), folder / f"{name}.index"
    before = _Clock()
    with (folder / f"{name}.crl").open("rb") as file, tempfile.NamedTemporaryFile(dir=folder, delete=False) as out:
        write_index(FileSource(file), out, issuer=issuer)  # type: ignore[arg-type]  # a BinaryIO in all that is used
        out.flush()
        os.fsync(out.fileno())
        os.rename(out.name, target)
    with target.open("rb") as file:
        check_octets(FileSource(file))
        index = Index(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    taken = before.taken()
    peak = _peak()
    asked = _asked(folder, "asked-small" if name == "small" else "asked")
    if not all(index.holds(serial) for serial in asked):
        raise click.ClickException("the index lost an entry")
    absent = [serial ^ 0x5A5A for serial in asked]
    return {**taken, "rss_mb": peak, "lookup_us": _per_call(index.holds, asked + absent)}


def _small(folder: Path) -> dict[str, float]:
    return {"lookup_us": _index(folder, "small")["lookup_us"]}


def _asked(folder: Path, name: str = "asked") -> list[int]:
    return [int(serial) for serial in np.fromfile(folder / name, np.uint64)]


def _per_call(ask: Callable[[int], object], serials: Sequence[int]) -> float:
    before = time.process_time()
    for serial in serials:
        ask(serial)
    return (time.process_time() - before) / len(serials) * 1e6


def _peak() -> float:
    """The most memory this process ever had, in MB. Not getrusage's: that one begins with what the parent had."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) / 1000


class _Clock:
    """Wall and processor time since it was made; other work on the machine stretches the first, not the second."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def taken(self) -> dict[str, float]:
        return {"seconds": time.perf_counter() - self._wall, "cpu_seconds": time.process_time() - self._cpu}


def _load(data: bytes, issuer: bytes) -> tuple[Any, set[int]]:
    from cryptography import x509

    crl = x509.load_der_x509_crl(data)
    key = x509.load_der_x509_certificate(issuer).public_key()
    if not crl.is_signature_valid(key):  # type: ignore[arg-type]  # the CA's key is RSA
        raise click.ClickException("the list does not verify")
    return crl, {entry.serial_number for entry in crl}


def _cryptography(folder: Path) -> dict[str, float]:
    issuer = (folder / "ca.der").read_bytes()
    before = _Clock()
    crl, _ = _load((folder / "list.crl").read_bytes(), issuer)
    taken = before.taken()
    peak = _peak()
    lookup = _per_call(crl.get_revoked_certificate_by_serial_number, _asked(folder)[:3])
    return {**taken, "rss_mb": peak, "lookup_us": lookup}


def _parts_in(folder: Path) -> list[Path]:
    return sorted((folder / "parts").iterdir())


def _parts(folder: Path) -> dict[str, float]:
    from broker.jpki.index import Index, write_index
    from broker.storage.indexes import FileSource

    issuer, kept = (folder / "ca.der").read_bytes(), []
    before = _Clock()
    for part in _parts_in(folder):
        out = io.BytesIO()
        with part.open("rb") as file:
            write_index(FileSource(file), out, issuer=issuer)
        kept.append(Index(out.getbuffer()))
    taken = before.taken()
    return {**taken, "rss_mb": _peak()}


def _durable_parts(folder: Path) -> dict[str, float]:
    from bench.crl import NOW
    from broker.storage.indexes import FileSource, IndexFolder

    issuer = (folder / "ca.der").read_bytes()
    with tempfile.TemporaryDirectory(dir=folder) as empty:
        target = IndexFolder(Path(empty))
        before = _Clock()
        for part in _parts_in(folder):
            with part.open("rb") as file:
                target.put(f"CN={part.stem}", _ISSUER, FileSource(file), issuer=issuer, now=NOW)
        taken = before.taken()
    return {**taken, "rss_mb": _peak()}


def _cryptography_parts(folder: Path) -> dict[str, float]:
    issuer = (folder / "ca.der").read_bytes()
    before = _Clock()
    kept = [_load(part.read_bytes(), issuer)[1] for part in _parts_in(folder)]
    taken = before.taken()
    if not all(kept):
        raise click.ClickException("a list lost its entries")
    peak = _peak()
    return {**taken, "rss_mb": peak}


def _delta(folder: Path) -> dict[str, float]:
    from bench.crl import NOW
    from broker.storage.indexes import FileSource, IndexFolder

    issuer = (folder / "ca.der").read_bytes()
    with tempfile.TemporaryDirectory(dir=folder) as empty:
        writer, reader = IndexFolder(Path(empty)), IndexFolder(Path(empty))
        with (folder / "list.crl").open("rb") as file:
            writer.put("CN=1", _ISSUER, FileSource(file), issuer=issuer, now=NOW)
        reader.get("CN=1", _ISSUER)
        before = _Clock()
        with (folder / "delta.crl").open("rb") as file:
            writer.put("CN=1", _ISSUER, FileSource(file), issuer=issuer, now=NOW)
        held = reader.get("CN=1", _ISSUER)
        taken = before.taken()
    if held is None or held.delta is None or len(held.delta) != DELTA:
        raise click.ClickException("the delta list is not seen")
    return taken


def _hash(folder: Path) -> dict[str, float]:
    import hashlib

    before = _Clock()
    with (folder / "list.crl").open("rb") as file:
        hashlib.file_digest(file, "sha256")
    return before.taken()


@click.group()
def main() -> None:
    """Measure revocation lists."""


@main.command()
@click.option("--entries", type=click.IntRange(10_000, 20_000_000), default=1_000_000, show_default=True)
@click.option("--full", is_flag=True, help="Five million entries.")
@click.option("--rounds", type=click.IntRange(1, 20), default=3, show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False))
def run(*, entries: int, full: bool, rounds: int, json_file: Path | None) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        report = measure(Path(folder), entries=5_000_000 if full else entries, rounds=rounds)
    click.echo(report.text())
    if json_file is not None:
        json_file.write_text(json.dumps(report.document(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


@main.command(hidden=True)
@click.argument("what")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("entries", type=int)
def child(what: str, folder: Path, entries: int) -> None:
    """One measure, in a process of its own."""
    if what == "make":
        _make(folder, entries)
        return
    measures: dict[str, Callable[[Path], dict[str, float]]] = {
        "index": _index,
        "small": _small,
        "cryptography": _cryptography,
        "hash": _hash,
        "parts": _parts,
        "durable-parts": _durable_parts,
        "cryptography-parts": _cryptography_parts,
        "delta": _delta,
    }
    click.echo(json.dumps(measures[what](folder)))


if __name__ == "__main__":
    main()
