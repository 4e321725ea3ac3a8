"""The tree against numbers that others printed, against RFC 6962's own definitions, and against what is hostile."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.audit.merkle import (
    EMPTY_ROOT,
    consistency_proof,
    grow,
    hash_children,
    hash_leaf,
    inclusion_proof,
    peaks_of,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from broker.errors import BrokerError, ProofInvalid

TREES = json.loads((Path(__file__).parents[2] / "vectors" / "merkle" / "trees.json").read_text())
LEAVES = [hash_leaf(bytes.fromhex(entry)) for entry in TREES["entries"]]
ROOTS = {int(size): base64.b64decode(root) for size, root in TREES["roots"].items()}
INCLUSION: list[dict[str, Any]] = [
    {
        "leaf_hash": LEAVES[each["index"]],
        "index": each["index"],
        "tree_size": each["size"],
        "proof": [base64.b64decode(part) for part in each["proof"]],
        "root": ROOTS[each["size"]],
    }
    for each in TREES["inclusion"]
]
CONSISTENCY: list[dict[str, Any]] = [
    {
        "size1": each["size1"],
        "root1": ROOTS[each["size1"]],
        "size2": each["size2"],
        "root2": ROOTS[each["size2"]],
        "proof": [base64.b64decode(part) for part in each["proof"]],
    }
    for each in TREES["consistency"]
]


# --- RFC 6962 §2.1, word for word ------------------------------------------------------------------------------------


def split(count: int) -> int:
    return 1 << (count - 1).bit_length() - 1


def mth(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return hash_children(mth(leaves[:k]), mth(leaves[k:]))


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    return [*path(m, leaves[:k]), mth(leaves[k:])] if m < k else [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole=whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], whole=False), mth(leaves[:k])]


def leaves_of(count: int) -> list[bytes]:
    return [hash_leaf(str(number).encode()) for number in range(count)]


def nodes_of(leaves: Sequence[bytes]) -> Any:
    return lambda level, place: mth(leaves[place << level : (place + 1) << level])


# --- numbers that others printed -------------------------------------------------------------------------------------


def test_the_roots_are_those_of_the_published_reference_tree() -> None:
    for size, root in ROOTS.items():
        assert root_of(size, nodes_of(LEAVES)) == mth(LEAVES[:size]) == root
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("case", INCLUSION, ids=lambda case: f"{case['index']}-of-{case['tree_size']}")
def test_the_published_inclusion_proofs_hold_and_are_ours(case: dict[str, Any]) -> None:
    verify_inclusion(**case)
    assert list(inclusion_proof(case["index"], case["tree_size"], nodes_of(LEAVES))) == case["proof"]


@pytest.mark.parametrize("case", CONSISTENCY, ids=lambda case: f"{case['size1']}-{case['size2']}")
def test_the_published_consistency_proofs_hold_and_are_ours(case: dict[str, Any]) -> None:
    verify_consistency(**case)
    assert list(consistency_proof(case["size1"], case["size2"], nodes_of(LEAVES))) == case["proof"]


def flipped(data: bytes, bit: int) -> bytes:
    return bytes(byte ^ (1 << bit % 8 if place == bit // 8 else 0) for place, byte in enumerate(data))


def distorted_proofs(proof: list[bytes], roots: list[bytes]) -> list[list[bytes]]:
    """Each hash changed in one bit, left out, doubled and emptied; strange hashes and the roots before and after."""
    proofs = []
    for place, part in enumerate(proof):
        proofs += [
            [*proof[:place], other, *proof[place + 1 :]] for other in (flipped(part, 4), flipped(part, 255), b"")
        ]
        proofs += [[*proof[:place], *proof[place + 1 :]], [*proof[:place], part, part, *proof[place + 1 :]]]
    for strange in (b"", b"\x00" * 32, *roots):
        proofs += [[strange, *proof], [*proof, strange]]
    return [*proofs, [], proof[::-1], proof[:-1]]


@pytest.mark.parametrize("case", INCLUSION, ids=lambda case: f"{case['index']}-of-{case['tree_size']}")
def test_every_distortion_of_an_inclusion_proof_is_refused(case: dict[str, Any]) -> None:
    index, size = case["index"], case["tree_size"]
    changes: list[dict[str, Any]] = [{"index": number} for number in (index - 1, index + 1, index ^ 2, index + 2**63)]
    changes += [{"tree_size": number} for number in (0, size * 2, size // 2, size + 2**63, -size)]
    changes += [{"leaf_hash": other} for other in (b"", b"wrong leaf hash", flipped(LEAVES[index], 0))]
    changes += [{"root": other} for other in (b"", flipped(case["root"], 200), hashlib.sha256(b"").digest())]
    changes += [{"proof": p} for p in distorted_proofs(case["proof"], [case["root"], case["leaf_hash"]])]
    refused = 0
    for change in changes:
        if {**case, **change} == case:
            continue
        with pytest.raises(ProofInvalid):
            verify_inclusion(**{**case, **change})
        refused += 1
    assert refused >= 15


@pytest.mark.parametrize("case", CONSISTENCY, ids=lambda case: f"{case['size1']}-{case['size2']}")
def test_every_distortion_of_a_consistency_proof_is_refused(case: dict[str, Any]) -> None:
    first, second = case["size1"], case["size2"]
    changes: list[dict[str, Any]] = [{"size1": number} for number in (first - 1, first + 1, first ^ 2, 0, -first)]
    changes += [{"size2": number} for number in (second * 2, second // 2, 0, -second)]
    changes += [{"root1": other} for other in (b"WrongRoot", flipped(case["root1"], 9), EMPTY_ROOT)]
    changes += [{"root2": other} for other in (b"WrongRoot", flipped(case["root2"], 9), EMPTY_ROOT)]
    changes += [{"root1": case["root2"], "root2": case["root1"]}]
    changes += [{"proof": p} for p in distorted_proofs(case["proof"], [case["root1"], case["root2"]])]
    refused = 0
    for change in changes:
        if {**case, **change} == case:
            continue
        with pytest.raises(ProofInvalid):
            verify_consistency(**{**case, **change})
        refused += 1
    assert refused >= 15


@pytest.mark.parametrize(("size1", "size2", "proof"), [(0, 1, []), (0, 1, [b"\x00" * 32]), (0, 2**63, []), (2, 1, [])])
def test_nothing_is_proved_from_an_empty_tree_nor_backwards(size1: int, size2: int, proof: list[bytes]) -> None:
    for root1 in (EMPTY_ROOT, ROOTS[1], b""):
        with pytest.raises(ProofInvalid):
            verify_consistency(size1=size1, root1=root1, size2=size2, root2=ROOTS[1], proof=proof)


def test_of_equal_sizes_the_roots_are_equal_and_the_proof_is_empty() -> None:
    for size in (0, 1, 7):
        verify_consistency(size1=size, root1=ROOTS[1], size2=size, root2=ROOTS[1], proof=[])
        for root2, proof in ((ROOTS[2], []), (ROOTS[1], [ROOTS[1]])):
            with pytest.raises(ProofInvalid):
                verify_consistency(size1=size, root1=ROOTS[1], size2=size, root2=root2, proof=proof)


# --- the whole of a small world, and hostile values ------------------------------------------------------------------


def test_in_every_tree_of_up_to_40_entries_every_proof_is_rfc6962s_and_holds() -> None:
    for size in range(1, 41):
        leaves = leaves_of(size)
        nodes, root = nodes_of(leaves), mth(leaves)
        assert root_of(size, nodes) == root
        for index in range(size):
            proof = inclusion_proof(index, size, nodes)
            assert list(proof) == path(index, leaves)
            verify_inclusion(leaf_hash=leaves[index], index=index, tree_size=size, proof=proof, root=root)
            other = consistency_proof(index + 1, size, nodes)
            assert list(other) == subproof(index + 1, leaves)
            verify_consistency(size1=index + 1, root1=mth(leaves[: index + 1]), size2=size, root2=root, proof=other)


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), max_size=8), st.sampled_from([1, 8]))
def test_a_tree_that_grows_in_any_steps_is_the_tree_made_at_once(steps: list[int], keep: int) -> None:
    leaves, size, peaks, made = leaves_of(sum(steps)), 0, (), {}
    for step in steps:
        growth = grow(size, peaks, leaves[size : size + step], keep=keep)
        made |= {(level, place): found for level, place, found in growth.made}
        size, peaks = growth.size, growth.peaks
        assert growth.root == mth(leaves[:size])
        assert list(peaks) == [nodes_of(leaves)(*each) for each in peaks_of(size)]
    whole = {(level, place) for level in range(0, 12, keep) for place in range(size >> level)}
    assert made == {each: nodes_of(leaves)(*each) for each in whole}


def test_a_tree_is_not_grown_on_peaks_of_another_size_nor_past_the_largest() -> None:
    with pytest.raises(ValueError, match="1 peaks for a tree of 3"):
        grow(3, [ROOTS[1]], [])
    with pytest.raises(ProofInvalid, match="full"):
        grow(2**63 - 1, [ROOTS[1]] * 63, [ROOTS[1]])


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=4),
    st.binary(max_size=40),
    st.binary(min_size=32, max_size=32),
    st.lists(st.one_of(st.binary(min_size=32, max_size=32), st.binary(max_size=3), st.none()), max_size=200),
    st.integers(0, 20),
)


@settings(deadline=None, max_examples=300)
@given(anything, anything, anything, anything, anything)
def test_hostile_values_raise_nothing_but_our_errors(a: Any, b: Any, c: Any, d: Any, e: Any) -> None:
    with pytest.raises(BrokerError):
        verify_inclusion(leaf_hash=a, index=b, tree_size=c, proof=d, root=e)
    try:
        verify_consistency(size1=a, root1=b, size2=c, root2=d, proof=e)
    except BrokerError:
        return
    assert (a, b) == (c, d)


@pytest.mark.parametrize("size", [2**62, 2**63, 2**64 - 1, 2**64, 2**5000, True, 8.0, "8", None])
def test_sizes_that_no_tree_has_are_refused(size: Any) -> None:
    whole = dict(INCLUSION[1])
    with pytest.raises(ProofInvalid):
        verify_inclusion(**{**whole, "tree_size": size})
    with pytest.raises(ProofInvalid):
        verify_inclusion(**{**whole, "index": size})
    for name in ("size1", "size2"):
        with pytest.raises(ProofInvalid):
            verify_consistency(**{**CONSISTENCY[2], name: size})


def test_proofs_that_are_no_lists_of_hashes_are_refused() -> None:
    for proof in (None, b"\x00" * 32, "text", iter([]), {}, [b"\x00" * 32] * 131, ["a" * 32], [bytearray(32)] * 3):
        with pytest.raises(ProofInvalid):
            verify_inclusion(**{**INCLUSION[1], "proof": proof})
        with pytest.raises(ProofInvalid):
            verify_consistency(**{**CONSISTENCY[1], "proof": proof})


def test_there_are_no_proofs_of_what_is_not_there() -> None:
    nodes = nodes_of(LEAVES)
    for index, size in ((8, 8), (-1, 8), (0, 0)):
        with pytest.raises(ValueError, match="no entry"):
            inclusion_proof(index, size, nodes)
    for size1, size2 in ((0, 8), (8, 7), (-1, 1)):
        with pytest.raises(ValueError, match="nothing to be proved"):
            consistency_proof(size1, size2, nodes)
