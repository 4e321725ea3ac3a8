"""What a witness decides: has this log only ever grown, as far as I have seen it (C2SP tlog-witness)?

Pure: what was seen before comes in, what is refused goes out with the status that the protocol gives it. Whoever calls
stores the new state in one atomic step before a cosignature leaves.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from broker.audit.checkpoint import Checkpoint, open_checkpoint, read_checkpoint
from broker.audit.merkle import EMPTY_ROOT, HASH_SIZE, verify_consistency
from broker.audit.note import MAX_NOTE, Note, NoteKey, decimal, decode_base64, read_note
from broker.errors import CheckpointInvalid, ProofInvalid

MAX_SUBMISSION: Final = MAX_NOTE + 4096
MAX_HASHES: Final = 63


class Refusal(IntEnum):
    """HTTP statuses of add-checkpoint."""

    MALFORMED = 400
    UNSIGNED = 403
    UNKNOWN_LOG = 404
    CONFLICT = 409
    UNPROVED = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why a checkpoint is not cosigned. `size` is that of the last one that was, where the log should know it."""

    status: Refusal
    reason: str
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The newest tree of a log that was cosigned; (0, EMPTY_ROOT) before the first."""

    size: int = 0
    root: bytes = EMPTY_ROOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A checkpoint that is handed in, and the proof that it follows another. Nothing of it is verified."""

    old_size: int
    proof: tuple[bytes, ...]
    note: Note
    checkpoint: Checkpoint

    def to_bytes(self) -> bytes:
        """The body of add-checkpoint."""
        lines = [f"old {self.old_size}", *(b64encode(each).decode("ascii") for each in self.proof), "", ""]
        return "\n".join(lines).encode("ascii") + self.note.to_bytes()


def read_submission(body: bytes) -> Submission:
    """Take the body of add-checkpoint apart. Raises CheckpointInvalid (status 400)."""
    if len(body) > MAX_SUBMISSION:
        raise CheckpointInvalid(f"more than {MAX_SUBMISSION} bytes")
    head, gap, rest = body.partition(b"\n\n")
    lines = head.decode("ascii", "replace").split("\n")
    if not gap or not lines[0].startswith("old ") or len(lines) > 1 + MAX_HASHES:
        raise CheckpointInvalid("no old size, or too long a proof")
    proof = tuple(decode_base64(line) for line in lines[1:])
    if any(len(each) != HASH_SIZE for each in proof):
        raise CheckpointInvalid("a proof is of hashes")
    old_size, note = decimal(lines[0].removeprefix("old ")), read_note(rest)
    return Submission(old_size=old_size, proof=proof, note=note, checkpoint=read_checkpoint(note.text))


def judge(submission: Submission, *, keys: Iterable[NoteKey], seen: Seen) -> Refused | None:
    """May this checkpoint be cosigned, by one who has `seen` the log before and knows the logs of `keys`?

    None where it may. The order is the protocol's: unknown log, no signature, old size, proof.
    """
    checkpoint, size, root = submission.checkpoint, seen.size, seen.root
    known = [key for key in keys if key.name == checkpoint.origin]
    if not known:
        return Refused(status=Refusal.UNKNOWN_LOG, reason="not a log that is known here")
    try:
        open_checkpoint(submission.note, keys=known)
    except CheckpointInvalid as wrong:
        return Refused(status=Refusal.UNSIGNED, reason=str(wrong))
    if submission.old_size > checkpoint.size:
        return Refused(status=Refusal.MALFORMED, reason="smaller than its old size")
    if submission.old_size != size:
        return Refused(status=Refusal.CONFLICT, reason="another size was cosigned last", size=size)
    if checkpoint.size == size and checkpoint.root != root:
        return Refused(status=Refusal.CONFLICT, reason="two roots for one size", size=size)
    try:
        if size:
            verify_consistency(
                size1=size, root1=root, size2=checkpoint.size, root2=checkpoint.root, proof=submission.proof
            )
        elif submission.proof:
            raise ProofInvalid("nothing is proved from an empty tree")
    except ProofInvalid as wrong:
        return Refused(status=Refusal.UNPROVED, reason=str(wrong))
    return None
