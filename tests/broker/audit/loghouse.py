"""A log and its witnesses in memory, with keys of their own: what the tests of the formats begin from."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from broker.audit.checkpoint import Checkpoint, sign_checkpoint
from broker.audit.cosignature import cosign
from broker.audit.merkle import (
    EMPTY_ROOT,
    Nodes,
    consistency_proof,
    hash_children,
    hash_leaf,
    inclusion_proof,
    root_of,
)
from broker.audit.note import COSIGNATURE, ED25519, Note, NoteKey, SignatureLine
from broker.audit.tlog_proof import TlogProof
from broker.keys.algorithms import SoftwareSigner, signer

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
ORIGIN = "broker.example/register-log/2026"


@dataclass
class Party:
    """A name with a key: a log or a witness."""

    name: str
    type: int = ED25519
    signer: SoftwareSigner = field(default_factory=lambda: signer(Ed25519PrivateKey.generate(), "EdDSA"))

    @property
    def key(self) -> NoteKey:
        public = self.signer.key.public_key()
        assert isinstance(public, Ed25519PublicKey)
        return NoteKey(name=self.name, type=self.type, key=public.public_bytes_raw())

    def cosign(self, note: Note, *, at: datetime = NOW) -> SignatureLine:
        return cosign(note.text, key=self.key, signer=self.signer, at=at)


def witness(name: str) -> Party:
    return Party(name=name, type=COSIGNATURE)


@dataclass
class Log(Party):
    """A log that keeps its entries in a list."""

    entries: list[bytes] = field(default_factory=list)

    def append(self, *entries: bytes) -> None:
        self.entries += entries

    @property
    def nodes(self) -> Nodes:
        leaves = [hash_leaf(entry) for entry in self.entries]

        def node(level: int, place: int) -> bytes:
            row = leaves[place << level : (place + 1) << level]
            while len(row) > 1:
                row = [hash_children(row[at], row[at + 1]) for at in range(0, len(row), 2)]
            return row[0]

        return node

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        size = len(self.entries) if size is None else size
        return Checkpoint(origin=self.name, size=size, root=root_of(size, self.nodes) if size else EMPTY_ROOT)

    def note(self, size: int | None = None) -> Note:
        return sign_checkpoint(self.checkpoint(size), key=self.key, signer=self.signer)

    def proof(self, index: int, note: Note, size: int | None = None) -> TlogProof:
        size = len(self.entries) if size is None else size
        return TlogProof(index=index, hashes=inclusion_proof(index, size, self.nodes), note=note)

    def consistency(self, old: int, new: int | None = None) -> tuple[bytes, ...]:
        return consistency_proof(old, len(self.entries) if new is None else new, self.nodes) if old else ()


def log_of(count: int, *, name: str = ORIGIN) -> Log:
    made = Log(name=name)
    made.append(*(f"entry {number}".encode() for number in range(count)))
    return made
