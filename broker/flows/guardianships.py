"""What a service does about guardianships at it (design 4.15), from server to server by its own key.

`listed` shows what a guardian who logged in there has applied for, `confirm` says that the service has seen the papers,
and `end` stops it at once. A service sees the powers that are granted for itself, and no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, Final

from broker.audit.entry import Entry, Event
from broker.delegation.acts import FAMILY, Kind
from broker.delegation.family import of_age
from broker.delegation.life import Role, State
from broker.delegation.record import Proof
from broker.delegation.rules import Rule
from broker.errors import (
    BrokerError,
    DelegationStateRefused,
    DelegationUnknown,
    InvalidRequest,
    PowerRefused,
    UnauthorizedClient,
)
from broker.flows.call import Call
from broker.flows.client_authentication import AuthenticatedClient, authenticate
from broker.flows.family_mandates import confirmed, principal_of, service_of
from broker.flows.mandate_ends import finish
from broker.flows.mandate_ports import Mandate, Piece
from broker.flows.mandates import context, grant_bytes, grant_of, known, sha256, unended
from broker.flows.ports import Ports, Transaction
from broker.flows.rate import Rate, check_rate
from broker.ids import AccountID, MandateNumber, Subject
from broker.jose import b64url, compact_json
from broker.oidc.authorization import single_values

_CALLS: Final = Rate(limit=600, window=timedelta(minutes=1))


_SHOWN: Final = frozenset({State.ACCEPTED, State.VERIFIED, State.LOGGED, State.WITNESSED, State.ACTIVE})
"""From where both cards have been read."""


class Basis(StrEnum):
    """What the service has seen."""

    MATERNAL_HANDBOOK = "maternal_handbook"
    """母子健康手帳."""
    FAMILY_REGISTER = "family_register"
    """戸籍の全部・一部事項証明書."""
    GUARDIAN_REGISTER = "guardian_register"
    """未成年後見人の記載のある戸籍, or the court's decision."""


def listed(call: Call, *, ports: Ports) -> list[dict[str, Any]]:
    """Those that wait for this service or hold at it, where `sub` is who acts.

    Raises InvalidClient, InvalidRequest, UnauthorizedClient, TooManyRequests.
    """
    parameters = single_values(call.pairs)
    who = _service(call, parameters, ports=ports)
    if "sub" not in parameters:
        raise InvalidRequest("sub is required")
    with ports.store.transaction() as tx:
        refusal = _admit(tx, who, ports=ports)
        guardian = tx.accounts.holder(who.client.sector, Subject(parameters["sub"]))
        found = () if guardian is None or refusal is not None else _acting(tx, guardian)
        told = [
            _told(tx, mandate, who, ports=ports)
            for mandate in sorted(found, key=lambda each: each.created_at, reverse=True)
            if mandate.state in _SHOWN and _is_here(mandate, who, ports=ports)
        ]
    if refusal is not None:
        raise refusal
    return told


def _acting(tx: Transaction, guardian: AccountID) -> Iterator[Mandate]:
    for each in unended(tx, guardian):
        if each.role is Role.AGENT and each.kind in FAMILY:
            yield known(tx, each.number)


def confirm(call: Call, *, ports: Ports) -> None:
    """The service has seen, by `basis`, that the guardian of `number` is one. The child's `birthdate` is compared with
    the end of the power, and not kept.

    Raises InvalidClient, InvalidRequest, UnauthorizedClient, TooManyRequests, DelegationUnknown, DelegationStateRefused
    (the child's card has not joined, or it was confirmed before), PowerRefused: it outlasts childhood.
    """
    parameters = single_values(call.pairs)
    who, now = _service(call, parameters, ports=ports), ports.clock()
    basis, born = _basis(parameters), _birthdate(parameters)
    fault: BrokerError | None = None
    with ports.store.transaction() as tx:
        fault = _admit(tx, who, ports=ports)
        if fault is None:
            try:
                mandate = _here(tx, parameters, who, ports=ports)
                if (
                    mandate.kind is not Kind.GUARDIAN
                    or tx.mandates.lock(mandate.number) is not State.ACCEPTED
                    or confirmed(tx, mandate)
                ):
                    raise DelegationStateRefused("the child's card has not joined it, or it was confirmed before")
                if born > now.date() or grant_of(mandate, ports=ports).ends > of_age(born):
                    raise PowerRefused(Rule.OF_AGE, "birthdate")
            except BrokerError as refused:
                fault = refused  # the assertion is used up all the same
            else:
                seen = {"at": int(now.timestamp()), "basis": basis.value, "client_id": who.client.client_id}
                said = compact_json(
                    seen | {"grant": sha256(grant_bytes(mandate, ports=ports)), "number": mandate.number}
                )
                digest = sha256(said)
                sealed = ports.keys.seal(said, context=context(mandate.number, f"evidence {digest}"))
                tx.mandates.keep(mandate.number, Piece(shows=Proof.GUARDIANSHIP, sha256=digest, sealed=sealed, at=now))
                tx.audit.append(
                    Entry(
                        at=now,
                        event=Event.GUARDIANSHIP_CONFIRMED,
                        client_id=who.client.client_id,
                        reference=mandate.number,
                        detail={"basis": basis.value},
                    )
                )
    if fault is not None:
        raise fault


def end(call: Call, *, ports: Ports) -> None:
    """Stop one at once, wherever it stands; ended before, it stays so.

    Raises InvalidClient, InvalidRequest, UnauthorizedClient, TooManyRequests, DelegationUnknown.
    """
    parameters = single_values(call.pairs)
    who, now = _service(call, parameters, ports=ports), ports.clock()
    fault: BrokerError | None = None
    with ports.store.transaction() as tx:
        fault = _admit(tx, who, ports=ports)
        if fault is None:
            try:
                mandate = _here(tx, parameters, who, ports=ports)
            except DelegationUnknown as unknown:
                fault = unknown
            else:
                finish(tx, mandate.number, by=None, now=now, ports=ports)
                tx.audit.append(
                    Entry(
                        at=now,
                        event=Event.GUARDIANSHIP_ENDED,
                        client_id=who.client.client_id,
                        reference=mandate.number,
                    )
                )
    if fault is not None:
        raise fault


# --- judging ---------------------------------------------------------------------------------------------------------


def _service(call: Call, parameters: Mapping[str, str], *, ports: Ports) -> AuthenticatedClient:
    who = authenticate(call, parameters, ports=ports)
    if not who.client.takes_family_mandates:
        raise UnauthorizedClient("nobody acts for others at this client")
    return who


def _admit(tx: Transaction, who: AuthenticatedClient, *, ports: Ports) -> BrokerError | None:
    check_rate(tx.attempts, f"guardianships:{who.client.client_id}", _CALLS, now=ports.clock())
    return who.use_up(tx)


def _here(tx: Transaction, parameters: Mapping[str, str], who: AuthenticatedClient, *, ports: Ports) -> Mandate:
    """Raises InvalidRequest, DelegationUnknown: none, or none of this service's."""
    if "number" not in parameters:
        raise InvalidRequest("number is required")
    mandate = known(tx, MandateNumber(parameters["number"]))
    if not _is_here(mandate, who, ports=ports):
        raise DelegationUnknown("no guardianship at this service")
    return mandate


def _is_here(mandate: Mandate, who: AuthenticatedClient, *, ports: Ports) -> bool:
    return mandate.kind in FAMILY and service_of(grant_of(mandate, ports=ports)) == who.client.client_id


def _told(tx: Transaction, mandate: Mandate, who: AuthenticatedClient, *, ports: Ports) -> dict[str, Any]:
    grant = grant_of(mandate, ports=ports)
    child = principal_of(tx, mandate.number)
    told: dict[str, Any] = {
        "number": mandate.number,
        "kind": mandate.kind.value,
        "state": mandate.state.value,
        "confirmed": confirmed(tx, mandate),
        "child_name": grant.principal.name,
        "guardian_name": grant.agent.name,
        "acts": sorted(act.value for act in grant.powers[0].acts),
        "begins": grant.begins.isoformat(),
        "ends": grant.ends.isoformat(),
    }
    if grant.agent.title:
        told["relation"] = grant.agent.title
    if child is not None:
        told["child"] = tx.accounts.subject(child, who.client.sector, fresh=Subject(b64url(ports.entropy(32))))
    return told


def _basis(parameters: Mapping[str, str]) -> Basis:
    try:
        return Basis(parameters.get("basis", ""))
    except ValueError:
        raise InvalidRequest(f"basis: one of {', '.join(Basis)}") from None


def _birthdate(parameters: Mapping[str, str]) -> date:
    text = parameters.get("birthdate", "")
    try:
        born = date.fromisoformat(text)
    except ValueError:
        raise InvalidRequest("birthdate: YYYY-MM-DD") from None
    if len(text) != 10 or not 1900 <= born.year <= 2200:
        raise InvalidRequest("birthdate: YYYY-MM-DD")
    return born
