"""Witnesses of a register without sockets: the service that others run, called in this process."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.audit.leaf import Happening, Leaf
from broker.audit.note import COSIGNATURE, NoteKey, decimal
from broker.audit.policy import Policy, read_policy
from broker.errors import OutboundFailed
from broker.flows.register_ports import Register
from broker.keys.algorithms import signer
from broker.witness.service import WitnessService
from broker.witness.state import WitnessState

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def leaf(number: int, event: Happening = Happening.ISSUE) -> Leaf:
    return Leaf(event=event, commit=number.to_bytes(32, "big"), at=NOW)


def witness_service(
    folder: Path, name: str, *logs: NoteKey, clock: Callable[[], datetime] = lambda: NOW
) -> WitnessService:
    """A witness with a key of its own and its state in `folder`."""
    own = signer(Ed25519PrivateKey.generate(), "EdDSA")
    public = own.key.public_key().public_bytes_raw()  # type: ignore[union-attr]  # it is Ed25519's
    return WitnessService(
        key=NoteKey(name=name, type=COSIGNATURE, key=public),
        signer=own,
        logs=logs,
        state=WitnessState(folder / f"{name}.db"),
        clock=clock,
    )


def ask(service: WitnessService, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    """One request to it: status, headers, body."""
    told: list[tuple[str, list[tuple[str, str]]]] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    answered = b"".join(service(environ, lambda status, headers, _info=None: told.append((status, headers))))  # type: ignore[arg-type]  # what WSGI writes with is not used
    ((status, headers),) = told
    return int(status.split()[0]), dict(headers), answered


@dataclass
class Neighbours:
    """Stands in for the network only: who answers at which address."""

    services: dict[str, WitnessService] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def add_checkpoint(self, url: str, body: bytes) -> str | int:
        self.asked.append(url)
        if url in self.silent or url not in self.services:
            raise OutboundFailed(f"{url}: nobody answers")
        status, _headers, answer = ask(self.services[url], "POST", "/add-checkpoint", body)
        if status == 409:
            return decimal(answer.decode().removesuffix("\n"))
        if status != 200:
            raise OutboundFailed(f"{url}: status {status}")
        return answer.decode()


def register_of(neighbours: Neighbours, *, quorum: str = "all") -> Register:
    """A policy of all these witnesses."""
    lines = [f"witness w{n} {each.key.to_text()} {url}" for n, (url, each) in enumerate(neighbours.services.items())]
    names = " ".join(f"w{n}" for n in range(len(lines)))
    text = "\n".join([*lines, f"group g {quorum} {names}" if lines else "", "quorum g" if lines else "quorum none", ""])
    return Register(policy=read_policy(text.encode()), witnesses=neighbours)


def officers_policy(log: NoteKey, register: Register) -> Policy:
    """What an officer's own file would say: this log, these witnesses."""
    keys = [f"witness {each.name} {each.key.to_text()}" for each in register.policy.witnesses]
    group = register.policy.groups.get("g")
    rule = [f"group g {group.threshold} {' '.join(group.members)}", "quorum g"] if group else ["quorum none"]
    return read_policy("\n".join([f"log {log.to_text()}", *keys, *rule, ""]).encode())
