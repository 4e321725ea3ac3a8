"""A proof that travels with a record: its place in the log, the way to the root, the checkpoint (C2SP tlog-proof)."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

from broker.audit.merkle import HASH_SIZE, hash_leaf, verify_inclusion
from broker.audit.note import MAX_NOTE, Note, decimal, decode_base64, read_note
from broker.audit.policy import Policy, Witnessed
from broker.errors import CheckpointInvalid

_FIRST: Final = "c2sp.org/tlog-proof@v1"
_MAX_HASHES: Final = 63
MAX_PROOF: Final = MAX_NOTE + 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TlogProof:
    """A proof as it is written; nothing of it is verified."""

    index: int
    hashes: tuple[bytes, ...]
    note: Note
    extra: bytes = b""
    """Whatever the application put in; nobody vouches for it."""

    def to_bytes(self) -> bytes:
        """The contents of a `.tlog-proof` file."""
        lines = [_FIRST]
        if self.extra:
            lines.append(f"extra {base64.b64encode(self.extra).decode('ascii')}")
        lines.append(f"index {self.index}")
        lines += [base64.b64encode(each).decode("ascii") for each in self.hashes]
        return "\n".join([*lines, "", ""]).encode() + self.note.to_bytes()

    def verify(self, entry: bytes, *, policy: Policy) -> Witnessed:
        """Prove that `entry` stands in a log of this policy, as a quorum of its witnesses saw it.

        Raises CheckpointInvalid, WitnessMissing, ProofInvalid.
        """
        witnessed = policy.judge(self.note)
        checkpoint = witnessed.checkpoint
        verify_inclusion(
            leaf_hash=hash_leaf(entry),
            index=self.index,
            tree_size=checkpoint.size,
            proof=self.hashes,
            root=checkpoint.root,
        )
        return witnessed


def read_proof(data: bytes) -> TlogProof:
    """The contents of a `.tlog-proof` file. Raises CheckpointInvalid."""
    if type(data) is not bytes or len(data) > MAX_PROOF:
        raise CheckpointInvalid(f"a proof is at most {MAX_PROOF} bytes")
    head, gap, note = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as broken:
        raise CheckpointInvalid("a proof is ASCII above its checkpoint") from broken
    if not gap or lines.pop(0) != _FIRST:
        raise CheckpointInvalid("not a tlog-proof of version 1")
    extra = b""
    if lines and lines[0].startswith("extra "):
        extra = decode_base64(lines.pop(0).removeprefix("extra "))
    if not lines or not lines[0].startswith("index "):
        raise CheckpointInvalid("a proof without an index")
    index = decimal(lines.pop(0).removeprefix("index "))
    hashes = tuple(decode_base64(line) for line in lines)
    if len(hashes) > _MAX_HASHES or any(len(each) != HASH_SIZE for each in hashes):
        raise CheckpointInvalid(f"a proof has at most {_MAX_HASHES} hashes of {HASH_SIZE} bytes")
    return TlogProof(index=index, hashes=hashes, note=read_note(note), extra=extra)
