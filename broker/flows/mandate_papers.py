"""What is taken away of a mandate that holds, or held: the sealed document, and what proves it without us."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from broker.delegation.bundle import Bundle, Papers, StatusPaper
from broker.delegation.life import State
from broker.errors import DelegationStateRefused, WitnessMissing
from broker.flows import register
from broker.flows.mandate_ports import Mandate
from broker.flows.mandates import STATUS_PATH, chain, context, known, part_of
from broker.flows.my_page import Visit
from broker.flows.ports import Ports, Transaction
from broker.ids import MandateNumber

SEALED: Final = frozenset({State.ACTIVE, State.SUSPENDED, State.REVOKED, State.SUPERSEDED, State.EXPIRED})
_BEFORE: Final = 4
"""Epochs that are looked back for one that witnesses have seen: the newest may be seconds old."""
_SECOND: Final = timedelta(seconds=1)


def papers(who: Visit, number: MandateNumber, *, ports: Ports) -> Papers:
    """For a party. Raises DelegationUnknown; DelegationStateRefused: nothing was sealed; WitnessMissing."""
    with ports.store.transaction() as tx:
        mandate = known(tx, number)
        part_of(tx, number, who.account)
        return papers_of(tx, mandate, ports=ports)


def bundle(who: Visit, number: MandateNumber, *, ports: Ports) -> Bundle:
    """What a party hands to an officer, as of now. Raises as `papers`."""
    with ports.store.transaction() as tx:
        part_of(tx, number, who.account)
        return bundle_of(tx, known(tx, number), as_of=who.now, ports=ports)


def papers_of(tx: Transaction, mandate: Mandate, *, ports: Ports) -> Papers:
    """The sealed PDF, its record, the salt and the register's entry with its proof.

    Raises DelegationStateRefused: nothing was sealed; WitnessMissing; StoreUnavailable.
    """
    sealed = (mandate.document_sealed, mandate.record_sealed, mandate.salt_sealed)
    if mandate.state not in SEALED or mandate.log_origin is None or mandate.log_index is None:
        raise DelegationStateRefused("nothing was sealed")
    proof = register.proof(tx, origin=mandate.log_origin, index=mandate.log_index)
    (entry,) = tx.register_tree.entries(mandate.log_origin, mandate.log_index, 1)
    document, record, salt = (
        ports.keys.unseal(value or b"", context=context(mandate.number, name))
        for value, name in zip(sealed, ("document", "record", "salt"), strict=True)
    )
    return Papers(pdf=document, record=record, salt=salt, entry=entry, proof=proof.to_bytes())


def bundle_of(tx: Transaction, mandate: Mandate, *, as_of: datetime, ports: Ports) -> Bundle:
    """The whole chain with all that proves it, and the status lists of that time and of now. Raises as `papers_of`."""
    powers = chain(tx, mandate)
    now = ports.clock()
    moments = (as_of, now) if as_of < now else (now,)
    found = {paper.token: paper for moment in moments for paper in _epochs(tx, moment, ports=ports)}
    return Bundle(
        chain=tuple(papers_of(tx, each, ports=ports) for each in powers),
        statuses=tuple(found.values()),
        policy=register.shown_policy(tx, {each.log_origin or "" for each in powers}, ports=ports).to_text(),
    )


def _epochs(tx: Transaction, at: datetime, *, ports: Ports) -> tuple[StatusPaper, ...]:
    """The list in force, and where no quorum has seen it yet, the ones before it up to one that was seen."""
    found: list[StatusPaper] = []
    while len(found) < _BEFORE:
        epoch = tx.mandates.epoch(f"{ports.policy.issuer}{STATUS_PATH}", at=at)
        if epoch is None:
            break
        (entry,) = tx.register_tree.entries(epoch.log_origin, epoch.log_index, 1)
        try:
            proof = register.proof(tx, origin=epoch.log_origin, index=epoch.log_index).to_bytes()
        except WitnessMissing:
            found.append(StatusPaper(token=epoch.token.encode(), entry=entry))
            at = epoch.at - _SECOND
            continue
        found.append(StatusPaper(token=epoch.token.encode(), entry=entry, proof=proof))
        break
    return tuple(found)
