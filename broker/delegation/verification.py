"""Is this sealed document whole, and who sealed it when? (design 4.15 and section 5)

Judged: the one signature and what it covers, the single revision, the attached record, and the signer's path at the
time asked about. The register, the status and an authority's policy are other functions'. pyHanko parses hostile bytes,
so it does so in a child with limits (`broker.delegation.judge`).
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from broker.delegation.document import look
from broker.delegation.faults import ALTERED, Fault
from broker.nursery import Nursery

PATIENCE: Final = 30.0
"""Seconds to wait for a free child. Each ends within its own processor time (`judge`), however many others wait."""
MAX_ANCHORS: Final = 16
MAX_ANCHOR: Final = 16 * 1024
_JUDGE: Final = Nursery("broker.delegation.judge", places=2)
"""Each child may take a quarter of a gibibyte, so strangers must not choose their number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentVerdict:
    """What `verify_document` found. `faults` in the order of Fault; none of them, and the document is accepted."""

    faults: tuple[Fault, ...]
    record: bytes | None = field(default=None, repr=False)
    """The attached JSON, exactly as it was signed; None where the signed bytes are not what stands here."""
    signer: bytes | None = field(default=None, repr=False)
    """The signer's certificate (DER), where the signature holds by it."""
    sealed_at: datetime | None = None
    """The proved time of the time stamp; None without one."""
    proved_until: datetime | None = None
    """When the certificates of the newest time stamp end: an archive stamps its copy again before that."""

    @property
    def accepted(self) -> bool:
        return not self.faults

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every fault found, an English sentence each."""
        return tuple(str(fault) for fault in self.faults)

    @property
    def altered(self) -> bool:
        """Whether somebody changed it, as distinct from a document that is old, foreign or of another form."""
        return not ALTERED.isdisjoint(self.faults)


def verify_document(pdf: bytes, *, anchors: Sequence[bytes], at: datetime) -> DocumentVerdict:
    """Judge a sealed PDF under `anchors` (DER certificates) as of `at` (aware), within 256 MB and 4 s of the processor.

    A signer whose certificate has expired at `at` is accepted where a time stamp proves that the signature is older,
    and the stamp's own path is in force at `at`. A certificate that names a source of revocation needs its evidence in
    the document. Never raises on hostile bytes; ValueError for a naive `at`.
    """
    return _judged(pdf, anchors, at, archived=False)


def verify_archived(pdf: bytes, *, anchors: Sequence[bytes], at: datetime) -> DocumentVerdict:
    """The same for an archive's copy, to which time stamps were appended: the document that it begins with, as of the
    first of them, each stamp as of the next, and the newest as of `at`.
    """
    return _judged(pdf, anchors, at, archived=True)


def _judged(pdf: bytes, anchors: Sequence[bytes], at: datetime, *, archived: bool) -> DocumentVerdict:
    if at.tzinfo is None:
        raise ValueError("the time must say its zone")
    pdf = bytes(pdf)
    seen = look(pdf)
    if Fault.TOO_LARGE in seen.faults:
        return DocumentVerdict(faults=_in_order(seen.faults))
    trusted = [bytes(anchor) for anchor in anchors]
    if len(trusted) > MAX_ANCHORS or any(len(anchor) > MAX_ANCHOR for anchor in trusted):
        return DocumentVerdict(faults=_in_order(seen.faults | {Fault.UNTRUSTED}))
    done = _JUDGE.run(written(pdf, trusted, at, archived=archived), patience=PATIENCE)
    return _read(done.output if done.status == 0 else b"", seen.faults)


def written(pdf: bytes, anchors: Sequence[bytes], at: datetime, *, archived: bool = False) -> bytes:
    """The question as the child reads it: a line of JSON, then the document."""
    head = {
        "anchors": [b64encode(each).decode() for each in anchors],
        "archived": archived,
        "at": at.astimezone(UTC).isoformat(),
    }
    return json.dumps(head).encode() + b"\n" + pdf


def _read(output: bytes, seen: frozenset[Fault]) -> DocumentVerdict:
    """The child has touched hostile bytes: only whole lines of known form are taken from it."""
    faults: set[Fault] = set()
    found: dict[str, Any] = {}
    try:
        for line in output.splitlines():
            told = json.loads(line)
            if "fault" in told:
                faults.add(Fault[told["fault"]])
            else:
                found |= told
        record = b64decode(found["record"]) if "record" in found else None
        signer = b64decode(found["signer"]) if "signer" in found else None
        sealed_at, until = (
            datetime.fromisoformat(found[name]) if name in found else None for name in ("sealed_at", "proved_until")
        )
        finished = found.get("done") is True
    except (ValueError, KeyError, TypeError):
        finished, record, signer, sealed_at, until = False, None, None, None, None
    if not finished:
        return DocumentVerdict(faults=_in_order(seen | faults | {Fault.UNFINISHED}))
    if not faults and (record is None or signer is None):
        faults.add(Fault.UNFINISHED)
    return DocumentVerdict(
        faults=_in_order(faults), record=record, signer=signer, sealed_at=sealed_at, proved_until=until
    )


def _in_order(faults: frozenset[Fault] | set[Fault]) -> tuple[Fault, ...]:
    return tuple(fault for fault in Fault if fault in faults)
