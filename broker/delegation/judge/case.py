"""One document judged from the outside in; each stage tells its faults and leaves the next its findings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from asn1crypto import tsp

from broker.delegation.document import Look, Signature, look
from broker.delegation.faults import AHEAD, Fault
from broker.delegation.judge.chain import Evidence, find_path, in_force, loaded, may_sign_documents, may_stamp
from broker.delegation.judge.contents import Contents, added_only, read_contents
from broker.delegation.judge.envelope import Envelope, open_envelope, vouched


@dataclass(slots=True)
class Case:
    """What is known so far. `faults` only grows."""

    pdf: bytes = field(repr=False)
    anchors: tuple[bytes, ...] = field(repr=False)
    at: datetime
    faults: set[Fault] = field(default_factory=set)
    record: bytes | None = field(default=None, repr=False)
    signer: bytes | None = field(default=None, repr=False)
    """The signer's certificate, where the signature holds."""
    sealed_at: datetime | None = None
    """The time stamp's, where it is proved."""
    proved_until: datetime | None = None
    """When the newest stamp's path ends: until then another stamp must be over it."""
    seen: Look | None = field(default=None, repr=False)
    contents: Contents | None = field(default=None, repr=False)


async def judge(case: Case, told: Callable[[], None]) -> None:
    """All stages in turn; `told` is called after each, so that what was found outlives a stage that does not end."""
    case.seen = look(case.pdf)
    case.faults |= case.seen.faults
    if Fault.TOO_LARGE in case.faults:
        return
    envelopes = list(_envelopes(case, case.seen))
    told()
    case.contents = read_contents(case.pdf, case.seen, case.faults)
    told()
    if envelopes:
        await _judge_signer(case, envelopes[0])
        told()
    if case.contents is not None and envelopes and Fault.CONTENT_ALTERED not in case.faults:
        case.record = case.contents.record
    _judge_addition(case, case.seen)
    told()


def _envelopes(case: Case, seen: Look) -> Iterator[Envelope]:
    for one in seen.signatures:
        found = _opened(case, one)
        if found is not None:
            yield found


def _opened(case: Case, one: Signature) -> Envelope | None:
    return open_envelope(one.cms, signed=one.signed(case.pdf), faults=case.faults)


def _judge_addition(case: Case, seen: Look) -> None:
    """Bytes after the signature are a fault; one more where they do not only add evidence or signatures."""
    if Fault.REVISION_ADDED in case.faults and (case.contents is None or not added_only(case.pdf, seen)):
        case.faults.add(Fault.ALTERED_AFTER)


async def _judge_signer(case: Case, envelope: Envelope) -> None:
    contents = case.contents
    if contents is not None and contents.pades and not envelope.names_its_certificate:
        case.faults.add(Fault.ENVELOPE_WRONG)
    stamp = _stamp(case, envelope)
    certificates = {each.dump(): None for each in envelope.others}
    certificates |= dict.fromkeys(contents.certificates if contents else ())
    certificates |= {each.dump(): None for each in ((stamp.signer, *stamp.others) if stamp else ())}
    evidence = Evidence(
        anchors=case.anchors,
        certificates=tuple(certificates),
        crls=contents.crls if contents else (),
        ocsps=contents.ocsps if contents else (),
    )
    moment = case.at
    if stamp is not None:
        proved = await proved_time(stamp, envelope.signature, evidence, until=case.at, faults=case.faults)
        if proved is not None:
            case.sealed_at, case.proved_until = proved
            moment = proved[0]
    path = await find_path(envelope.signer, evidence, moment=moment)
    case.faults |= path.faults
    if len(path.chain) > 1:  # without a path nobody can vouch for what lies beside it, and that is the fault then
        pool = loaded((*case.anchors, *certificates, envelope.signer.dump()))
        beside = (*envelope.others, *(stamp.others if stamp else ()))
        if not vouched((each for each in beside if each.dump() not in case.anchors), pool):
            case.faults.add(Fault.ENVELOPE_WRONG)
    if contents is None:  # where the evidence cannot be read, that is the fault, and told already
        case.faults.discard(Fault.REVOCATION_UNKNOWN)
    if not may_sign_documents(envelope.signer):
        case.faults.add(Fault.NOT_FOR_SIGNING)
    if envelope.intact:
        case.signer = envelope.signer.dump()


def _stamp(case: Case, envelope: Envelope) -> Envelope | None:
    """The opened time-stamp token, where there is one that can be read and holds."""
    faults: set[Fault] = set()
    found = None
    for token in envelope.stamps:
        found = open_envelope(token, signed=None, faults=faults)
        if found is not None and found.stamps:
            faults.add(Fault.ENVELOPE_WRONG)
    if faults:
        case.faults.add(Fault.TIME_STAMP_WRONG)
        return None
    return found


async def proved_time(
    stamp: Envelope, stamped: bytes, evidence: Evidence, *, until: datetime, faults: set[Fault]
) -> tuple[datetime, datetime] | None:
    """When `stamped` existed, as an authority says that was trusted then and whose dates include `until`; and the end
    of those dates.

    That authority's own revocation is judged by the evidence in the document, as of the stamp: what became known later
    is not in it.
    """
    try:
        info: Any = tsp.TSTInfo.load(stamp.content, strict=True)
        imprint = info["message_imprint"]
        algorithm = imprint["hash_algorithm"]["algorithm"].native
        matches = (
            algorithm in {"sha256", "sha384", "sha512"}
            and imprint["hashed_message"].native == hashlib.new(algorithm, stamped).digest()
        )
        when: datetime = info["gen_time"].native
    except Exception:
        matches = False
    if not matches or not may_stamp(stamp.signer):
        faults.add(Fault.TIME_STAMP_WRONG)
        return None
    path = await find_path(stamp.signer, evidence, moment=when)
    if path.faults:
        faults.add(Fault.TIME_STAMP_UNTRUSTED)
        return None
    if when > until + AHEAD:
        faults.add(Fault.SEALED_LATER)
    elif not in_force(path.chain, until):
        faults.add(Fault.TIME_STAMP_EXPIRED)
        return None
    return when, min(each.not_valid_after for each in path.chain)
