"""A log as static files: tiles of hashes, bundles of entries, and their paths (C2SP tlog-tiles).

A tile holds up to 256 hashes of one level; level L of tiles is level 8·L of the tree. The last tile of a level is
partial and named by its width; an empty one is never served.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from broker.audit.merkle import HASH_SIZE, MAX_SIZE, Nodes, hash_children
from broker.errors import CheckpointInvalid

HEIGHT: Final = 8
WIDTH: Final = 1 << HEIGHT
MAX_ENTRY: Final = 2**16 - 1
"""Bytes of an entry: its length is written in 16 bits."""
MAX_BUNDLE: Final = WIDTH * (2 + MAX_ENTRY)
_MAX_LEVEL: Final = 63 // HEIGHT
_PATH: Final = re.compile(
    r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One file of the log: hashes of a level, or entries where `level` is None."""

    level: int | None
    number: int
    width: int = WIDTH

    @property
    def first(self) -> int:
        """The place of its first hash on its level of tiles, or of its first entry."""
        return self.number * WIDTH

    @property
    def path(self) -> str:
        """Its path below the log's address."""
        digits = f"{self.number:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[start : start + 3] for start in range(0, len(digits), 3)]
        number = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
        place = "entries" if self.level is None else str(self.level)
        return f"tile/{place}/{number}" + ("" if self.width == WIDTH else f".p/{self.width}")

    def sizes(self) -> range:
        """Of how many entries the tree is in which a partial tile is just so wide; of a full one, it has it."""
        span = HEIGHT * (self.level or 0)
        least = (self.first + self.width) << span
        return range(least, MAX_SIZE + 1) if self.width == WIDTH else range(least, least + (1 << span))


def read_path(path: str) -> Tile | None:
    """The tile of a path in its one spelling; None for every other path."""
    found = _PATH.fullmatch(path) if len(path) <= 80 else None
    if found is None:
        return None
    level = None if found[1] == "entries" else int(found[1])
    tile = Tile(
        level=level,
        number=int(found[2].replace("x", "").replace("/", "")),
        width=WIDTH if found[3] is None else int(found[3]),
    )
    if (level or 0) > _MAX_LEVEL or tile.first > MAX_SIZE or tile.path != path:
        return None
    return tile


def tiles_of(size: int) -> Iterator[Tile]:
    """Every tile and bundle of a tree, bundles first; what a static copy of the log holds."""
    for level in (None, *range(_MAX_LEVEL + 1)):
        full, rest = divmod(size >> HEIGHT * (level or 0), WIDTH)
        for number in range(full):
            yield Tile(level=level, number=number)
        if rest:
            yield Tile(level=level, number=full, width=rest)


def tile_at(level: int, place: int, size: int) -> Tile:
    """The tile that holds the hash at `place` of a level of tiles in a tree of `size`. Raises ValueError: none."""
    number = place // WIDTH
    width = min((size >> HEIGHT * level) - number * WIDTH, WIDTH)
    if place - number * WIDTH >= width:
        raise ValueError(f"a tree of {size} has no hash {place} on tile level {level}")
    return Tile(level=level, number=number, width=width)


def bundle(entries: Sequence[bytes]) -> bytes:
    """Entries as a bundle: each after its length in 16 bits. Raises ValueError for one that is too long."""
    if any(len(entry) > MAX_ENTRY for entry in entries):
        raise ValueError(f"an entry has at most {MAX_ENTRY} bytes")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def read_bundle(data: bytes, *, width: int) -> tuple[bytes, ...]:
    """The entries of a bundle, exactly `width` of them. Raises CheckpointInvalid."""
    entries: list[bytes] = []
    place = 0
    while place < len(data) and len(entries) <= width:
        end = place + 2 + int.from_bytes(data[place : place + 2], "big")
        if place + 2 > len(data) or end > len(data):
            raise CheckpointInvalid("a bundle of entries ends in the middle of one")
        entries.append(data[place + 2 : end])
        place = end
    if len(entries) != width or place != len(data):
        raise CheckpointInvalid(f"a bundle of other than {width} entries")
    return tuple(entries)


def read_tile(data: bytes, *, width: int) -> tuple[bytes, ...]:
    """The hashes of a tile, exactly `width` of them. Raises CheckpointInvalid."""
    if len(data) != width * HASH_SIZE:
        raise CheckpointInvalid(f"a tile of other than {width} hashes")
    return tuple(data[start : start + HASH_SIZE] for start in range(0, len(data), HASH_SIZE))


def nodes_from_tiles(read: Callable[[Tile], Sequence[bytes]], size: int) -> Nodes:
    """The whole nodes of a tree of `size`, out of its tiles; each tile is read once.

    Nothing is proved by this: what is built from it must lead to a root that somebody signed.
    """
    known: dict[Tile, Sequence[bytes]] = {}

    def node(level: int, place: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        first, count = place << height, 1 << height
        tile = tile_at(tile_level, first + count - 1, size)
        if tile not in known:
            known[tile] = read(tile)
        start = first - tile.first
        row = list(known[tile][start : start + count])
        while len(row) > 1:
            row = [hash_children(row[at], row[at + 1]) for at in range(0, len(row), 2)]
        return row[0]

    return node
