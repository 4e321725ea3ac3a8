"""The published log as files (C2SP tlog-tiles): what is served below its address and what is exported."""

from __future__ import annotations

from broker.audit.tiles import Tile, bundle
from broker.flows.ports import Transaction


def checkpoint_file(tx: Transaction, origin: str) -> bytes | None:
    """The newest checkpoint that a quorum has cosigned; None before the first."""
    published = tx.register_tree.published(origin)
    return None if published is None else published.note


def log_file(tx: Transaction, origin: str, tile: Tile) -> bytes | None:
    """A tile or bundle; None where no published checkpoint wants it.

    A partial one exists for the sizes that were published and for no other, so that nothing is shown of entries that
    no witness has seen.
    """
    if tx.register_tree.published(origin, tile.sizes()) is None:
        return None
    if tile.level is None:
        return bundle(tx.register_tree.entries(origin, tile.first, tile.width))
    return b"".join(tx.register_tree.hashes(origin, tile.level, tile.first, tile.width))
