"""What a party takes away of a mandate that holds, or held: the sealed document, and what proves it without us."""

from __future__ import annotations

from dataclasses import dataclass, field

from broker.delegation.life import State
from broker.errors import DelegationStateRefused
from broker.flows import register
from broker.flows.mandates import context, known, part_of
from broker.flows.my_page import Visit
from broker.flows.ports import Ports
from broker.ids import MandateNumber

_SEALED = frozenset({State.ACTIVE, State.SUSPENDED, State.REVOKED, State.SUPERSEDED, State.EXPIRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Papers:
    """The parts of an officer's bundle."""

    document: bytes = field(repr=False)
    """The sealed PDF."""
    record: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    proof: bytes = field(repr=False)
    """A `.tlog-proof` of the entry that issued it, with the entry itself as its extra data."""


def papers(who: Visit, number: MandateNumber, *, ports: Ports) -> Papers:
    """Raises DelegationUnknown; DelegationStateRefused: nothing was sealed; WitnessMissing."""
    with ports.store.transaction() as tx:
        mandate = known(tx, number)
        part_of(tx, number, who.account)
        sealed = (mandate.document_sealed, mandate.record_sealed, mandate.salt_sealed)
        if mandate.state not in _SEALED or mandate.log_origin is None or mandate.log_index is None:
            raise DelegationStateRefused("nothing was sealed")
        proof = register.proof(tx, origin=mandate.log_origin, index=mandate.log_index)
    document, record, salt = (
        ports.keys.unseal(value or b"", context=context(number, name))
        for value, name in zip(sealed, ("document", "record", "salt"), strict=True)
    )
    return Papers(document=document, record=record, salt=salt, proof=proof.to_bytes())
