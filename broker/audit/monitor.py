"""Watching a register from outside: has it only grown since I last looked, and do its entries make its root?

Every new entry is read and hashed onto what was known, so no proof and no tile of the log is taken on trust. What two
looks cannot both have seen is a fork or a rollback, and the two signed checkpoints are the evidence.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from broker.audit.checkpoint import Checkpoint, open_checkpoint
from broker.audit.leaf import read_leaf
from broker.audit.merkle import EMPTY_ROOT, grow, hash_leaf
from broker.audit.note import read_note
from broker.audit.policy import Policy
from broker.audit.tiles import WIDTH, Tile, read_bundle
from broker.errors import CheckpointInvalid, RegisterForked

MAX_STATE: Final = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What a monitor knows of a log after a look."""

    origin: str
    size: int = 0
    root: bytes = EMPTY_ROOT
    peaks: tuple[bytes, ...] = field(default=(), repr=False)
    note: bytes = field(default=b"", repr=False)
    """The signed checkpoint that says so."""
    newest: datetime | None = None
    """The latest moment that anything said of the log: a witness's cosignature or an entry."""
    odd: int = 0
    """Entries that are in no form of ours; they are hashed like all others."""

    def to_json(self) -> str:
        """For the file between two looks."""
        return json.dumps(
            {
                "origin": self.origin,
                "size": self.size,
                "root": self.root.hex(),
                "peaks": [peak.hex() for peak in self.peaks],
                "note": base64.b64encode(self.note).decode("ascii"),
                "newest": None if self.newest is None else int(self.newest.timestamp()),
                "odd": self.odd,
            },
            indent=1,
        )


def read_watched(text: str) -> Watched:
    """What `to_json` wrote. Raises CheckpointInvalid: somebody else's file."""
    try:
        if len(text) > MAX_STATE:
            raise CheckpointInvalid("the monitor's file is too large")
        data = json.loads(text)
        return Watched(
            origin=data["origin"],
            size=data["size"],
            root=bytes.fromhex(data["root"]),
            peaks=tuple(bytes.fromhex(peak) for peak in data["peaks"]),
            note=base64.b64decode(data["note"], validate=True),
            newest=None if data["newest"] is None else datetime.fromtimestamp(data["newest"], UTC),
            odd=data["odd"],
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, binascii.Error) as broken:
        raise CheckpointInvalid("not a file of this monitor") from broken


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look found."""

    watched: Watched
    added: int
    events: dict[str, int]
    """How many new entries of each happening."""


def look(known: Watched | None, note: bytes, *, policy: Policy, read: Callable[[Tile], bytes]) -> Look:
    """Judge the checkpoint that the log shows now by what was `known`, and take in the new entries.

    `read` fetches a file of the log. Raises CheckpointInvalid and WitnessMissing (signatures, files of another form),
    RegisterForked (`rolled_back` where it shrank); what `read` raises goes through.
    """
    signed = open_checkpoint(note, keys=policy.log_keys)
    checkpoint = signed.checkpoint
    known = Watched(origin=checkpoint.origin) if known is None else known
    _check_past(known, checkpoint)
    judged = policy.judge(signed.note)
    taken = (
        _take_in(known, checkpoint, read) if checkpoint.size > known.size else Look(watched=known, added=0, events={})
    )
    watched = taken.watched
    moments = [moment for moment in (watched.newest, *judged.cosigned.values()) if moment is not None]
    return Look(
        watched=Watched(
            origin=watched.origin,
            size=watched.size,
            root=watched.root,
            peaks=watched.peaks,
            note=signed.note.to_bytes(),
            newest=max(moments, default=None),
            odd=watched.odd,
        ),
        added=taken.added,
        events=taken.events,
    )


def _check_past(known: Watched, checkpoint: Checkpoint) -> None:
    if known.note:
        read_note(known.note)
    if checkpoint.origin != known.origin:
        raise CheckpointInvalid(f"the checkpoint is of {checkpoint.origin}, and {known.origin} was watched")
    if checkpoint.size < known.size:
        raise RegisterForked(f"the log shrank from {known.size} to {checkpoint.size} entries", rolled_back=True)
    if checkpoint.size == known.size and checkpoint.root != known.root:
        raise RegisterForked(f"two trees of {known.size} entries")


def _take_in(known: Watched, checkpoint: Checkpoint, read: Callable[[Tile], bytes]) -> Look:
    size, peaks, root, newest, odd = known.size, known.peaks, known.root, known.newest, known.odd
    events: dict[str, int] = {}
    while size < checkpoint.size:
        number = size // WIDTH
        tile = Tile(level=None, number=number, width=min(WIDTH, checkpoint.size - number * WIDTH))
        entries = read_bundle(read(tile), width=tile.width)[size - tile.first :]
        for entry in entries:
            try:
                leaf = read_leaf(entry)
            except CheckpointInvalid:
                odd += 1
                continue
            events[leaf.event.value] = events.get(leaf.event.value, 0) + 1
            newest = leaf.at if newest is None or leaf.at > newest else newest
        try:
            growth = grow(size, peaks, map(hash_leaf, entries))
        except ValueError as broken:
            raise CheckpointInvalid("the monitor's file does not fit itself") from broken
        size, peaks, root = growth.size, growth.peaks, growth.root
    if root != checkpoint.root:
        raise RegisterForked(f"the entries from {known.size} do not lead to the root of {checkpoint.size}")
    watched = Watched(origin=known.origin, size=size, root=root, peaks=peaks, newest=newest, odd=odd)
    return Look(watched=watched, added=size - known.size, events=events)
