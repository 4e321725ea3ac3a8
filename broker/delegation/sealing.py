"""The seal on a document: PAdES B-LT in one revision (ETSI EN 319 142-1 §6), and what the register commits to.

The signature, its time stamp's authority and all evidence stand in the revision that is signed, so "the total document
is signed" holds in every reader, and nothing may ever follow it (design 4.15).
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from broker.audit.leaf import commitment
from broker.delegation.faults import Fault
from broker.delegation.verification import verify_archived, verify_document
from broker.errors import SealFailed, SettingsError
from broker.jose import Signer

Stamp = Callable[[bytes], bytes]
"""From a TimeStampReq (DER, RFC 3161 §2.4.1) to a TimeStampResp. Raises OutboundFailed, OutboundRefused."""

_END: Final = re.compile(rb"startxref[\r\n]+[0-9]{1,10}[\r\n]+%%EOF")


@dataclass(frozen=True, slots=True, kw_only=True)
class SealMaterial:
    """What stands beside the key; all DER. `certificate` is the seal's, `others` those between it and the anchors and
    the time-stamp authority's. `crls` and `ocsps` prove all of them; never the JPKI's (law, art. 52).
    """

    certificate: bytes = field(repr=False)
    others: tuple[bytes, ...] = field(default=(), repr=False)
    crls: tuple[bytes, ...] = field(default=(), repr=False)
    ocsps: tuple[bytes, ...] = field(default=(), repr=False)
    anchors: tuple[bytes, ...] = field(repr=False)
    """What every verifier is expected to trust: the seal is tried against them before it is handed out."""


def unsigned_part(sealed: bytes) -> bytes:
    """The bytes that a sealed document began as, before the revision with the seal. Raises SealFailed."""
    found = _END.search(sealed)
    if found is None:
        raise SealFailed("the document has no first revision")
    return sealed[: found.end()]


def holds(commit: bytes, *, salt: bytes, record: bytes, sealed: bytes) -> bool:
    """Whether a sealed document is the one that the register committed to (`audit.leaf.commitment`)."""
    try:
        return hmac.compare_digest(commit, commitment(salt, record, unsigned_part(sealed)))
    except (SealFailed, ValueError):
        return False


def archive(document: bytes, *, material: SealMaterial, stamp: Stamp, at: datetime) -> bytes:
    """A copy of a sealed document with one more time stamp over it (PAdES B-LTA), to be kept apart from the officer's.

    To be made before the newest stamp's authority ends, with its evidence in `material`, and a successor's `stamp`.
    The copy is verified before it is answered. Raises SealFailed; what `stamp` raises.
    """
    from broker.delegation.seal_writer import write_archive_stamp  # noqa: PLC0415 -- as below

    made = write_archive_stamp(document, material=material, stamp=stamp)
    verdict = verify_archived(made, anchors=material.anchors, at=at)
    if not made.startswith(document) or not verdict.accepted:
        raise SealFailed(f"the archive's copy does not verify: {', '.join(fault.name for fault in verdict.faults)}")
    return made


def seal(unsigned: bytes, *, signer: Signer, material: SealMaterial, stamp: Stamp, at: datetime) -> bytes:
    """`unsigned` (of `rendering`) with its seal; it begins with exactly those bytes.

    The result is verified as an officer would before it is answered. Raises SealFailed; SettingsError where pyHanko is
    missing; what `signer` and `stamp` raise.
    """
    try:
        from broker.delegation.seal_writer import write_seal  # noqa: PLC0415 -- loads pyHanko (extra [pades])
    except ImportError as absent:
        raise SettingsError("pyHanko is not installed (extra [pades])") from absent
    if at.tzinfo is None:
        raise ValueError("the time must say its zone")
    if unsigned_part(unsigned) != unsigned.rstrip(b"\r\n"):
        raise SealFailed("the document to seal has more than one revision")
    sealed = write_seal(unsigned, signer=signer, material=material, stamp=stamp, at=at)
    if not sealed.startswith(unsigned):
        raise SealFailed("the seal changed the document")
    verdict = verify_document(sealed, anchors=material.anchors, at=at)
    if not verdict.accepted or verdict.sealed_at is None:
        faults = ", ".join(fault.name for fault in verdict.faults) or Fault.TIME_STAMP_WRONG.name
        raise SealFailed(f"the sealed document does not verify: {faults}")
    return sealed
