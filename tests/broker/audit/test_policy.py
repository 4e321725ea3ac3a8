"""Whom an officer believes: the policy file, quorums, and proofs that are judged by it alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.audit.merkle import hash_leaf
from broker.audit.policy import MAX_POLICY, Policy, read_policy
from broker.audit.tlog_proof import MAX_PROOF, TlogProof, read_proof
from broker.errors import BrokerError, CheckpointInvalid, ProofInvalid, WitnessMissing
from tests.broker.audit.loghouse import NOW, ORIGIN, log_of, witness

LOG = log_of(70)
WITNESSES = [witness(f"w{number}.example") for number in range(1, 6)]
KEYS = [each.key.to_text() for each in WITNESSES]
TEXT = f"""
# two of ours, and one of theirs
log {LOG.key.to_text()} https://broker.example/register-log/2026
 witness X1\t{KEYS[0]} https://w1.example/
witness X2 {KEYS[1]}
witness X3 {KEYS[2]}
group X 2 X1 X2 X3
witness Y1 {KEYS[3]}
witness 証人 {KEYS[4]}
group Y any Y1 証人
group both all X Y
quorum both
"""


def test_a_quorum_is_what_the_groups_say() -> None:
    policy = read_policy(TEXT.encode())
    assert [log.key.name for log in policy.logs] == [ORIGIN]
    assert [each.url for each in policy.witnesses] == ["https://w1.example/", "", "", "", ""]
    for names, enough in (
        ({"X1", "X2", "Y1"}, True),
        ({"X1", "X3", "証人"}, True),
        ({"X1", "X2", "X3"}, False),
        ({"X1", "Y1", "証人"}, False),
        ({"both", "X", "Y"}, False),
        (set(), False),
    ):
        assert policy.satisfied_by(names) is enough
    assert read_policy(b"quorum none").satisfied_by(())


def test_a_checkpoint_is_judged_by_the_cosignatures_that_are_known() -> None:
    policy, note = read_policy(TEXT.encode()), LOG.note()
    stranger = witness("w1.example")
    lines = [each.cosign(note, at=NOW + timedelta(seconds=at)) for at, each in enumerate(WITNESSES)]
    for some in ([], lines[:3], [*lines[:1], stranger.cosign(note), lines[3]]):
        with pytest.raises(WitnessMissing):
            policy.judge(note.with_lines(some))
    judged = policy.judge(note.with_lines([stranger.cosign(note), lines[0], lines[2], lines[4]]).to_bytes())
    assert judged.checkpoint == LOG.checkpoint()
    assert judged.cosigned == {
        "X1": NOW,
        "X3": NOW + timedelta(seconds=2),
        "証人": NOW + timedelta(seconds=4),
    }
    broken = replace(lines[3], signature=lines[4].signature)
    with pytest.raises(CheckpointInvalid):
        policy.judge(note.with_lines([lines[0], lines[1], lines[4], broken]))
    with pytest.raises(CheckpointInvalid):
        read_policy(b"quorum none").judge(note)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "quorum",
        "quorum X1",
        "quorum none\nquorum none",
        "quorum none none",
        f"witness none {KEYS[0]}\nquorum none",
        f"witness a {KEYS[0]}\nwitness a {KEYS[1]}\nquorum a",
        f"witness a {KEYS[0]}\nwitness b {KEYS[0]}\nquorum a",
        f"witness a {KEYS[0]} url url\nquorum a",
        f"witness a {LOG.key.to_text()}\nquorum a",
        f"log {KEYS[0]}\nquorum none",
        f"log {LOG.key.to_text()}\nlog {LOG.key.to_text()}\nquorum none",
        f"witness a {KEYS[0]}\ngroup g 2 a\nquorum g",
        f"witness a {KEYS[0]}\ngroup g 0 a\nquorum g",
        f"witness a {KEYS[0]}\ngroup g 01 a\nquorum g",
        f"witness a {KEYS[0]}\ngroup g most a\nquorum g",
        f"witness a {KEYS[0]}\ngroup g any\nquorum g",
        f"witness a {KEYS[0]}\ngroup g any a a\nquorum g",
        f"witness a {KEYS[0]}\ngroup g any a none\nquorum g",
        f"witness a {KEYS[0]}\ngroup g any a\ngroup h any a\nquorum h",
        f"group g any g\nquorum g\nwitness g {KEYS[0]}",
        f"witness a {KEYS[0]}\nquorum b\nwitness b {KEYS[1]}",
        f"witness a {KEYS[0]}\rquorum a",
        "quorum none\nsignature x",
        "quorum none\n\x00",
        "quorum none\n" + "#\n" * 1000,
        "#" + "x" * MAX_POLICY + "\nquorum none",
    ],
    ids=count(),  # a name of its content would be another in each worker
)
def test_a_policy_that_could_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(CheckpointInvalid):
        read_policy(text.encode())


@given(st.binary(max_size=300))
def test_bytes_that_are_no_policy_raise_nothing_but_our_errors(data: bytes) -> None:
    for text in (data, TEXT.encode() + data, data + TEXT.encode()):
        try:
            read = read_policy(text)
        except BrokerError:
            continue
        assert isinstance(read, Policy)


def cosigned_proof(index: int, *, extra: bytes = b"") -> TlogProof:
    note = LOG.note()
    return replace(LOG.proof(index, note.with_lines(each.cosign(note) for each in WITNESSES)), extra=extra)


def test_a_proof_travels_as_a_file_and_holds_for_its_entry_alone() -> None:
    policy = read_policy(TEXT.encode())
    proof = cosigned_proof(33, extra=b"context")
    data = proof.to_bytes()
    assert data.startswith(b"c2sp.org/tlog-proof@v1\nextra Y29udGV4dA==\nindex 33\n")
    assert read_proof(data) == proof
    assert read_proof(data).verify(b"entry 33", policy=policy).checkpoint == LOG.checkpoint()
    for entry in (b"entry 34", b"", b"\x00" + b"entry 33", hash_leaf(b"entry 33")):
        with pytest.raises(ProofInvalid):
            proof.verify(entry, policy=policy)
    with pytest.raises(ProofInvalid):
        replace(proof, index=32).verify(b"entry 33", policy=policy)
    with pytest.raises(WitnessMissing):
        replace(proof, note=LOG.note()).verify(b"entry 33", policy=policy)


def test_of_a_proof_no_bit_that_counts_can_be_changed() -> None:
    policy, data = read_policy(TEXT.encode()), cosigned_proof(7).to_bytes()
    believed = set()
    for bit in range(0, len(data) * 8, 7):
        changed = bytes(byte ^ (1 << bit % 8 if at == bit // 8 else 0) for at, byte in enumerate(data))
        try:
            read_proof(changed).verify(b"entry 7", policy=policy)
        except BrokerError:
            continue
        believed.add(bit // 8)
    # what is left is the name or key id of one witness more than the quorum needs: an unknown line is passed over
    names = [data.index(f"— {each.name}".encode()) for each in WITNESSES]
    assert all(any(0 <= at - name < 24 for name in names) for at in believed)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"@v1", b"@v2"),
        (b"index 33", b"index 033"),
        (b"index 33", b"index -1"),
        (b"index 33\n", b""),
        (b"extra ", b"extra"),
        (b"\n\n", b"\n"),
        (b"index", b"\nindex"),
    ],
)
def test_a_proof_has_one_spelling(before: bytes, after: bytes) -> None:
    data = cosigned_proof(33, extra=b"context").to_bytes()
    assert before in data
    with pytest.raises(CheckpointInvalid):
        read_proof(data.replace(before, after, 1))


def test_a_proof_is_bounded() -> None:
    long = replace(cosigned_proof(3), hashes=(b"\x00" * 32,) * 64)
    for data in (long.to_bytes(), b"c2sp.org/tlog-proof@v1\n" + b"x" * MAX_PROOF):
        with pytest.raises(CheckpointInvalid):
            read_proof(data)
