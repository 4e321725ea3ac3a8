"""The state of every mandate in one signed list, published each epoch and logged (Token Status List)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from broker.delegation.life import State
from broker.delegation.status_list import TYP, Status, claims_of, epoch_leaf, make_list
from broker.errors import DelegationUnknown
from broker.flows import register
from broker.flows.mandate_ports import Epoch
from broker.flows.mandates import STATUS_PATH
from broker.flows.ports import KeyUse, Ports
from broker.ids import MandateNumber
from broker.jose import sign_jws

EVERY: Final = timedelta(minutes=10)
LIFETIME: Final = timedelta(hours=24)
"""An older word is "cannot tell" (design 4.15)."""
_MAY_HOLD: Final = frozenset({State.LOGGED, State.WITNESSED, State.ACTIVE})


def publish(ports: Ports) -> Mapping[str, int]:
    """A new list with its entry in the register, in one unit of work. Without a register, nothing."""
    if ports.register is None:
        return {"published": 0}
    now = ports.clock().replace(microsecond=0)
    uri, origin = f"{ports.policy.issuer}{STATUS_PATH}", register.origin_at(ports.policy.issuer, now)
    signer = ports.keys.signer(KeyUse.MANDATE_STATUS)
    with ports.store.transaction() as tx:
        before = tx.mandates.epoch(uri, at=now)
        if before is not None and before.at >= now:
            return {"published": 0}
        listed = tx.mandates.listed()
        states = {listed[number][0]: _status(number, listed) for number in listed}
        claims = claims_of(
            make_list({place: status for place, status in states.items() if status is not Status.VALID}),
            uri=uri,
            now=now,
            ttl=EVERY,
            lifetime=LIFETIME,
        )
        token = sign_jws(claims, signer=signer, typ=TYP)
        prev = None if before is None or before.log_origin != origin else before.log_index
        leaf = epoch_leaf(token.encode(), at=now, prev=prev)
        (entry,) = register.append(tx, ports.keys, origin=origin, leaves=(leaf,))
        tx.mandates.publish(Epoch(list_uri=uri, at=now, token=token, log_origin=origin, log_index=entry.index))
    return {"published": 1}


def _status(number: MandateNumber, listed: Mapping[MandateNumber, tuple[int, State, MandateNumber | None]]) -> Status:
    """Of a chain the weakest: a power is no better than the one it comes from."""
    worst, at = Status.VALID, number
    for _ in range(len(listed)):
        _, state, parent = listed[at]
        if state is State.SUSPENDED:
            worst = Status.SUSPENDED
        elif state not in _MAY_HOLD:
            return Status.INVALID
        if parent is None or parent not in listed:
            break
        at = parent
    return worst


def in_force(*, at: datetime, ports: Ports) -> Epoch:
    """The list that was the newest at that time. Raises DelegationUnknown: there was none."""
    with ports.store.transaction() as tx:
        epoch = tx.mandates.epoch(f"{ports.policy.issuer}{STATUS_PATH}", at=at)
    if epoch is None:
        raise DelegationUnknown("no status list had been published")
    return epoch
