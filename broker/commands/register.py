"""`broker register`: the log of mandates as its operator and as a stranger sees it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

from broker.app import now
from broker.audit.monitor import Watched, look, read_watched
from broker.audit.policy import MAX_POLICY, read_policy
from broker.audit.tiles import MAX_BUNDLE, Tile, tiles_of
from broker.commands.exits import answering, fail
from broker.commands.house import configured
from broker.errors import (
    BrokerError,
    CheckpointInvalid,
    OutboundFailed,
    OutboundRefused,
    ProofInvalid,
    RegisterForked,
    WitnessMissing,
)
from broker.flows.register import log_key, origin_at, witness_all
from broker.flows.register_files import checkpoint_file, log_file
from broker.network.outbound import OutboundGuard

MAX_CHECKPOINT: Final = 64 * 1024
EXITS: Final = {
    "ok": 0,
    "unreachable": 5,
    "fork": 10,
    "rollback": 11,
    "bad_signature": 12,
    "unwitnessed": 13,
    "stale": 14,
}
"""How `monitor` ends, by what it found."""


@click.group()
def register() -> None:
    """The register of mandates (C2SP tlog-tiles)."""


@register.command("show")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@answering
def register_show(as_json: bool) -> None:
    """This year's log and its verifier key, as officers and witnesses write it into their policies."""
    ports = configured()
    origin = origin_at(ports.policy.issuer, ports.clock())
    key, _signer = log_key(ports.keys, origin)
    with ports.store.transaction() as tx:
        head, published = tx.register_tree.head(origin), tx.register_tree.published(origin)
    shown = {
        "origin": origin,
        "key": key.to_text(),
        "size": 0 if head is None else head.size,
        "published": None if published is None else published.size,
    }
    if as_json:
        click.echo(json.dumps(shown))
        return
    click.echo(f"log {key.to_text()} {ports.policy.issuer}/register-log/{origin.rpartition('/')[2]}")
    click.echo(f"entries: {shown['size']}, published: {shown['published'] or 0}")


@register.command("witness")
@answering
def register_witness() -> None:
    """Ask the witnesses now for what they have not seen yet; exit status 1 where a log is left without its quorum."""
    counts = witness_all(configured())
    click.echo(json.dumps(dict(counts)))
    sys.exit(1 if counts["waiting"] or counts["contradicted"] else 0)


@register.command("export")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--year", type=click.IntRange(2000, 9999), help="Of the log; this year's without it.")
@answering
def register_export(directory: Path, year: int | None) -> None:
    """Write the published log as static files into DIRECTORY, for a web server or an archive; only what is new."""
    ports = configured()
    at = ports.clock() if year is None else datetime(year, 6, 1, tzinfo=UTC)
    origin, written = origin_at(ports.policy.issuer, at), 0
    with ports.store.transaction() as tx:
        checkpoint = checkpoint_file(tx, origin)
        published = tx.register_tree.published(origin)
        if checkpoint is None or published is None:
            fail("nothing of this log is published", 1)
        for tile in tiles_of(published.size):
            path = directory / tile.path
            if not path.exists():
                data = log_file(tx, origin, tile)
                if data is None:
                    raise CheckpointInvalid(f"{tile.path} is not in the store")
                _put(path, data)
                written += 1
    _put(directory / "checkpoint", checkpoint)  # last: what it promises is there
    click.echo(f"{published.size} entries, {written} new files in {directory}")


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@register.command("monitor")
@click.argument("source")
@click.option(
    "--policy", "policy_file", type=click.File("rb"), required=True, help="Your own log policy (C2SP tlog-policy)."
)
@click.option(
    "--state",
    "state_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="What was seen before; kept between two looks.",
)
@click.option(
    "--max-age", type=click.IntRange(1), default=86_400, show_default=True, help="Of the newest word, in seconds."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def register_monitor(source: str, policy_file: Any, state_file: Path, max_age: int, as_json: bool) -> None:
    """Look at the register at SOURCE (an https address or a folder) and compare it with what was seen before.

    Exit status: 0 it has only grown; 5 not reached; 10 a fork: keep the two checkpoints that are printed; 11 a
    rollback; 12 a signature or a file that is not what it should be; 13 too few witnesses; 14 older than --max-age.
    """
    found: dict[str, Any] = {"source": source, "verdict": "ok", "reason": ""}
    note = b""
    try:
        policy = read_policy(policy_file.read(MAX_POLICY + 1))
        known = read_watched(state_file.read_text(encoding="utf-8")) if state_file.exists() else None
        read = _reader(source)
        note = read("checkpoint", MAX_CHECKPOINT)
        seen = look(known, note, policy=policy, read=lambda tile: read(tile.path, _limit(tile)))
    except BrokerError as refused:
        found |= {"verdict": _verdict(refused), "reason": str(refused)}
        if isinstance(refused, RegisterForked) and known is not None:
            found["evidence"] = [known.note.decode("utf-8", "replace"), note.decode("utf-8", "replace")]
    else:
        watched = seen.watched
        _put(state_file, watched.to_json().encode())
        found |= {"origin": watched.origin, "size": watched.size, "added": seen.added, "events": seen.events}
        found |= {"odd": watched.odd, "newest": None if watched.newest is None else watched.newest.isoformat()}
        if _is_stale(watched, timedelta(seconds=max_age)):
            found |= {"verdict": "stale", "reason": f"nothing newer than {max_age} s"}
    if as_json:
        click.echo(json.dumps(found))
    else:
        for name, value in found.items():
            if value not in ("", {}):
                click.echo(f"{name}\t{value}")
    sys.exit(EXITS[found["verdict"]])


def _is_stale(watched: Watched, max_age: timedelta) -> bool:
    return watched.newest is None or now() - watched.newest > max_age


def _verdict(refused: BrokerError) -> str:
    match refused:
        case RegisterForked(rolled_back=True):
            return "rollback"
        case RegisterForked():
            return "fork"
        case WitnessMissing():
            return "unwitnessed"
        case OutboundFailed() | OutboundRefused():
            return "unreachable"
        case CheckpointInvalid() | ProofInvalid():
            return "bad_signature"
        case _:
            raise refused


def _limit(tile: Tile) -> int:
    return MAX_BUNDLE if tile.level is None else 8192


def _reader(source: str) -> Callable[[str, int], bytes]:
    """What reads a file of the log by its path, of at most so many bytes, or raises OutboundFailed."""
    if "://" in source:
        guard = OutboundGuard()
        return lambda path, limit: guard.get(f"{source.rstrip('/')}/{path}", limit=limit)
    folder = Path(source)

    def read(path: str, limit: int) -> bytes:
        try:
            with (folder / path).open("rb") as file:
                data = file.read(limit + 1)
        except OSError as missing:
            raise OutboundFailed(f"{path}: {missing.strerror}") from missing
        if len(data) > limit:
            raise OutboundFailed(f"{path}: more than {limit} bytes")
        return data

    return read
