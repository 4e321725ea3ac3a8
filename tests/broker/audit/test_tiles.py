"""Tiles, bundles and their paths: the standard's own examples, and a tree that is rebuilt from its files."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.audit.merkle import consistency_proof, hash_leaf, inclusion_proof, root_of
from broker.audit.tiles import (
    Tile,
    bundle,
    nodes_from_tiles,
    read_bundle,
    read_path,
    read_tile,
    tile_at,
    tiles_of,
)
from broker.errors import BrokerError, CheckpointInvalid
from tests.broker.audit.loghouse import log_of


def test_the_paths_are_those_of_the_standard() -> None:
    assert Tile(level=0, number=1234067).path == "tile/0/x001/x234/067"
    assert Tile(level=1, number=0, width=17).path == "tile/1/000.p/17"
    assert Tile(level=None, number=273, width=112).path == "tile/entries/273.p/112"
    for tile in (Tile(level=None, number=0), Tile(level=7, number=999), Tile(level=0, number=1000, width=1)):
        assert read_path(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/000",
        "tile/0/001/002",
        "tile/00/000",
        "tile/8/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p/1/",
        "tile/entries/../0/000",
        "tile/0/０００",
        "tile/data/000",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
    ],
)
def test_what_is_no_tile_has_no_path(path: str) -> None:
    assert read_path(path) is None


def test_a_tree_of_70000_has_the_tiles_that_the_standard_counts() -> None:
    tiles = list(tiles_of(70_000))
    count = {(level, full): 0 for level in (None, 0, 1, 2) for full in (True, False)}
    for tile in tiles:
        count[tile.level, tile.width == 256] += 1
    assert count == {
        (None, True): 273,
        (None, False): 1,
        (0, True): 273,
        (0, False): 1,
        (1, True): 1,
        (1, False): 1,
        (2, True): 0,
        (2, False): 1,
    }
    assert [tile.width for tile in tiles if tile.width < 256] == [112, 112, 17, 1]
    assert [tile.path for tile in tiles_of(256)] == ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]
    assert list(tiles_of(0)) == []
    for tile in tiles:
        assert 70_000 in tile.sizes()
        assert read_path(tile.path) == tile


@given(st.integers(1, 10**7), st.integers(0, 10**7))
def test_a_tile_is_of_the_sizes_in_which_it_is_so_wide(size: int, other: int) -> None:
    for tile in tiles_of(size) if size < 3000 else [tile_at(0, size - 1, size)]:
        held = (
            Tile(level=tile.level, number=tile.number, width=tile.width) in set(tiles_of(other))
            if (other < 3000)
            else None
        )
        if held is not None:
            assert (other in tile.sizes()) is held


def test_a_tree_is_rebuilt_from_its_tiles() -> None:
    log = log_of(700)
    for size in (1, 2, 255, 256, 257, 511, 512, 513, 700):
        leaves = [hash_leaf(entry) for entry in log.entries[:size]]

        def read(tile: Tile, leaves: list[bytes] = leaves) -> list[bytes]:
            if tile.level == 0:
                return leaves[tile.first : tile.first + tile.width]
            assert tile.level == 1
            return [
                root_of(256, lambda level, place, at=at: log.nodes(level, place + (at << 8 - level)))
                for at in range(tile.first, tile.first + tile.width)
            ]

        nodes = nodes_from_tiles(read, size)
        assert root_of(size, nodes) == log.checkpoint(size).root
        for index in (0, size // 2, size - 1):
            assert inclusion_proof(index, size, nodes) == inclusion_proof(index, size, log.nodes)
            assert consistency_proof(index + 1, size, nodes) == consistency_proof(index + 1, size, log.nodes)


def test_there_is_no_tile_for_what_is_not_in_the_tree() -> None:
    for level, place, size in ((0, 5, 5), (1, 0, 255), (0, 0, 0)):
        with pytest.raises(ValueError, match="has no hash"):
            tile_at(level, place, size)


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=20), min_size=1, max_size=256))
def test_a_bundle_gives_back_its_entries(entries: list[bytes]) -> None:
    data = bundle(entries)
    assert read_bundle(data, width=len(entries)) == tuple(entries)
    for width in (len(entries) - 1, len(entries) + 1):
        with pytest.raises(CheckpointInvalid):
            read_bundle(data, width=width)
    with pytest.raises(CheckpointInvalid):
        read_bundle(data[:-1] if len(data) > 2 else data + b"\x00", width=len(entries))


def test_entries_and_tiles_of_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="65535"):
        bundle([b"x" * 65536])
    assert read_tile(b"a" * 32 + b"b" * 32, width=2) == (b"a" * 32, b"b" * 32)
    for data in (b"", b"a" * 63, b"a" * 96):
        with pytest.raises(CheckpointInvalid):
            read_tile(data, width=2)


@given(st.text(max_size=60), st.binary(max_size=60))
def test_hostile_paths_and_bundles_raise_nothing_but_our_errors(path: str, data: bytes) -> None:
    assert (tile := read_path(path)) is None or tile.path == path
    try:
        assert bundle(read_bundle(data, width=3)) == data
    except BrokerError:
        return
