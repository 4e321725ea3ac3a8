"""The whole way of one document for `bench.delegation`: printed, entered in the register, witnessed, sealed, bundled.

The register is on the disk (SQLite WAL, synchronous=FULL) with its key in memory; the witness is the service that
others run, called in this process. What a network adds is not in it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.audit.leaf import SALT_SIZE, Happening, Leaf, commitment
from broker.audit.note import COSIGNATURE, NoteKey
from broker.audit.policy import read_policy
from broker.delegation import bundle as bundles
from broker.delegation.bundle import Bundle, Papers
from broker.errors import OutboundFailed
from broker.flows import register
from broker.flows.register_ports import Register
from broker.keys.algorithms import signer
from broker.keys.live import LiveKeys, open_keys
from broker.keys.rotation import create
from broker.storage import migrations
from broker.storage.engine import open_engine
from broker.storage.store import SQLStore
from broker.witness.service import WitnessService
from broker.witness.state import WitnessState

ORIGIN = "op.example/register-log/2026"


@dataclass
class _Beside:
    """A witness that is asked by a call."""

    service: WitnessService

    def add_checkpoint(self, _url: str, body: bytes) -> str:
        told: list[str] = []
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/add-checkpoint",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        answer = b"".join(self.service(environ, lambda status, _headers, _info=None: told.append(status)))  # type: ignore[arg-type]  # nothing is written by it
        if not told[0].startswith("200"):
            raise OutboundFailed(told[0])
        return answer.decode()


@dataclass
class Office:
    """A register with one witness."""

    store: SQLStore
    keys: LiveKeys
    register: Register
    policy: bytes
    ports: Any = field(init=False)

    def __post_init__(self) -> None:
        self.ports = SimpleNamespace(
            store=self.store, keys=self.keys, clock=lambda: datetime.now(UTC), register=self.register
        )

    def issued(self, record: bytes, *, printed: Callable[[bytes], bytes], sealed: Callable[[bytes], bytes]) -> bytes:
        """The bundle (zip) of one record; it is sealed when a witness has seen its entry."""
        unsigned, salt = printed(record), b"s" * SALT_SIZE
        leaf = Leaf(event=Happening.ISSUE, commit=commitment(salt, record, unsigned), at=datetime.now(UTC))
        with self.store.transaction() as tx:
            (logged,) = register.append(tx, self.keys, origin=ORIGIN, leaves=[leaf])
        register.witness(self.ports, self.register, origin=ORIGIN)
        with self.store.transaction() as tx:
            proof = register.proof(tx, origin=ORIGIN, index=logged.index).to_bytes()
        papers = Papers(pdf=sealed(unsigned), record=record, salt=salt, entry=logged.entry, proof=proof)
        return bundles.write(Bundle(chain=(papers,), policy=self.policy))


@contextmanager
def office(folder: Path) -> Iterator[Office]:
    """One with files of its own in a folder."""
    create(
        folder / "keys", "word", issuer="https://op.example", now=datetime.now(UTC), agent_root_out=folder / "root.json"
    )
    keys = open_keys(folder / "keys", "word")
    url = f"sqlite:///{folder / 'register.db'}"
    migrations.upgrade(url)
    engine = open_engine(url)
    log, _signer = register.log_key(keys, ORIGIN)
    own = signer(Ed25519PrivateKey.generate(), "EdDSA")
    public: Any = own.key.public_key()
    witness = NoteKey(name="w.example", type=COSIGNATURE, key=public.public_bytes_raw())
    state = WitnessState(folder / "witness.db")
    service = WitnessService(key=witness, signer=own, logs=(log,), state=state, clock=lambda: datetime.now(UTC))
    lines = f"witness w {witness.to_text()} https://w.example\nquorum w\n".encode()
    try:
        yield Office(
            store=SQLStore(engine),
            keys=keys,
            register=Register(policy=read_policy(lines), witnesses=_Beside(service)),
            policy=f"log {log.to_text()}\n".encode() + lines,
        )
    finally:
        state.close()
        engine.dispose()
