"""An operator with a seal, a register and a witness, who issues powers of attorney for an officer to check."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from broker.audit.leaf import Happening, Leaf, commitment
from broker.delegation import grant_document as grants
from broker.delegation import record as records
from broker.delegation import statement as statements
from broker.delegation.bundle import Bundle, Papers, StatusPaper
from broker.delegation.examination import Trust
from broker.delegation.grant import Grant
from broker.delegation.members import JST
from broker.delegation.record import Evidence, Proof, Record, StatementRecord
from broker.delegation.rendering import Renderer
from broker.delegation.statement import Statement
from broker.delegation.status_list import TYP, Status, claims_of, epoch_leaf, make_list
from broker.flows.register import Logged, append, log_key, proof, witness
from broker.jose import public_jwk, sign_jws
from broker.keys.algorithms import signer
from broker.keys.live import open_keys
from broker.keys.rotation import create
from broker.storage import migrations
from broker.storage.engine import open_engine
from broker.storage.store import SQLStore
from tests.broker.delegation.sealed import seal_workshop, sealed_by, stamp
from tests.broker.delegation.test_grant import GRANT
from tests.broker.delegation.workshop import AT, Workshop
from tests.registerhouse import Neighbours, officers_policy, register_of, witness_service

ORIGIN = "broker.example/register-log/2026"
LIST = "https://broker.example/status/1"
TERM = timedelta(days=300)
HELD = replace(GRANT, begins=AT.astimezone(JST), ends=(AT + TERM).astimezone(JST))
DAY = AT + timedelta(hours=2)
"""When the officer looks."""


@dataclass
class Operator:
    """Everything on real functions; only the network between register and witness is a call."""

    folder: Path
    workshop: Workshop = field(default_factory=seal_workshop)
    clock: datetime = AT - timedelta(minutes=5)

    origin: str = ORIGIN
    keys: Any = None
    store: Any = None

    def __post_init__(self) -> None:
        if self.keys is None:
            self._own_house()
        self.log_key, _signer = log_key(self.keys, self.origin)
        seen_by = witness_service(self.folder, "w.example", self.log_key, clock=lambda: self.clock)
        self.register = register_of(Neighbours({"https://w.example": seen_by}))
        self.status_key = signer(ec.generate_private_key(ec.SECP256R1()), "ES256")
        self.renderer = Renderer()

    def _own_house(self) -> None:
        create(
            self.folder / "keys",
            "word",
            issuer="https://broker.example",
            now=self.clock,
            agent_root_out=self.folder / "root.json",
        )
        self.keys = open_keys(self.folder / "keys", "word")
        url = f"sqlite:///{self.folder / 'broker.db'}"
        migrations.upgrade(url)
        self.engine = open_engine(url)
        self.store = SQLStore(self.engine)

    @property
    def status_jwk(self) -> dict[str, Any]:
        return {**public_jwk(self.status_key.key), "kid": self.status_key.kid}

    @property
    def trust(self) -> Trust:
        return Trust(
            anchors=tuple(self.workshop.anchors),
            logs=officers_policy(self.log_key, self.register),
            status_keys={"keys": [self.status_jwk]},
        )

    @property
    def policy_lines(self) -> bytes:
        """The tlog-policy of this register."""
        (seen_by,) = self.register.policy.witnesses
        return (
            f"log {self.log_key.to_text()}\nwitness w0 {seen_by.key.to_text()}\ngroup g all w0\nquorum g\n"
        ).encode()

    def log(self, leaf: Leaf) -> tuple[bytes, bytes]:
        """The entry and its proof, once the witness has seen it."""
        with self.store.transaction() as tx:
            (logged,) = append(tx, self.keys, origin=self.origin, leaves=[leaf])
        return logged.entry, self._proof(logged)

    def _proof(self, logged: Logged) -> bytes:
        ports = SimpleNamespace(store=self.store, keys=self.keys, clock=lambda: self.clock, register=self.register)
        assert witness(ports, self.register, origin=self.origin)["published"] == 1  # type: ignore[arg-type]  # all it looks at
        with self.store.transaction() as tx:
            return proof(tx, origin=self.origin, index=logged.index).to_bytes()

    def record(self, grant: Grant, place: int) -> bytes:
        written = grants.write(grant)
        return records.write(
            Record(
                grant_bytes=written,
                grant=grants.read(written),
                issued_at=self.clock.astimezone(JST),
                evidence=(Evidence(shows=Proof.PRINCIPAL_FRAME, sha256="ab" * 32, at=HELD.begins),),
                status_list=LIST,
                status_index=place,
                log_origin=self.origin,
                template=f"record:{self.renderer.template_hash}",
            )
        )

    def issue(self, grant: Grant = HELD, *, place: int = 4711, salt: bytes = b"s" * 32, logged: bool = True) -> Papers:
        """A sealed document with its papers; without `logged` one that never was in the register."""
        self.clock = AT - timedelta(minutes=5)
        return self.issue_record(self.record(grant, place), salt=salt, logged=logged)

    def state(self, statement: Statement, *, place: int = 4711) -> Papers:
        """The same of a statement."""
        self.clock = AT - timedelta(minutes=5)
        written = statements.write(statement)
        record = records.write_statement(
            StatementRecord(
                statement_bytes=written,
                statement=statements.read(written),
                issued_at=self.clock.astimezone(JST),
                evidence=(Evidence(shows=Proof.PRINCIPAL_SIGNATURE, sha256="ab" * 32, at=HELD.begins),),
                status_list=LIST,
                status_index=place,
                log_origin=self.origin,
                template=f"record:{self.renderer.template_hash}",
            )
        )
        return self.issue_record(record)

    def issue_record(self, record: bytes, *, salt: bytes = b"s" * 32, logged: bool = True) -> Papers:
        unsigned = self.renderer.render(record)
        commit = commitment(salt, record, unsigned)
        entry, shown = None, None
        if logged:
            entry, shown = self.log(Leaf(event=Happening.ISSUE, commit=commit, at=self.clock))
        sealed = sealed_by(self.workshop, unsigned, stamp=stamp(self.workshop, at=AT), at=AT)
        return Papers(pdf=sealed, record=record, salt=salt, entry=entry, proof=shown)

    def epoch(self, states: dict[int, Status] | None = None, *, at: datetime, logged: bool = True) -> StatusPaper:
        """A status list of that time."""
        self.clock = at
        claims = claims_of(
            make_list(dict(states or {})),
            uri=LIST,
            now=at,
            ttl=timedelta(minutes=10),
            lifetime=timedelta(days=1),
        )
        token = sign_jws(claims, signer=self.status_key, typ=TYP).encode()
        entry, shown = self.log(epoch_leaf(token, at=at, prev=None)) if logged else (None, None)
        return StatusPaper(token=token, entry=entry, proof=shown)

    def bundle(self, *chain: Papers, epochs: tuple[StatusPaper, ...] = ()) -> Bundle:
        return Bundle(chain=chain, statuses=epochs, policy=self.policy_lines)
