"""The register of mandates: an entry is added with the row it speaks of, witnessed after that, and proved from then on.

Whoever changes a mandate calls `append` inside the same unit of work, as its last step: the log is locked from there to
the commit. `witness` talks to the network and is called outside of any unit. What waits for a quorum (issue, resume,
widening) asks `proof`, which refuses until there is one; a revocation asks nobody (design 4.15).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import structlog

from broker.audit.checkpoint import Checkpoint, read_checkpoint, sign_checkpoint
from broker.audit.cosignature import cosigned_at
from broker.audit.leaf import Leaf
from broker.audit.merkle import MAX_SIZE, Nodes, consistency_proof, grow, hash_leaf, inclusion_proof
from broker.audit.note import ED25519, Note, NoteKey, SignatureLine, read_lines, read_note
from broker.audit.policy import Policy as LogPolicy
from broker.audit.policy import TrustedLog, Witness
from broker.audit.tiles import HEIGHT, Tile, nodes_from_tiles
from broker.audit.tlog_proof import TlogProof
from broker.audit.witness import Submission
from broker.errors import BrokerError, CheckpointInvalid, StoreUnavailable, WitnessMissing
from broker.flows.ports import Keys, KeyUse, Ports, Transaction
from broker.flows.register_ports import LogHead, Published, Register
from broker.jose import Signer, b64url_decode

CLOCK_DIFFERENCE: Final = timedelta(minutes=10)
"""How far a witness's clock may be from ours before its word counts for nothing."""

_log = structlog.get_logger("broker.register")


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """Where an entry stands."""

    origin: str
    index: int
    entry: bytes


def origin_at(issuer: str, at: datetime) -> str:
    """The log of a year (UTC): the address it is served at, without the scheme."""
    return f"{urlsplit(issuer).netloc}/register-log/{at.astimezone(UTC).year}"


def log_key(keys: Keys, origin: str) -> tuple[NoteKey, Signer]:
    """The key that signs the log's checkpoints now, under the log's name. Raises StoreUnavailable: there is none."""
    signer = keys.signer(KeyUse.REGISTER_LOG, "EdDSA")
    for jwk in keys.jwks(KeyUse.REGISTER_LOG)["keys"]:
        if jwk["kid"] == signer.kid:
            return NoteKey(name=origin, type=ED25519, key=b64url_decode(jwk["x"])), signer
    raise StoreUnavailable("the register's key has no public half")


def own_policy(tx: Transaction, *, ports: Ports) -> LogPolicy:
    """What this operator itself relies on: its logs of every year under every key they ever had, and its witnesses.
    Without a register, nothing.
    """
    if ports.register is None:
        return LogPolicy(logs=(), witnesses=())
    keys = [b64url_decode(jwk["x"]) for jwk in ports.keys.history(KeyUse.REGISTER_LOG)["keys"]]
    logs = [NoteKey(name=origin, type=ED25519, key=key) for origin in tx.register_tree.origins() for key in keys]
    return replace(ports.register.policy, logs=tuple(TrustedLog(key=key) for key in logs))


def shown_policy(tx: Transaction, origins: Collection[str], *, ports: Ports) -> LogPolicy:
    """Of `own_policy` what travels with a bundle: these logs, each under the key that signed its newest checkpoint."""
    policy = own_policy(tx, ports=ports)
    newest = {origin: tx.register_tree.published(origin) for origin in origins}
    notes = {origin: read_note(found.note) for origin, found in newest.items() if found is not None}
    logs = [log for log in policy.logs if log.key.name in notes and notes[log.key.name].by(log.key) is not None]
    return replace(policy, logs=tuple(logs))


def append(tx: Transaction, keys: Keys, *, origin: str, leaves: Sequence[Leaf]) -> tuple[Logged, ...]:
    """Add entries to the log in the caller's unit of work, with the tree and the signed head; all or nothing.

    Raises StoreUnavailable: the key or the store does not answer, and the caller's unit fails with it.
    """
    head = tx.register.lock(origin)
    entries = [leaf.to_bytes() for leaf in leaves]
    growth = grow(head.size, head.peaks, map(hash_leaf, entries), keep=HEIGHT)
    key, signer = log_key(keys, origin)
    checkpoint = Checkpoint(origin=origin, size=growth.size, root=growth.root)
    tx.register.extend(head, entries, growth, sign_checkpoint(checkpoint, key=key, signer=signer).to_bytes())
    return tuple(
        Logged(origin=origin, index=index, entry=entry) for index, entry in enumerate(entries, start=head.size)
    )


def nodes(tx: Transaction, origin: str, size: int) -> Nodes:
    """The whole nodes of the first `size` entries, from the store."""

    def read(tile: Tile) -> tuple[bytes, ...]:
        return tx.register_tree.hashes(origin, tile.level or 0, tile.first, tile.width)

    return nodes_from_tiles(read, size)


def proof(tx: Transaction, *, origin: str, index: int) -> TlogProof:
    """What travels with a record: the entry's place under the newest checkpoint that a quorum cosigned.

    Raises WitnessMissing: there is none yet that has the entry.
    """
    published = tx.register_tree.published(origin, range(index + 1, MAX_SIZE + 1))
    if published is None:
        raise WitnessMissing("no quorum of witnesses has seen the entry yet")
    hashes = inclusion_proof(index, published.size, nodes(tx, origin, published.size))
    return TlogProof(index=index, hashes=hashes, note=read_note(published.note))


# --- witnesses -------------------------------------------------------------------------------------------------------


def witness_all(ports: Ports) -> Mapping[str, int]:
    """Have every log that has moved on witnessed; what came of it, in numbers. Without a register, nothing."""
    counts = {"published": 0, "waiting": 0, "contradicted": 0}
    if ports.register is None:
        return counts
    with ports.store.transaction() as tx:
        origins = tx.register_tree.origins()
    for origin in origins:
        for name, count in witness(ports, ports.register, origin=origin).items():
            counts[name] += count
    return counts


def witness(ports: Ports, register: Register, *, origin: str) -> Mapping[str, int]:
    """Ask the policy's witnesses for the log as it stands, and publish it where a quorum has cosigned.

    A witness that does not answer is counted out, not waited for. One that has seen more of the log than we have, or
    another tree of the same size, is an alarm: this database is older than what was shown, or there are two of it.
    """
    with ports.store.transaction() as tx:
        head, before = tx.register_tree.head(origin), tx.register_tree.published(origin)
    counts = {"published": 0, "waiting": 0, "contradicted": 0}
    if head is None or head.size == 0 or (before is not None and before.size >= head.size):
        return counts
    note, names = read_note(head.note), set()
    for each in register.policy.witnesses:
        if not each.url:
            continue
        try:
            line = _ask(ports, register, each, head, before)
        except _Contradicted as contradicted:
            counts["contradicted"] += 1
            _log.error(
                "register_contradicted", witness=each.name, origin=origin, size=head.size, seen=contradicted.size
            )
        except BrokerError as failed:
            _log.warning("witness_failed", witness=each.name, origin=origin, reason=str(failed))
        else:
            note = note.with_lines([line])
            names.add(each.name)
    if not register.policy.satisfied_by(names):
        counts["waiting"] += 1
        return counts
    with ports.store.transaction() as tx:
        tx.register.publish(origin, head.size, note.to_bytes(), now=ports.clock())
    counts["published"] += 1
    return counts


class _Contradicted(Exception):
    """A witness has seen what this log never was."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def _ask(ports: Ports, register: Register, each: Witness, head: LogHead, before: Published | None) -> SignatureLine:
    """One witness's line. Raises _Contradicted, BrokerError."""
    old_size = 0 if before is None else before.size
    answer: str | int = ""
    for _ in range(2):  # the second time from the size that it told
        body = submission(ports, head, old_size=old_size).to_bytes()
        answer = register.witnesses.add_checkpoint(each.url, body)
        if isinstance(answer, str):
            break
        if answer > head.size or answer == old_size:
            raise _Contradicted(answer)
        old_size = answer
    if isinstance(answer, int):
        raise CheckpointInvalid("it told two sizes")
    note = read_note(head.note)
    answered = Note(text=note.text, lines=read_lines(answer))
    at, line = cosigned_at(answered, key=each.key), answered.by(each.key)
    if at is None or line is None:
        raise CheckpointInvalid("it answered with another's line")
    if abs(at - ports.clock()) > CLOCK_DIFFERENCE:
        raise CheckpointInvalid("its clock is another day's")
    return line


def submission(ports: Ports, head: LogHead, *, old_size: int) -> Submission:
    """What a witness is handed: the head, and that it follows the tree of `old_size`."""
    note = read_note(head.note)
    hashes: tuple[bytes, ...] = ()
    if old_size:
        with ports.store.transaction() as tx:
            hashes = consistency_proof(old_size, head.size, nodes(tx, head.origin, head.size))
    checkpoint = read_checkpoint(note.text)
    return Submission(old_size=old_size, proof=hashes, note=note, checkpoint=checkpoint)
