"""Which logs and witnesses somebody trusts, and how many of them it takes (C2SP tlog-policy).

    log <vkey> [<url>]
    witness <name> <vkey> [<url>]
    group <name> all|any|<number> <name>…
    quorum <name>|none

The file comes from whoever checks, never from what is checked (design 4.15).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from broker.audit.checkpoint import Checkpoint, open_checkpoint
from broker.audit.cosignature import cosigned_at
from broker.audit.note import COSIGNATURE, ED25519, Note, NoteKey, read_key, read_note
from broker.errors import CheckpointInvalid, WitnessMissing

MAX_POLICY: Final = 64 * 1024
MAX_LINES: Final = 1000
_NONE: Final = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedLog:
    """A log whose checkpoints are accepted."""

    key: NoteKey
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A witness whose cosignatures count."""

    name: str
    """Its name in this file; the key has its own."""
    key: NoteKey
    url: str = ""
    """Where checkpoints are handed in (the submission prefix of tlog-witness)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """So many of these have to have witnessed."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnessed:
    """A checkpoint that satisfies a policy."""

    checkpoint: Checkpoint
    note: Note
    cosigned: Mapping[str, datetime]
    """By the witness's name in the policy, when it cosigned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What makes a checkpoint believed."""

    logs: tuple[TrustedLog, ...]
    witnesses: tuple[Witness, ...]
    groups: Mapping[str, Group] = field(default_factory=dict)
    quorum: str = _NONE

    @property
    def log_keys(self) -> tuple[NoteKey, ...]:
        """The keys of the logs that are known."""
        return tuple(log.key for log in self.logs)

    def satisfied_by(self, names: Collection[str]) -> bool:
        """Whether these witnesses are a quorum."""
        return self.quorum == _NONE or self._witnessed(self.quorum, names)

    def _witnessed(self, name: str, names: Collection[str]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return name in names
        return sum(self._witnessed(member, names) for member in group.members) >= group.threshold

    def to_text(self) -> bytes:
        """The file that says so, each key once, as `read_policy` wants it; addresses are left out."""
        lines = [f"log {key.to_text()}" for key in {log.key.key: log.key for log in self.logs}.values()]
        lines += [f"witness {each.name} {each.key.to_text()}" for each in self.witnesses]
        lines += [f"group {name} {each.threshold} {' '.join(each.members)}" for name, each in self.groups.items()]
        return "".join(f"{line}\n" for line in (*lines, f"quorum {self.quorum}")).encode()

    def judge(self, data: bytes | Note) -> Witnessed:
        """A checkpoint of a known log under a quorum's cosignatures.

        Raises CheckpointInvalid: the log's or a known witness's line does not hold; WitnessMissing: too few of them.
        """
        note = data if isinstance(data, Note) else read_note(data)
        signed = open_checkpoint(note, keys=self.log_keys)
        cosigned = self.cosigned(note)
        if not self.satisfied_by(cosigned):
            raise WitnessMissing(f"cosigned by {len(cosigned)} known witnesses, which is no quorum")
        return Witnessed(checkpoint=signed.checkpoint, note=note, cosigned=cosigned)

    def cosigned(self, note: Note) -> dict[str, datetime]:
        """When each known witness cosigned, by name. Raises CheckpointInvalid: a line that does not hold."""
        found = {witness.name: cosigned_at(note, key=witness.key) for witness in self.witnesses}
        return {name: at for name, at in found.items() if at is not None}


def read_policy(data: bytes) -> Policy:
    """A policy file. Raises CheckpointInvalid, with the number of the line that is wrong."""
    if type(data) is not bytes or len(data) > MAX_POLICY or data.count(b"\n") > MAX_LINES:
        raise CheckpointInvalid(f"a log policy has at most {MAX_POLICY} bytes and {MAX_LINES} lines")
    draft = _Draft()
    for number, line in enumerate(data.split(b"\n"), start=1):
        if any((byte < 0x20 and byte != 0x09) or byte == 0x7F for byte in line):
            raise CheckpointInvalid(f"log policy, line {number}: a control character")
        words = line.decode("utf-8", "surrogateescape").replace("\t", " ").split(" ")
        words = [word for word in words if word]
        if words and not words[0].startswith("#"):
            try:
                draft.add(words)
            except CheckpointInvalid as wrong:
                raise CheckpointInvalid(f"log policy, line {number}: {wrong}") from wrong
    return draft.policy()


class _Draft:
    """A policy while its lines come in."""

    def __init__(self) -> None:
        self._logs: list[TrustedLog] = []
        self._witnesses: dict[str, Witness] = {}
        self._groups: dict[str, Group] = {}
        self._grouped: set[str] = set()
        self._quorum: str | None = None

    def add(self, words: list[str]) -> None:
        match words:
            case ["log", vkey, *url] if len(url) <= 1:
                key = read_key(vkey, type=ED25519)
                if any(log.key.key == key.key for log in self._logs):
                    raise CheckpointInvalid("a log stands twice")
                self._logs.append(TrustedLog(key=key, url=url[0] if url else ""))
            case ["witness", name, vkey, *url] if len(url) <= 1:
                key = read_key(vkey, type=COSIGNATURE)
                if any(witness.key.key == key.key for witness in self._witnesses.values()):
                    raise CheckpointInvalid("a witness stands twice")
                self._witnesses[self._new(name)] = Witness(name=name, key=key, url=url[0] if url else "")
            case ["group", name, count, *members] if members:
                self._groups[self._new(name)] = self._group(count, members)
            case ["quorum", name] if self._quorum is None:
                if name != _NONE:
                    self._known(name)
                self._quorum = name
            case _:
                raise CheckpointInvalid("not a line of a policy, or a second quorum")

    def _new(self, name: str) -> str:
        if name == _NONE or name in self._witnesses or name in self._groups:
            raise CheckpointInvalid("a name that is taken")
        return name

    def _known(self, name: str) -> None:
        if name not in self._witnesses and name not in self._groups:
            raise CheckpointInvalid("a name that no line before has given")

    def _group(self, count: str, members: list[str]) -> Group:
        for member in members:
            self._known(member)
            if member in self._grouped:
                raise CheckpointInvalid("a name stands in two groups, or twice in one")
            self._grouped.add(member)
        threshold = {"any": 1, "all": len(members)}.get(count)
        if threshold is None:
            if not (count.isascii() and count.isdigit()) or len(count) > 4 or count.startswith("0"):
                raise CheckpointInvalid("any, all or a number of members")
            threshold = int(count)
        if not 1 <= threshold <= len(members):
            raise CheckpointInvalid("more members wanted than there are")
        return Group(threshold=threshold, members=tuple(members))

    def policy(self) -> Policy:
        if self._quorum is None:
            raise CheckpointInvalid("log policy: no quorum line")
        return Policy(
            logs=tuple(self._logs),
            witnesses=tuple(self._witnesses.values()),
            groups=self._groups,
            quorum=self._quorum,
        )
