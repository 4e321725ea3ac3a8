"""The Merkle tree of the register: hashes, roots, and the two proofs that anybody can check (RFC 6962 §2.1, SHA-256).

Sizes and indices count entries; a node is named by its level (0 for leaves) and its place on that level, and covers
2**level entries. Only whole nodes are ever stored, and a whole node never changes.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from broker.errors import ProofInvalid

HASH_SIZE: Final = 32
MAX_SIZE: Final = 2**63 - 1
"""Of a tree: what a checkpoint can say and every engine can count (C2SP tlog-checkpoint)."""
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""The root of a tree without entries."""

_LEAF, _NODE = b"\x00", b"\x01"

Nodes = Callable[[int, int], bytes]
"""The hash of the whole node at (level, place)."""


def hash_leaf(entry: bytes) -> bytes:
    """The hash of an entry; its first byte keeps an entry from passing for a node."""
    return hashlib.sha256(_LEAF + entry).digest()


def hash_children(left: bytes, right: bytes) -> bytes:
    """The hash of the node above two nodes."""
    return hashlib.sha256(_NODE + left + right).digest()


# --- verification: values from outside -------------------------------------------------------------------------------


def verify_inclusion(*, leaf_hash: bytes, index: int, tree_size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Prove that the entry whose hash is `leaf_hash` stands at `index` (from 0) in the tree of that size and root.

    RFC 6962 §2.1.1, RFC 9162 §2.1.3.2. `root` must come from a checkpoint that was verified. Raises ProofInvalid,
    whatever the values are.
    """
    _check_number(index, "index")
    _check_number(tree_size, "tree size")
    _check_hash(leaf_hash, "leaf hash")
    _check_bytes(root, "root")
    hashes = _check_proof(proof)
    if index >= tree_size:
        raise ProofInvalid(f"no entry {index} in a tree of {tree_size}")
    inner, border = _parts(index, tree_size)
    if len(hashes) != inner + border:
        raise ProofInvalid(f"{len(hashes)} hashes where the place of the entry wants {inner + border}")
    found = _climb(leaf_hash, hashes[:inner], index)
    found = _climb_border(found, hashes[inner:])
    if not hmac.compare_digest(found, root):
        raise ProofInvalid("the entry does not lead to this root")


def verify_consistency(*, size1: int, root1: bytes, size2: int, root2: bytes, proof: Sequence[bytes]) -> None:
    """Prove that the tree (size2, root2) begins with all entries of (size1, root1), in their order.

    RFC 6962 §2.1.2, RFC 9162 §2.1.4.2. Of equal sizes the roots must be the same and the proof empty; nothing can be
    proved from the empty tree to another, so that is refused. Raises ProofInvalid, whatever the values are.
    """
    _check_number(size1, "first size")
    _check_number(size2, "second size")
    _check_bytes(root1, "first root")
    _check_bytes(root2, "second root")
    hashes = _check_proof(proof)
    if size2 < size1:
        raise ProofInvalid(f"the tree shrank from {size1} to {size2}")
    if size1 == size2:
        if hashes:
            raise ProofInvalid("a proof between trees of one size is empty")
        if not hmac.compare_digest(root1, root2):
            raise ProofInvalid("two roots for one size")
        return
    if size1 == 0:
        raise ProofInvalid("nothing can be proved from an empty tree")
    if not hashes:
        raise ProofInvalid("an empty proof between trees of two sizes")
    shift = (
        size1 & -size1
    ).bit_length() - 1  # the last whole node of the old tree, from which both roots are climbed to
    inner, border = _parts(size1 - 1, size2)
    inner -= shift
    if size1 == 1 << shift:
        seed = root1  # the old tree is that node
    else:
        seed, hashes = hashes[0], hashes[1:]
    if len(hashes) != inner + border:
        raise ProofInvalid(f"{len(proof)} hashes do not fit the sizes")
    place = (size1 - 1) >> shift
    old = seed
    for height, sibling in enumerate(hashes[:inner]):
        if place >> height & 1:
            old = hash_children(sibling, old)
    old = _climb_border(old, hashes[inner:])
    new = _climb_border(_climb(seed, hashes[:inner], place), hashes[inner:])
    if not hmac.compare_digest(old, root1):
        raise ProofInvalid("the proof does not lead to the first root")
    if not hmac.compare_digest(new, root2):
        raise ProofInvalid("the proof does not lead to the second root")


def _parts(index: int, size: int) -> tuple[int, int]:
    """How many hashes of a proof lie below where the ways to `index` and to the last entry part, and how many above."""
    inner = (index ^ (size - 1)).bit_length()
    return inner, (index >> inner).bit_count()


def _climb(seed: bytes, siblings: Sequence[bytes], place: int) -> bytes:
    for height, sibling in enumerate(siblings):
        seed = hash_children(sibling, seed) if place >> height & 1 else hash_children(seed, sibling)
    return seed


def _climb_border(seed: bytes, siblings: Sequence[bytes]) -> bytes:
    for sibling in siblings:
        seed = hash_children(sibling, seed)
    return seed


def _check_number(value: object, name: str) -> None:
    if type(value) is not int or not 0 <= value <= 2**64 - 1:
        raise ProofInvalid(f"the {name} is no number from 0 to 2^64 - 1")


def _check_bytes(value: object, name: str) -> None:
    if type(value) is not bytes:
        raise ProofInvalid(f"the {name} is not bytes")


def _check_hash(value: object, name: str) -> None:
    if type(value) is not bytes or len(value) != HASH_SIZE:
        raise ProofInvalid(f"the {name} is not {HASH_SIZE} bytes")


def _check_proof(proof: object) -> Sequence[bytes]:
    if not isinstance(proof, list | tuple) or len(proof) > 130:  # two for each level of the tallest tree, and one
        raise ProofInvalid("the proof is no list of at most 130 hashes")
    for each in proof:
        _check_hash(each, "proof's part")
    return proof


# --- the log's own side: values from its own store -------------------------------------------------------------------


def peaks_of(size: int) -> tuple[tuple[int, int], ...]:
    """The whole nodes that together cover the first `size` entries, from the left, as (level, place)."""
    return _cover(0, size)


def _cover(begin: int, end: int) -> tuple[tuple[int, int], ...]:
    """The fewest whole nodes over the entries from `begin` up to, not at, `end`, from the left."""
    nodes = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        if begin:
            level = min(level, (begin & -begin).bit_length() - 1)
        nodes.append((level, begin >> level))
        begin += 1 << level
    return tuple(nodes)


def _bag(hashes: Sequence[bytes]) -> bytes:
    """One hash over neighbouring whole nodes whose levels fall from left to right."""
    found = hashes[-1]
    for each in reversed(hashes[:-1]):
        found = hash_children(each, found)
    return found


def root_of(size: int, nodes: Nodes) -> bytes:
    """The root of the first `size` entries."""
    return _bag([nodes(*each) for each in peaks_of(size)]) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, nodes: Nodes) -> tuple[bytes, ...]:
    """What `verify_inclusion` wants for the entry at `index`. Raises ValueError where the tree has no such entry."""
    if not 0 <= index < size:
        raise ValueError(f"no entry {index} in a tree of {size}")
    return _path(index, 0, size, nodes)


def consistency_proof(size1: int, size2: int, nodes: Nodes) -> tuple[bytes, ...]:
    """What `verify_consistency` wants between two sizes. Raises ValueError where there is nothing to be proved."""
    if not 0 < size1 <= size2:
        raise ValueError(f"nothing to be proved from {size1} to {size2}")
    if size1 == size2:
        return ()
    shift = (size1 & -size1).bit_length() - 1
    begin = size1 - (1 << shift)  # the last whole node of the old tree begins here
    seed = () if begin == 0 else (nodes(shift, begin >> shift),)
    return seed + _path(begin, shift, size2, nodes)


def _path(index: int, level: int, size: int, nodes: Nodes) -> tuple[bytes, ...]:
    """The siblings on the way from the whole node of `level` that begins at `index` to the root of `size` entries."""
    begin, end = 0, size
    turns: list[bytes] = []
    while end - begin > 1 << level:
        middle = begin + (1 << (end - begin - 1).bit_length() - 1)
        if index < middle:
            turns.append(_bag([nodes(*each) for each in _cover(middle, end)]))
            end = middle
        else:
            turns.append(_bag([nodes(*each) for each in _cover(begin, middle)]))
            begin = middle
    return tuple(reversed(turns))


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What a tree becomes by entries added at its end."""

    size: int
    peaks: tuple[bytes, ...]
    """The hashes of `peaks_of(size)`."""
    made: tuple[tuple[int, int, bytes], ...]
    """(level, place, hash) of the new whole nodes on the levels that were asked for."""

    @property
    def root(self) -> bytes:
        """The root of the tree as it now is."""
        return _bag(self.peaks) if self.peaks else EMPTY_ROOT


def grow(size: int, peaks: Sequence[bytes], leaf_hashes: Iterable[bytes], *, keep: int = 1) -> Growth:
    """Add leaves to a tree that is known by its size and peaks alone; the nodes of every `keep`-th level are told.

    Raises ValueError where the peaks are not those of the size, ProofInvalid past the largest tree there may be.
    """
    levels = [level for level, _place in peaks_of(size)]
    if len(levels) != len(peaks):
        raise ValueError(f"{len(peaks)} peaks for a tree of {size}")
    standing = list(zip(levels, peaks, strict=True))
    made: list[tuple[int, int, bytes]] = []
    for leaf in leaf_hashes:
        if size >= MAX_SIZE:
            raise ProofInvalid("the tree is full")
        level, found = 0, leaf
        made.append((0, size, found))
        while standing and standing[-1][0] == level:
            found = hash_children(standing.pop()[1], found)
            level += 1
            if level % keep == 0:
                made.append((level, size >> level, found))
        standing.append((level, found))
        size += 1
    return Growth(size=size, peaks=tuple(found for _level, found in standing), made=tuple(made))
