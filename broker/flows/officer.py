"""An officer asks here what a power of attorney is good for; what our own store has of it is looked up beside it.

Everything is examined as on the officer's own desk (`broker delegation verify`), with this operator's trust: its own
seal's anchors, its own logs under its witnesses, its own status keys. The answer is filed as a signed report.

A document that was sealed here is also found by its number. Whoever has the number and the check code has the
document, and is told everything; by the number alone, which services and other parties may know, only its state.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final

from broker.audit.leaf import Happening
from broker.delegation import lookup
from broker.delegation.asking import question
from broker.delegation.bundle import Bundle
from broker.delegation.examination import Examination, Trust, examine
from broker.delegation.grant import Grant
from broker.delegation.life import State
from broker.delegation.policy import NONE_GIVEN, Policy
from broker.delegation.report import TYP, claims
from broker.delegation.statement import Statement
from broker.delegation.verdict import Question, Reason, Status
from broker.errors import DelegationStateRefused, DelegationUnknown, QuestionInvalid, WitnessMissing
from broker.flows import register
from broker.flows.mandate_papers import SEALED, bundle_of, papers_of
from broker.flows.mandates import chain, known
from broker.flows.ports import KeyUse, Ports, Transaction
from broker.ids import MandateNumber
from broker.jose import sign_jws

SOFTWARE: Final = f"jpki-broker {version('jpki-broker')}"
_FETCHABLE: Final = frozenset({Reason.NOT_WITNESSED, Reason.STATUS_MISSING, Reason.STATUS_OLD, Reason.PARENT_MISSING})
"""What a document by itself does not show, and our own store may."""
_NARROWED: Final = {
    Happening.SUSPEND: State.SUSPENDED,
    Happening.REVOKE: State.REVOKED,
    Happening.SUPERSEDE: State.SUPERSEDED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was found, and the report that says so under this operator's key."""

    found: Examination
    report: Mapping[str, Any]
    signed: str
    """The report as a JWS of type delegation-report+jwt, by a key of /.well-known/receipt-keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a number alone tells: nothing of who, what or how much."""

    number: MandateNumber
    state: State
    at: datetime
    """When this was so."""


def ask(bundle: Bundle, asked: Mapping[str, str], *, authority: str = "", ports: Ports) -> Answer:
    """Examine what was handed in, for the question in `asked` (`asking.question`), under an authority's policy. What
    is missing is taken from our own store where the very document is there.

    Raises QuestionInvalid: no such question or authority; StoreUnavailable.
    """
    put, policy = question(asked, now=ports.clock()), _policy(authority, ports)
    found = _examined(bundle, put, policy, ports=ports)
    signed = found.chain[-1].signed
    if signed is not None and _FETCHABLE & set(found.verdict.reasons):
        ours = _ours(signed.number, put.as_of, ports=ports)
        if ours is not None and ours.chain[-1].pdf == bundle.chain[-1].pdf:
            found = _examined(Bundle(chain=bundle.chain[-1:]).with_evidence(ours), put, policy, ports=ports)
    return _filed(found, ports=ports)


def look_up(number: str, code: str, asked: Mapping[str, str], *, authority: str = "", ports: Ports) -> Answer:
    """The same of the document that goes by this number here, for somebody who has it.

    Raises DelegationUnknown: none does, or the code is another's; QuestionInvalid, StoreUnavailable.
    """
    put, policy = question(asked, now=ports.clock()), _policy(authority, ports)
    return _filed(_examined(fetch(number, code, as_of=put.as_of, ports=ports), put, policy, ports=ports), ports=ports)


def fetch(number: str, code: str, *, as_of: datetime, ports: Ports) -> Bundle:
    """The officer's bundle of that document. Raises DelegationUnknown, StoreUnavailable."""
    with ports.store.transaction() as tx:
        mandate = known(tx, MandateNumber(number))
        try:
            own = papers_of(tx, mandate, ports=ports)
            if own.record is None or not lookup.agrees(code, own.record):
                raise DelegationUnknown("the code is not of this document")
            return bundle_of(tx, mandate, as_of=as_of, ports=ports)
        except (DelegationStateRefused, WitnessMissing) as unsealed:
            raise DelegationUnknown("nothing was sealed under that number") from unsealed


def standing(number: str, *, ports: Ports) -> Standing:
    """The state of the weakest power in the chain, now. Raises DelegationUnknown: nothing was sealed under it."""
    now = ports.clock()
    with ports.store.transaction() as tx:
        powers = chain(tx, known(tx, MandateNumber(number)))
    if powers[-1].state not in SEALED:
        raise DelegationUnknown("nothing was sealed under that number")
    state = next((each.state for each in powers if each.state is not State.ACTIVE), State.ACTIVE)
    if state is State.ACTIVE and any(now >= each.ends for each in powers):
        state = State.EXPIRED
    return Standing(number=MandateNumber(number), state=state, at=now)


def _examined(bundle: Bundle, put: Question, policy: Policy, *, ports: Ports) -> Examination:
    now = ports.clock()
    with ports.store.transaction() as tx:
        trust = own_trust(tx, ports)

    def own(signed: Grant | Statement) -> Status | None:
        if signed.issuer != ports.policy.issuer:
            return None
        with ports.store.transaction() as tx:
            return _own_word(tx, MandateNumber(signed.number), put.as_of, now=now)

    return examine(bundle, put, trust=trust, policy=policy, now=now, own=own)


def _own_word(tx: Transaction, number: MandateNumber, as_of: datetime, *, now: datetime) -> Status | None:
    """What took effect when its row committed, before any list or witness said so (design 4.15)."""
    changes = [(each.at, _NARROWED.get(each.happening, State.ACTIVE)) for each in tx.mandates.story(number)]
    state = next((state for at, state in reversed(changes) if at <= as_of), State.ACTIVE)
    if state is not State.ACTIVE:
        return Status(state=state, listed_at=as_of)
    later = next(((at, state) for at, state in changes if as_of < at <= now and state is not State.ACTIVE), None)
    if later is None:
        return None
    return Status(state=State.ACTIVE, listed_at=as_of, later=later[1], later_at=later[0])


def _ours(number: str, as_of: datetime, *, ports: Ports) -> Bundle | None:
    try:
        with ports.store.transaction() as tx:
            return bundle_of(tx, known(tx, MandateNumber(number)), as_of=as_of, ports=ports)
    except (DelegationUnknown, DelegationStateRefused, WitnessMissing):
        return None


def _filed(found: Examination, *, ports: Ports) -> Answer:
    number = str(uuid.UUID(bytes=ports.entropy(16), version=4))
    report = claims(found, number=number, issuer=ports.policy.issuer, software=SOFTWARE)
    return Answer(
        found=found, report=report, signed=sign_jws(report, signer=ports.keys.signer(KeyUse.RECEIPT), typ=TYP)
    )


def _policy(authority: str, ports: Ports) -> Policy:
    if not authority:
        return NONE_GIVEN
    for policy in ports.authorities:
        if policy.authority == authority:
            return policy
    raise QuestionInvalid("policy: no authority of that name is known here")


def own_trust(tx: Transaction, ports: Ports) -> Trust:
    """What this operator itself relies on. Without a seal or a register nothing is believed."""
    return Trust(
        principals=(*ports.policy.sign_anchors, *(() if ports.corporations is None else ports.corporations.anchors)),
        anchors=() if ports.seal is None else ports.seal.anchors,
        logs=register.own_policy(tx, ports=ports),
        status_keys=ports.keys.history(KeyUse.MANDATE_STATUS),
    )
