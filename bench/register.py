"""The register: entries each second, alone and in batches, on both kinds of key; proofs in a log of a million entries.

`python -m bench.register [--entries N]`; every commit is on the disk (SQLite WAL, synchronous=FULL).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from broker.audit.leaf import Happening, Leaf
from broker.audit.merkle import grow, hash_leaf
from broker.audit.policy import Policy, TrustedLog
from broker.audit.tiles import HEIGHT
from broker.flows import register
from broker.flows.register_ports import Register
from broker.keys.live import LiveKeys, open_keys
from broker.keys.pkcs11 import TokenURI
from broker.keys.rotation import create
from broker.storage import migrations
from broker.storage.engine import open_engine
from broker.storage.store import SQLStore
from sandbox.softhsm import make_token, why_not

ORIGIN: Final = "op.example/register-log/2026"
BATCHES: Final = (1, 16, 256)
SECONDS: Final = 3.0
FILL: Final = 10_000


def leaf(number: int) -> Leaf:
    return Leaf(event=Happening.ISSUE, commit=number.to_bytes(32, "big"), at=datetime(2026, 11, 21, tzinfo=UTC))


def keys_in(folder: Path, *, token: bool) -> LiveKeys:
    uri = TokenURI.parse(make_token(folder)) if token else None
    create(
        folder / "keys",
        "word",
        issuer="https://op.example",
        now=datetime.now(UTC),
        agent_root_out=folder / "root.json",
        token=uri,
    )
    return open_keys(folder / "keys", "word", token=uri)


def appended(store: SQLStore, keys: LiveKeys, batch: int) -> dict[str, float]:
    """Entries a second and the 99th percentile of a commit in milliseconds."""
    origin, number, took = f"{ORIGIN}-{batch}-{time.monotonic_ns()}", 0, []
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        start = time.perf_counter()
        with store.transaction() as tx:
            register.append(tx, keys, origin=origin, leaves=[leaf(number + at) for at in range(batch)])
        took.append(time.perf_counter() - start)
        number += batch
    return {
        "entries_per_second": round(number / (time.perf_counter() - began)),
        "commit_p50_ms": round(statistics.median(took) * 1000, 2),
        "commit_p99_ms": round(sorted(took)[int(len(took) * 0.99)] * 1000, 2),
    }


def proofs(store: SQLStore, keys: LiveKeys, entries: int) -> dict[str, float]:
    """Size and time of a proof in a log of so many entries, and of its verification."""
    began = time.perf_counter()
    for first in range(0, entries, FILL):
        with store.transaction() as tx:
            register.append(
                tx, keys, origin=ORIGIN, leaves=[leaf(first + at) for at in range(min(FILL, entries - first))]
            )
    filled = time.perf_counter() - began
    none = Register(policy=Policy(logs=(), witnesses=()), witnesses=SimpleNamespace())  # nobody is asked
    ports: Any = SimpleNamespace(store=store, keys=keys, clock=lambda: datetime.now(UTC), register=none)
    register.witness(ports, none, origin=ORIGIN)
    key, _signer = register.log_key(keys, ORIGIN)
    policy = Policy(logs=(TrustedLog(key=key),), witnesses=())
    made, verified, sizes = [], [], []
    for step in range(200):
        index = step * entries // 200
        start = time.perf_counter()
        with store.transaction() as tx:
            proof = register.proof(tx, origin=ORIGIN, index=index)
        made.append(time.perf_counter() - start)
        data = proof.to_bytes()
        start = time.perf_counter()
        proof.verify(leaf(index).to_bytes(), policy=policy)
        verified.append(time.perf_counter() - start)
        sizes.append(len(data))
    return {
        "entries": entries,
        "filled_per_second": round(entries / filled),
        "proof_bytes": max(sizes),
        "proof_ms": round(statistics.median(made) * 1000, 2),
        "verify_us": round(statistics.median(verified) * 1e6),
    }


def hashing(count: int = 200_000) -> int:
    """Entries a second by hashing alone: what no store can be faster than."""
    entries = [leaf(number).to_bytes() for number in range(count)]
    began = time.perf_counter()
    grow(0, (), map(hash_leaf, entries), keep=HEIGHT)
    return round(count / (time.perf_counter() - began))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000, help="of the log in which proofs are made")
    entries = parser.parse_args().entries
    found: dict[str, Any] = {"hashing_only_per_second": hashing()}
    for place in ("file", "token"):
        if place == "token" and (reason := why_not()):
            found[place] = f"missing: {reason}"
            continue
        with tempfile.TemporaryDirectory() as folder:
            keys = keys_in(Path(folder), token=place == "token")
            url = f"sqlite:///{folder}/broker.db"
            migrations.upgrade(url)
            engine = open_engine(url)
            store = SQLStore(engine)
            found[place] = {f"batch {batch}": appended(store, keys, batch) for batch in BATCHES}
            if place == "file":
                found["proofs"] = proofs(store, keys, entries)
            engine.dispose()
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
