"""A submitted power of attorney is held against everything that proves it, and judged for one question.

What is trusted (anchors, logs and witnesses, keys of status lists) is the examiner's own and comes from nothing that
was submitted (design 4.15). Whatever is missing is "cannot tell"; whatever contradicts the document is "forged".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from broker.audit.leaf import Happening, Leaf, read_leaf
from broker.audit.policy import Policy as LogPolicy
from broker.audit.policy import Witnessed, read_policy
from broker.audit.tlog_proof import read_proof
from broker.delegation import agent_certificate, principal_signature, status_list
from broker.delegation import record as records
from broker.delegation.agent_certificate import AgentCertificate
from broker.delegation.bundle import Bundle, Papers, StatusPaper
from broker.delegation.faults import AHEAD, Fault
from broker.delegation.grant import Grant
from broker.delegation.life import State
from broker.delegation.policy import NONE_GIVEN, Policy
from broker.delegation.principal_signature import PrincipalSignature
from broker.delegation.record import Frame, Record, StatementRecord
from broker.delegation.sealing import holds
from broker.delegation.statement import TYPE as STATEMENT
from broker.delegation.statement import Statement, term_of
from broker.delegation.status_list import StatusToken
from broker.delegation.verdict import (
    Link,
    Question,
    Stated,
    Status,
    Verdict,
    judge,
    judge_certificate,
    judge_statement,
    judge_unread,
)
from broker.delegation.verification import DocumentVerdict, verify_archived, verify_document
from broker.errors import (
    BrokerError,
    CardAnswerError,
    CertificateError,
    CheckpointInvalid,
    PolicyInvalid,
    PowerRefused,
    ProofInvalid,
    WitnessMissing,
)

CLOCK_DIFFERENCE: Final = timedelta(minutes=10)
"""By how much a time stamp may seem to be before the register's entry: two clocks."""
_STATES: Final = {
    status_list.Status.VALID: State.ACTIVE,
    status_list.Status.INVALID: State.REVOKED,
    status_list.Status.SUSPENDED: State.SUSPENDED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What the examiner relies on."""

    anchors: tuple[bytes, ...] = field(default=(), repr=False)
    """Certificates (DER) that seals and time stamps lead to."""
    logs: LogPolicy = field(default_factory=lambda: LogPolicy(logs=(), witnesses=()))
    status_keys: Mapping[str, Any] = field(default_factory=lambda: {"keys": []}, repr=False)
    """JWK Set."""
    principals: tuple[bytes, ...] = field(default=(), repr=False)
    """Certificates (DER) that principals' own certificates lead to: of JPKI, of the registrar (商業登記)."""

    def under(self, policy: Policy) -> Trust:
        """With what an authority's policy names of its own in the place of ours. Raises PolicyInvalid."""
        try:
            logs = read_policy(("\n".join(policy.logs) + "\n").encode()) if policy.logs else self.logs
        except CheckpointInvalid as broken:
            raise PolicyInvalid(f"logs: {broken}") from None
        return Trust(
            principals=self.principals,
            anchors=policy.roots or self.anchors,
            logs=logs,
            status_keys={"keys": [dict(key) for key in policy.status_keys]} if policy.status_keys else self.status_keys,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """What the register shows of something: `logged` as in `Link`, and when who saw it where that is proved."""

    logged: bool | None = None
    witnessed: Witnessed | None = None
    leaf: Leaf | None = None
    index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """One document of the chain, and what was found out about it. Of `record` and `stated` one is there, or neither:
    it shows nothing that is read here.
    """

    document: DocumentVerdict
    record: Record | None = None
    """Of a power of attorney."""
    stated: StatementRecord | None = None
    """Of a statement (雇用証明書)."""
    registered: Registered = field(default_factory=Registered)
    status: Status | None = None
    certificate: AgentCertificate | None = None
    """Instead of a document: an agent's certificate that states a power (電子証明書方式)."""
    principal: PrincipalSignature | None = None
    """What its principal's own signature shows, where it travels with the record."""

    @property
    def frame(self) -> Frame | None:
        """What both kinds of record say alike."""
        return self.record or self.stated

    @property
    def signed(self) -> Grant | Statement | None:
        """What the principal or the employer signed."""
        if self.stated is not None:
            return self.stated.statement
        return None if self.record is None else self.record.grant

    @property
    def term(self) -> tuple[datetime, datetime] | None:
        """From when up to, not at, when it holds."""
        if self.stated is not None:
            return term_of(self.stated.statement)
        return None if self.record is None else (self.record.grant.begins, self.record.grant.ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """The verdict, and all that it rests on; the outermost power first."""

    question: Question
    verdict: Verdict
    chain: tuple[Examined, ...]
    at: datetime
    """When it was made."""
    digest: bytes
    """SHA-256 of the document that was asked about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Epoch:
    token: StatusToken
    proved: bool


Own = Callable[[Grant | Statement], Status | None]
"""What the examiner knows by itself of its state on the day asked about; believed where it narrows."""


def nothing_known(signed: Grant | Statement) -> None:
    """An officer's desk has no register of its own."""


def examine(
    bundle: Bundle,
    question: Question,
    *,
    trust: Trust,
    now: datetime,
    policy: Policy = NONE_GIVEN,
    own: Own = nothing_known,
) -> Examination:
    """Judge the last document of `bundle`. Never raises on hostile bytes; PolicyInvalid where `policy` is none."""
    trust = trust.under(policy)
    read = tuple(_document(papers, question.as_of, now, trust) for papers in bundle.chain)
    epochs = _epochs(bundle.statuses, read, trust)
    chain = tuple(
        replace(
            each,
            registered=_registered(papers, each, trust),
            status=_narrower(_status(each, question.as_of, epochs), own(each.signed) if each.signed else None),
        )
        if each.frame is not None
        else each
        for papers, each in zip(bundle.chain, read, strict=True)
    )
    links = [Link(grant=each.record.grant, **_found(each)) for each in chain if each.record is not None]
    (alone,) = chain if len(chain) == 1 else (None,)
    if len(links) == len(chain):
        verdict = judge(links, question, policy=policy)
    elif alone is not None and alone.stated is not None:
        stated = Stated(statement=alone.stated.statement, **_found(alone))
        verdict = judge_statement(stated, question, policy=policy)
    elif alone is not None and alone.certificate is not None:
        certificate = alone.certificate
        verdict = judge_certificate(question, begins=certificate.not_before, ends=certificate.not_after, policy=policy)
    else:
        verdict = judge_unread((fault for each in chain for fault in each.document.faults), policy=policy)
    digest = hashlib.sha256(bundle.chain[-1].pdf).digest()
    return Examination(question=question, verdict=verdict, chain=chain, at=now, digest=digest)


def _found(each: Examined) -> dict[str, Any]:
    return {
        "faults": frozenset(each.document.faults),
        "logged": each.registered.logged,
        "witnessed": each.registered.witnessed is not None,
        "status": each.status,
        "anchored": None if each.principal is None else each.principal.anchored,
    }


def _document(papers: Papers, as_of: datetime, now: datetime, trust: Trust) -> Examined:
    """Judged today, whatever day is asked about: a time stamp whose authority has ended since can be anybody's work.
    Then the archive's copy, which was stamped again in time, stands for the document.
    """
    if agent_certificate.is_certificate(papers.pdf):
        shown = agent_certificate.read(papers.pdf, anchors=trust.principals)
        unread = DocumentVerdict(faults=() if shown is not None else (Fault.NOT_A_PDF,))
        return Examined(document=unread, certificate=shown)
    at = max(as_of, now)
    document = verify_document(papers.pdf, anchors=trust.anchors, at=at)
    if {Fault.TIME_STAMP_EXPIRED, Fault.REVISION_ADDED} <= set(document.faults):
        document = verify_archived(papers.pdf, anchors=trust.anchors, at=at)
    if (
        document.sealed_at is not None
        and document.sealed_at > as_of + AHEAD
        and Fault.SEALED_LATER not in document.faults
    ):
        document = replace(document, faults=(*document.faults, Fault.SEALED_LATER))
    attached = document.record
    if attached is None:
        return Examined(document=document)
    if papers.record is not None and papers.record != attached:  # somebody may have read the other one
        document = replace(document, faults=(*document.faults, Fault.CONTENT_ALTERED))
    try:
        if records.type_of(attached) == STATEMENT:
            return Examined(document=document, stated=records.read_statement(attached))
        record = records.read(attached)
        principal, faults = _principal(record, trust)
        document = replace(document, faults=(*document.faults, *faults))
        return Examined(document=document, record=record, principal=principal)
    except PowerRefused:
        return Examined(document=replace(document, faults=(*document.faults, Fault.RECORD_UNREADABLE)))


def _principal(record: Record, trust: Trust) -> tuple[PrincipalSignature | None, tuple[Fault, ...]]:
    """The principal's own signature, held against the grant; one that does not hold makes the document a forgery."""
    if not record.signature:
        return None, ()
    try:
        return principal_signature.judged(record, anchors=trust.principals), ()
    except (CertificateError, CardAnswerError):
        return None, (Fault.PRINCIPAL_WRONG,)


def _registered(papers: Papers, each: Examined, trust: Trust) -> Registered:
    """Whether the entry is about this very document, and in a log that is trusted."""
    frame, sealed_at = each.frame, each.document.sealed_at
    if frame is None or papers.entry is None or papers.salt is None or each.document.record is None:
        return Registered()
    found = _entry(papers.entry, papers.proof, trust)
    if found.leaf is None or found.logged is False:
        return found
    about = found.leaf.event is Happening.ISSUE and holds(
        found.leaf.commit, salt=papers.salt, record=each.document.record, sealed=papers.pdf
    )
    if not about or (sealed_at is not None and sealed_at + CLOCK_DIFFERENCE < found.leaf.at):
        return replace(found, logged=False)  # another document's entry, or a seal that was there before it
    if found.witnessed is not None and found.witnessed.checkpoint.origin != frame.log_origin:
        return Registered()
    return found


def _entry(entry: bytes, proof: bytes | None, trust: Trust) -> Registered:
    """What a proof proves. A log or witness that is not trusted proves nothing, and contradicts nothing."""
    if proof is None:
        return Registered()
    try:
        leaf, read = read_leaf(entry), read_proof(proof)
        witnessed = read.verify(entry, policy=trust.logs)
    except ProofInvalid:
        return Registered(logged=False)
    except (CheckpointInvalid, WitnessMissing):
        return Registered()
    return Registered(logged=True, witnessed=witnessed, leaf=leaf, index=read.index)


# --- the status lists ------------------------------------------------------------------------------------------------


def _epochs(papers: Sequence[StatusPaper], chain: Sequence[Examined], trust: Trust) -> tuple[_Epoch, ...]:
    """The lists that are signed by a trusted key, each with whether the register proves it; the oldest first."""
    uris = {each.frame.status_list for each in chain if each.frame is not None}
    found = []
    for paper in papers:
        for uri in uris:
            try:
                token = status_list.read_token(paper.token, jwks=trust.status_keys, uri=uri)
            except BrokerError:
                continue
            proved = _entry(paper.entry, paper.proof, trust) if paper.entry is not None else Registered()
            is_its = proved.leaf is not None and (
                proved.leaf.event is Happening.STATUS_EPOCH
                and proved.leaf.commit == hashlib.sha256(paper.token).digest()
            )
            found.append(_Epoch(token=token, proved=bool(proved.logged and proved.witnessed and is_its)))
    return tuple(sorted(found, key=lambda each: each.token.issued_at))


def _status(examined: Examined, as_of: datetime, epochs: Sequence[_Epoch]) -> Status | None:
    """By the epoch in force on the day asked. One that no register proves is believed only where it narrows."""
    frame, term = examined.frame, examined.term
    if frame is None or term is None:
        return None
    told = [
        (each, state)
        for each in epochs
        if each.token.uri == frame.status_list and (state := _state(each, frame)) is not None
        if each.proved or state is not State.ACTIVE
    ]
    before = [(each, state) for each, state in told if each.token.issued_at <= as_of]
    if not before:
        return None
    ended = [(each, state) for each, state in before if state is State.REVOKED]
    epoch, state = ended[-1] if ended else before[-1]  # nothing brings a revoked one back
    later = next(
        ((after, then) for after, then in told if after.token.issued_at > as_of and then is not State.ACTIVE), None
    )
    if state is not State.ACTIVE:
        later = None
    if state is State.REVOKED and as_of >= term[1]:
        state = State.EXPIRED  # the list says "no longer" alike of what was revoked and of what has ended
    return Status(
        state=state,
        listed_at=epoch.token.issued_at,
        run_out=epoch.token.expires_at is not None and as_of >= epoch.token.expires_at,
        later=None if later is None else later[1],
        later_at=None if later is None else later[0].token.issued_at,
    )


def _narrower(listed: Status | None, own: Status | None) -> Status | None:
    """The lists' word, or the examiner's own where that is of a power that holds no more."""
    if own is None:
        return listed
    if own.state is not State.ACTIVE:
        return own
    return listed if listed is None or own.later is None else replace(listed, later=own.later, later_at=own.later_at)


def _state(epoch: _Epoch, frame: Frame) -> State | None:
    try:
        return _STATES.get(status_list.Status(epoch.token.list.at(frame.status_index)))
    except (BrokerError, ValueError):
        return None
