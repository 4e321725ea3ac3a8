"""From the agent's acceptance to the sealed document, step by step, each kept before the next begins.

verify   every certificate of a party is judged again; a corporation's power waits for two operators who have held a
         registry extract against the grant
log      record and document are made, and their commitment goes into the register with the mandate's own row
witness  a quorum has seen the entry
seal     the document is sealed, and the mandate holds
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import structlog

from broker.audit.entry import Entry, Event
from broker.audit.leaf import SALT_SIZE, Happening, Leaf, commitment
from broker.audit.receipt import Decision
from broker.delegation import record as records
from broker.delegation.acts import FAMILY
from broker.delegation.content import Content, name_of, principal_of
from broker.delegation.grant import Grant, Method, PartyKind
from broker.delegation.life import Deed, State
from broker.delegation.record import Evidence, Proof, Record, StatementRecord
from broker.delegation.rules import Rule
from broker.delegation.statement import Statement
from broker.delegation.status_list import random_place
from broker.errors import (
    BrokerError,
    CertificateError,
    DelegationStateRefused,
    PowerRefused,
    RevocationUnknown,
    WitnessMissing,
)
from broker.flows import mandate_uploads, register
from broker.flows.account_orders import check_operator
from broker.flows.family_mandates import confirmed, protected
from broker.flows.mandate_ends import change, log_changes
from broker.flows.mandate_evidence import SIGNATURES, judged, names_signer, opened
from broker.flows.mandate_ports import Mandate, Piece
from broker.flows.mandates import HELD, STATUS_PATH, chain, content_of, context, grant_bytes, known, sha256, tell
from broker.flows.ports import KeyUse, Ports, Transaction
from broker.flows.sealed_documents import print_record, seal_printed, template_hash
from broker.ids import MandateNumber
from broker.jose import sign_jws
from broker.jpki.certificate import TrustedCertificate

TEMPLATE: Final = "poa"
JUDGES: Final = 2
"""Operators who look at a registry extract."""
_log = structlog.get_logger("broker.mandates")


def issue(ports: Ports) -> Mapping[str, int]:
    """Take every mandate as far as it goes now; how many took each step. Without a register and a seal, nothing."""
    steps: tuple[tuple[str, State, Callable[[Mandate, Ports], bool]], ...] = (
        ("verified", State.ACCEPTED, _verify),
        ("logged", State.VERIFIED, _enter),
        ("witnessed", State.LOGGED, _witnessed),
        ("sealed", State.WITNESSED, _seal),
    )
    counts = {name: 0 for name, _, _ in steps} | {"resumed": 0, "failed": 0}
    if ports.register is None or ports.seal is None:
        return counts
    counts |= log_changes(ports)
    for name, state, step in steps:
        with ports.store.transaction() as tx:
            waiting = [known(tx, number) for number in tx.mandates.waiting(state)]
        for mandate in waiting:
            try:
                counts[name] += step(mandate, ports)
            except BrokerError as failed:  # the next one is not to wait for it
                counts["failed"] += 1
                _log.warning("mandate_waits", number=mandate.number, step=name, reason=type(failed).__name__)
    counts["resumed"] = _resumed(ports)
    return counts


# --- verify ----------------------------------------------------------------------------------------------------------


def _verify(mandate: Mandate, ports: Ports) -> bool:
    """Raises RevocationUnknown, StoreUnavailable: it waits. A certificate that does not hold ends the mandate."""
    content = content_of(mandate, ports=ports)
    with ports.store.transaction() as tx:
        pieces, judges = tx.mandates.evidence(mandate.number), tx.mandates.judges(mandate.number)
        said = confirmed(tx, mandate) and not protected(tx, mandate)
    uploaded = _uploaded(pieces)
    if not said or (principal_of(content).kind is PartyKind.CORPORATION and not uploaded and not _agree(judges)):
        return False  # for days, perhaps: no source is asked meanwhile
    now = ports.clock()
    decisions, signer = [], None
    try:
        for piece in pieces:
            if piece.shows is Proof.GUARDIANSHIP:
                continue  # a service's word, and no card's
            data = opened(mandate.number, piece, ports=ports)
            if uploaded and piece.shows is Proof.PRINCIPAL_SIGNATURE:
                trusted, found = _judged_upload(data, grant_bytes(mandate, ports=ports), ports=ports)
            else:
                trusted, found = judged(piece.shows, data, ports=ports)
            decisions.append({"shows": piece.shows.value, "sha256": piece.sha256, **found.members()})
            signer = trusted if piece.shows in SIGNATURES else signer
    except RevocationUnknown:
        raise  # it waits until somebody can tell
    except (CertificateError, PowerRefused) as refused:
        _log.warning("mandate_refused", number=mandate.number, reason=type(refused).__name__)
        with ports.store.transaction() as tx:
            change(tx, mandate.number, Deed.ABANDON, by=None, now=now, ports=ports)
        return False
    if signer is None or (not uploaded and _needs_judges(content, signer) and not _agree(judges)):
        return False
    claims = {
        "iss": ports.policy.issuer,
        "iat": int(now.timestamp()),
        "number": mandate.number,
        name_of(content): sha256(grant_bytes(mandate, ports=ports)),
        "certificates": decisions,
        "registry_extract": next(iter(judges.values()), None),
        "judges": len(judges),
    }
    signed = sign_jws(claims, signer=ports.keys.signer(KeyUse.RECEIPT), typ="mandate-decision+jwt").encode()
    with ports.store.transaction() as tx:
        if tx.mandates.lock(mandate.number) is not State.ACCEPTED or not _chain_holds(tx, mandate):
            return False
        digest = sha256(signed)
        sealed = ports.keys.seal(signed, context=context(mandate.number, f"evidence {digest}"))
        tx.mandates.keep(mandate.number, Piece(shows=Proof.DECISION, sha256=digest, sealed=sealed, at=now))
        if not tx.mandates.move(mandate.number, Deed.VERIFY, now=now):
            raise DelegationStateRefused("changed at the same moment")
        tell(tx, mandate, Deed.VERIFY, by=None, now=now)
    return True


def _uploaded(pieces: Sequence[Piece]) -> bool:
    """Whether its principal signed with a corporation's own certificate: then no card's frame stands beside it."""
    shown = {piece.shows for piece in pieces}
    return Proof.PRINCIPAL_SIGNATURE in shown and Proof.PRINCIPAL_FRAME not in shown


def _judged_upload(cms: bytes, grant: bytes, *, ports: Ports) -> tuple[TrustedCertificate, Decision]:
    """Raises PowerRefused; RevocationUnknown where it has to wait."""
    now = ports.clock()
    try:
        proved = mandate_uploads.judge(cms, grant, ports=ports)
    except PowerRefused as refused:
        if refused.rule == Rule.SIGNER_UNPROVED:
            raise RevocationUnknown("the registrar's lists tell nothing now") from refused
        raise
    evidence = proved.evidence
    told = Decision(
        use=proved.certificate.profile,
        kind=proved.certificate.kind,
        source=evidence.source,
        this_update=evidence.this_update,
        checked_at=now,
    )
    return proved.certificate, told


def _needs_judges(content: Content, signer: TrustedCertificate) -> bool:
    """A card proves a person and never a corporation; nor a business whose name is not its holder's."""
    if principal_of(content).kind is PartyKind.CORPORATION:
        return True
    return not names_signer(content, signer)


def _agree(judges: Mapping[str, str]) -> bool:
    return len(judges) >= JUDGES and len(set(judges.values())) == 1


def to_judge(*, ports: Ports) -> tuple[tuple[MandateNumber, Content, int], ...]:
    """The mandates that wait for an extract to be held against them, and how many have done so."""
    with ports.store.transaction() as tx:
        waiting = [
            (known(tx, number), len(tx.mandates.judges(number)))
            for number in tx.mandates.waiting(State.ACCEPTED)
            if not _uploaded(tx.mandates.evidence(number))
        ]
    return tuple(
        (mandate.number, content_of(mandate, ports=ports), count)
        for mandate, count in waiting
        if mandate.kind not in FAMILY
    )


def judge_extract(number: MandateNumber, extract: bytes, *, operator: str, secret: str, ports: Ports) -> int:
    """One operator has held the registry extract (登記事項証明書) against the grant; how many have by now.

    Raises OperatorRefused, DelegationUnknown, DelegationStateRefused: the same operator again, another extract, or too
    late.
    """
    now, digest = ports.clock(), hashlib.sha256(extract).hexdigest()
    with ports.store.transaction() as tx:
        check_operator(tx, operator, secret)
        state = tx.mandates.lock(number)
        mandate = known(tx, number)
        if state is not State.ACCEPTED:
            raise DelegationStateRefused(f"nothing is judged while {mandate.state.value}")
        if set(tx.mandates.judges(number).values()) - {digest}:
            raise DelegationStateRefused("another operator looked at another extract")
        if not tx.mandates.judge(number, operator, sha256=digest, now=now):
            raise DelegationStateRefused("one operator is one")
        tx.audit.append(Entry(at=now, event=Event.MANDATE_JUDGED, reference=number, detail={"operator": operator}))
        return len(tx.mandates.judges(number))


def _chain_holds(tx: Transaction, mandate: Mandate) -> bool:
    return all(each.state is State.ACTIVE for each in chain(tx, mandate)[:-1])


# --- log -------------------------------------------------------------------------------------------------------------


def _enter(mandate: Mandate, ports: Ports) -> bool:
    """Record, document and commitment; the row and the register's entry commit together."""
    now = ports.clock().replace(microsecond=0)
    origin, number = register.origin_at(ports.policy.issuer, now), mandate.number
    with ports.store.transaction() as tx:
        pieces = tx.mandates.evidence(mandate.number)
        place = random_place(ports.entropy)
        while tx.mandates.place_taken(place):
            place = random_place(ports.entropy)
    evidence = [
        Evidence(shows=piece.shows, sha256=piece.sha256, at=piece.at.replace(microsecond=0)) for piece in pieces
    ]
    content = content_of(mandate, ports=ports)
    travels = [piece for piece in pieces if piece.shows is Proof.PRINCIPAL_SIGNATURE]
    data = _record(
        grant_bytes(mandate, ports=ports),
        content,
        signature=opened(number, travels[-1], ports=ports) if _own_file(content) and travels else b"",
        issued_at=now,
        evidence=tuple(evidence),
        status_list=f"{ports.policy.issuer}{STATUS_PATH}",
        status_index=place,
        log_origin=origin,
        template=f"{TEMPLATE}:{template_hash(ports=ports)}",
    )
    unsigned = print_record(data, ports=ports)
    salt = ports.entropy(SALT_SIZE)
    commit = commitment(salt, data, unsigned)
    with ports.store.transaction() as tx:
        if tx.mandates.lock(number) is not State.VERIFIED or not _chain_holds(tx, mandate):
            return False
        leaf = Leaf(event=Happening.ISSUE, commit=commit, at=now)
        (entry,) = register.append(tx, ports.keys, origin=origin, leaves=(leaf,))
        salt_sealed = ports.keys.seal(salt, context=context(number, "salt"))
        logged = replace(
            mandate,
            status_index=place,
            record_sealed=ports.keys.seal(data, context=context(number, "record")),
            salt_sealed=salt_sealed,
            document_sealed=ports.keys.seal(unsigned, context=context(number, "document")),
            log_origin=origin,
            log_index=entry.index,
        )
        tx.mandates.happen(
            number,
            Happening.ISSUE,
            at=now,
            salt_sealed=salt_sealed,
            commit=commit,
            log_origin=origin,
            log_index=entry.index,
        )
        if not tx.mandates.log(logged, now=now):
            raise DelegationStateRefused("changed at the same moment")
        tell(tx, mandate, Deed.LOG, by=None, now=now)
    return True


def _own_file(content: Content) -> bool:
    """Whether its principal's own signature travels with it (委任者記録ファイル方式)."""
    return isinstance(content, Grant) and content.method is Method.PRINCIPAL_FILE


def _record(signed: bytes, content: Content, *, signature: bytes, **frame: Any) -> bytes:
    """Raises PowerRefused."""
    if isinstance(content, Statement):
        return records.write_statement(StatementRecord(statement_bytes=signed, statement=content, **frame))
    return records.write(Record(grant_bytes=signed, grant=content, signature=signature, **frame))


# --- witness, seal ---------------------------------------------------------------------------------------------------


def _witnessed(mandate: Mandate, ports: Ports) -> bool:
    with ports.store.transaction() as tx:
        try:
            register.proof(tx, origin=mandate.log_origin or "", index=mandate.log_index or 0)
        except WitnessMissing:
            return False
        return tx.mandates.move(mandate.number, Deed.WITNESS, now=ports.clock())


def _seal(mandate: Mandate, ports: Ports) -> bool:
    unsigned = ports.keys.unseal(mandate.document_sealed or b"", context=context(mandate.number, "document"))
    sealed = seal_printed(unsigned, ports=ports)
    now = ports.clock()
    with ports.store.transaction() as tx:
        if tx.mandates.lock(mandate.number) is not State.WITNESSED or not _chain_holds(tx, mandate):
            return False
        kept = ports.keys.seal(sealed, context=context(mandate.number, "document"))
        if not tx.mandates.seal(mandate.number, kept, now=now):
            raise DelegationStateRefused("changed at the same moment")
        tell(tx, mandate, Deed.SEAL, by=None, now=now)
        if mandate.supersedes is not None and tx.mandates.lock(mandate.supersedes) in HELD:
            change(tx, mandate.supersedes, Deed.SUPERSEDE, by=None, now=now, ports=ports)
    return True


def _resumed(ports: Ports) -> int:
    """What its principal resumed holds again once a quorum has seen that."""
    count = 0
    with ports.store.transaction() as tx:
        waiting = tx.mandates.resuming()
    for mandate in waiting:
        with ports.store.transaction() as tx:
            try:
                register.proof(tx, origin=mandate.resume_origin or "", index=mandate.resume_index or 0)
            except WitnessMissing:
                continue
            count += tx.mandates.move(mandate.number, Deed.RESUME, now=ports.clock())
    return count
