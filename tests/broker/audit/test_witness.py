"""What a witness cosigns, and the status of each refusal (tlog-witness)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.audit.checkpoint import sign_checkpoint
from broker.audit.witness import Seen, Submission, judge, read_submission
from broker.errors import BrokerError, CheckpointInvalid
from tests.broker.audit.loghouse import ORIGIN, Log, Party, log_of


def submission(log: Log, old: int, new: int | None = None) -> Submission:
    return Submission(old_size=old, proof=log.consistency(old, new), note=log.note(new), checkpoint=log.checkpoint(new))


def seen(log: Log, size: int) -> Seen:
    return Seen(size=size, root=log.checkpoint(size).root)


def test_a_log_that_only_grows_is_cosigned_at_every_step() -> None:
    log = log_of(40)
    for old in range(41):
        for new in range(old, 41, 3):
            handed = read_submission(submission(log, old, new).to_bytes())
            assert handed == submission(log, old, new)
            assert judge(handed, keys=[log.key], seen=seen(log, old)) is None


def test_an_unknown_log_is_404_and_an_unsigned_one_403() -> None:
    log = log_of(9)
    handed = submission(log, 0)
    for keys, status in (([], 404), ([Party(name="other.example").key], 404), ([Party(name=ORIGIN).key], 403)):
        refused = judge(handed, keys=keys, seen=Seen())
        assert refused is not None
        assert (refused.status, refused.size) == (status, None)
    forged = sign_checkpoint(log.checkpoint(), key=log.key, signer=Party(name=ORIGIN).signer)
    refused = judge(replace(handed, note=forged), keys=[log.key], seen=Seen())
    assert refused is not None
    assert refused.status == 403


@pytest.mark.parametrize(
    ("old", "new", "before", "status", "size"),
    [(5, 9, 4, 409, 4), (0, 9, 4, 409, 4), (9, 5, 9, 400, None), (4, 9, 0, 409, 0), (3, 4, 9, 409, 9)],
)
def test_an_old_size_is_the_one_that_was_cosigned_last(
    old: int, new: int, before: int, status: int, size: int | None
) -> None:
    log = log_of(9)
    proof = log.consistency(old, new) if old <= new else ()
    handed = replace(submission(log, 0, new), old_size=old, proof=proof)
    refused = judge(handed, keys=[log.key], seen=seen(log, before))
    assert refused is not None
    assert (refused.status, refused.size) == (status, size)


def test_a_fork_a_rollback_and_a_second_root_are_never_cosigned() -> None:
    log, fork = log_of(9), log_of(9)
    fork.signer = log.signer
    fork.entries[2] = b"rewritten"
    for handed, status in (
        (submission(fork, 5), 422),
        (replace(submission(fork, 9), proof=()), 409),
        (submission(fork, 4, 6), 409),
    ):
        refused = judge(handed, keys=[log.key], seen=seen(log, 9 if handed.old_size == 9 else 5))
        assert refused is not None
        assert refused.status == status
    right = submission(log, 5)
    for proof in ((), right.proof[:-1], (*right.proof, right.proof[0]), right.proof[::-1]):
        refused = judge(replace(right, proof=proof), keys=[log.key], seen=seen(log, 5))
        assert refused is not None
        assert refused.status == 422
    refused = judge(replace(submission(log, 0), proof=right.proof), keys=[log.key], seen=Seen())
    assert refused is not None
    assert refused.status == 422
    refused = judge(replace(submission(log, 9), proof=right.proof), keys=[log.key], seen=seen(log, 9))
    assert refused is not None
    assert refused.status == 422


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"old 5", b"old 05"),
        (b"old 5", b"old -5"),
        (b"old 5", b"new 5"),
        (b"old 5\n", b""),
        (b"old 5\n", b"old 5\nAAAA\n"),
        (b"old 5\n", b"old 5\n" + b"A" * 43 + b"=\n" * 64),
        (b"old 5\n", b"old 5\n\n"),
        (b"\n\n", b"\n"),
    ],
)
def test_a_body_in_another_form_is_refused(before: bytes, after: bytes) -> None:
    body = submission(log_of(9), 5).to_bytes()
    assert before in body
    with pytest.raises(CheckpointInvalid):
        read_submission(body.replace(before, after, 1))
    with pytest.raises(CheckpointInvalid):
        read_submission(body + b"x" * 70_000)


@given(st.binary(max_size=300))
def test_bytes_that_are_no_submission_raise_nothing_but_our_errors(data: bytes) -> None:
    with pytest.raises(BrokerError):
        read_submission(data)
