"""A witness's cosignature: at this time the log had this tree, and it began with all that I had seen before
(C2SP tlog-cosignature, type 0x04).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from broker.audit.note import COSIGNATURE, Note, NoteKey, SignatureLine
from broker.errors import CheckpointInvalid
from broker.jose import Signer

_SIZE: Final = 8 + 64
_LATEST: Final = 253_402_300_799  # the last second of the year 9999, the last that a datetime can say


def _message(text: str, timestamp: int) -> bytes:
    return f"cosignature/v1\ntime {timestamp}\n{text}".encode()


def cosign(text: str, *, key: NoteKey, signer: Signer, at: datetime) -> SignatureLine:
    """The line of a witness under a checkpoint's text. Raises CheckpointInvalid where the key is no witness's."""
    if key.type != COSIGNATURE:
        raise CheckpointInvalid("not a witness's key")
    timestamp = int(at.timestamp())
    signature = timestamp.to_bytes(8, "big") + signer.sign(_message(text, timestamp))
    return SignatureLine(name=key.name, id=key.id, signature=signature)


def cosigned_at(note: Note, *, key: NoteKey) -> datetime | None:
    """When this witness cosigned the note; None where no line is its. Raises CheckpointInvalid: one does not hold."""
    line = note.by(key) if key.type == COSIGNATURE else None
    if line is None:
        return None
    timestamp = int.from_bytes(line.signature[:8], "big")
    if (
        len(line.signature) != _SIZE
        or not 0 < timestamp <= _LATEST
        or not key.holds(_message(note.text, timestamp), line.signature[8:])
    ):
        raise CheckpointInvalid("a witness's cosignature does not hold")
    return datetime.fromtimestamp(timestamp, UTC)
