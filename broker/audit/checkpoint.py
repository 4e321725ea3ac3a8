"""A checkpoint: what a log says of its whole tree at one size, signed (C2SP tlog-checkpoint).

    <origin: the log's own address without scheme>
    <size>
    <root in base64>

No extension lines: what is not in these three cannot be audited.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from broker.audit.merkle import EMPTY_ROOT, HASH_SIZE
from broker.audit.note import Note, NoteKey, check_key_name, decimal, decode_base64, read_note, sign_note
from broker.errors import CheckpointInvalid
from broker.jose import Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A tree: whose, how many entries, and what they hash to."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        check_key_name(self.origin)
        if len(self.root) != HASH_SIZE or not 0 <= self.size < 2**63 or (self.size == 0 and self.root != EMPTY_ROOT):
            raise CheckpointInvalid("the size and root of a checkpoint do not fit")

    def to_text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode('ascii')}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCheckpoint:
    """A checkpoint that its log's key has signed; other lines of the note are not verified."""

    checkpoint: Checkpoint
    note: Note


def read_checkpoint(text: str) -> Checkpoint:
    """The text of a note as a checkpoint. Raises CheckpointInvalid; extension lines are refused."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise CheckpointInvalid("a checkpoint of ours has three lines")
    return Checkpoint(origin=lines[0], size=decimal(lines[1]), root=decode_base64(lines[2]))


def open_checkpoint(data: bytes | Note, *, keys: Iterable[NoteKey]) -> SignedCheckpoint:
    """A note that is a checkpoint of one of these logs, signed by the key of that name.

    Raises CheckpointInvalid: another form, an unknown log, no signature of it, or one that does not hold.
    """
    note = data if isinstance(data, Note) else read_note(data)
    checkpoint = read_checkpoint(note.text)
    signed = False
    for key in keys:
        line = note.by(key) if key.name == checkpoint.origin else None
        if line is None:
            continue
        if not key.holds(note.text.encode(), line.signature):
            raise CheckpointInvalid("the log's signature does not hold")
        signed = True
    if not signed:
        raise CheckpointInvalid("not signed by a log that is known here")
    return SignedCheckpoint(checkpoint=checkpoint, note=note)


def sign_checkpoint(checkpoint: Checkpoint, *, key: NoteKey, signer: Signer) -> Note:
    """The checkpoint under its log's signature. Raises CheckpointInvalid where the key is another log's."""
    if key.name != checkpoint.origin:
        raise CheckpointInvalid("the key is another log's")
    return sign_note(checkpoint.to_text(), key=key, signer=signer)
