"""Acting for a child or a parent at one service (design 4.15): what it needs beyond any other mandate.

guardianship  a service that has seen the papers confirms it, before a guardian's power holds
ending        beside its parties, any other guardian of the child at that service, the service itself, and a protection
              notice of two operators end it at once
acting        the certificate of the person acted for is good now
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from broker.delegation.acts import FAMILY, Kind
from broker.delegation.content import Content
from broker.delegation.grant import Grant
from broker.delegation.life import Role, State
from broker.delegation.record import Proof
from broker.delegation.rules import Rule
from broker.errors import BrokerError, DelegationUnknown, PowerRefused
from broker.flows.mandate_ends import finish
from broker.flows.mandate_evidence import judged, names_signer, opened, signer_of
from broker.flows.mandate_ports import Mandate
from broker.flows.mandates import MandateView, grant_of, known, part_of, unended
from broker.flows.my_page import Visit, check_own
from broker.flows.ports import Ports, Transaction
from broker.ids import AccountID, ClientID, MandateNumber

FRESH: Final = timedelta(seconds=60)
"""How long the word on a principal's certificate counts as "now"."""
_CARD_OF_PRINCIPAL: Final[Mapping[StrEnum, Proof]] = {
    Kind.PERSON: Proof.PRINCIPAL_FRAME,
    Kind.GUARDIAN: Proof.CHILD_CARD,
}


def check_name(content: Content, signature: bytes, *, ports: Ports) -> None:
    """Raises PowerRefused: somebody of another name signed; CertificateError."""
    if not names_signer(content, signer_of(signature, ports=ports)):
        raise PowerRefused(Rule.SIGNER_NAME)


def service_of(grant: Grant) -> ClientID:
    """The one service at which a family's power is good."""
    return ClientID(grant.powers[0].scope.service)


def principal_of(tx: Transaction, number: MandateNumber) -> AccountID | None:
    """Whose record it is about; None until their card has joined."""
    return next((part.account for part in tx.mandates.parts(number) if part.role is Role.PRINCIPAL), None)


def confirmed(tx: Transaction, mandate: Mandate) -> bool:
    """Whether nothing is missing that a service has to say: a guardianship, or it is no guardian's power."""
    shown = {piece.shows for piece in tx.mandates.evidence(mandate.number)}
    return mandate.kind is not Kind.GUARDIAN or Proof.GUARDIANSHIP in shown


def protected(tx: Transaction, mandate: Mandate) -> bool:
    """Whether a protection notice stands for who is acted for."""
    if mandate.kind not in FAMILY:
        return False
    principal = principal_of(tx, mandate.number)
    return principal is not None and tx.mandates.protected(principal)


def principal_is_good(mandate: Mandate, *, ports: Ports) -> bool:
    """Whether the certificate by which the principal joined is good now; what cannot be told is not good.

    It asks a source of revocation: not within a unit of work.
    """
    with ports.store.transaction() as tx:
        pieces = tx.mandates.evidence(mandate.number)
    shows = _CARD_OF_PRINCIPAL.get(mandate.kind)
    try:
        (piece,) = (each for each in pieces if each.shows is shows)
        judged(piece.shows, opened(mandate.number, piece, ports=ports), ports=ports)
    except (BrokerError, ValueError):
        return False
    return True


class Waits(StrEnum):
    """What is missing until it holds."""

    SIGNATURE = "signature"
    CHILD_CARD = "child_card"
    ACCEPTANCE = "acceptance"
    SERVICE = "service"
    PROCESSING = "processing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a party is told of a family's power beside what stands in it."""

    waits_for: Waits | None
    others: tuple[MandateNumber, ...]
    """Other guardians' powers that the viewer may end."""


def standing(who: Visit, view: MandateView, *, ports: Ports) -> Standing:
    """Raises DelegationUnknown, StoreUnavailable."""
    mandate = view.mandate
    with ports.store.transaction() as tx:
        said = confirmed(tx, mandate)
        found = tuple(_others(tx, mandate, ports=ports)) if view.role is Role.AGENT else ()
    for_child = mandate.kind is Kind.GUARDIAN
    waits: Waits | None = {
        State.DRAFT: Waits.SIGNATURE,
        State.SIGNED: Waits.CHILD_CARD if for_child else Waits.ACCEPTANCE,
        State.APPROVED: Waits.CHILD_CARD if for_child else Waits.ACCEPTANCE,
        State.ACCEPTED: Waits.PROCESSING if said else Waits.SERVICE,
        State.VERIFIED: Waits.PROCESSING,
        State.LOGGED: Waits.PROCESSING,
        State.WITNESSED: Waits.PROCESSING,
    }.get(mandate.state)
    if view.mine.account is not None:
        check_own(who, view.mine.account)
    return Standing(waits_for=waits, others=found)


# --- acting ----------------------------------------------------------------------------------------------------------


def ask(numbers: Iterable[str], *, ports: Ports) -> None:
    """Ask now, before a unit of work that answers a service, whether who is acted for has a good certificate, and write
    down that it is; `may_act` reads that. Only powers of families are asked about.
    """
    for number in frozenset(numbers):
        with ports.store.transaction() as tx:
            mandate = tx.mandates.get(MandateNumber(number))
        if mandate is None or mandate.kind not in FAMILY or mandate.state is not State.ACTIVE:
            continue
        asked_at = ports.clock()
        if principal_is_good(mandate, ports=ports):
            with ports.store.transaction() as tx:
                tx.mandates.seen_good(mandate.number, at=asked_at)


def may_act(tx: Transaction, number: MandateNumber, principal: AccountID, *, now: datetime) -> bool:
    """Whether nothing about the person acted for forbids it: no protection notice stands, and their certificate was
    asked about within the last minute and was good.
    """
    mandate = tx.mandates.get(number)
    if mandate is None or mandate.principal_good_at is None or tx.mandates.protected(principal):
        return False
    return now - mandate.principal_good_at <= FRESH


# --- ending ----------------------------------------------------------------------------------------------------------


def end_other(who: Visit, number: MandateNumber, other: MandateNumber, *, ports: Ports) -> None:
    """A guardian, whose own power is `number`, ends that of another. Raises DelegationUnknown."""
    with ports.store.transaction() as tx:
        if tx.mandates.lock(number) is not State.ACTIVE:
            raise DelegationUnknown("no guardian whose power holds")
        part_of(tx, number, who.account, Role.AGENT)
        if other not in _others(tx, known(tx, number), ports=ports):
            raise DelegationUnknown("no other guardian's power")
        finish(tx, other, by=who.account, now=who.now, ports=ports)


def _others(tx: Transaction, mine: Mandate, *, ports: Ports) -> Iterator[MandateNumber]:
    """Other guardians' powers for the same child at the same service, while this one holds."""
    child = principal_of(tx, mine.number)
    if mine.kind is not Kind.GUARDIAN or mine.state is not State.ACTIVE or child is None:
        return
    service = service_of(grant_of(mine, ports=ports))
    for other in unended(tx, child):
        if other.number == mine.number or other.kind is not Kind.GUARDIAN or other.role is not Role.PRINCIPAL:
            continue
        if service_of(grant_of(known(tx, other.number), ports=ports)) == service:
            yield other.number


def protect(tx: Transaction, account: AccountID, *, now: datetime, ports: Ports) -> None:
    """Nobody acts for this person until the notice is lifted, and what had been granted has ended."""
    tx.mandates.protect(account, now=now)
    for each in unended(tx, account):
        if each.kind in FAMILY and each.role is Role.PRINCIPAL:
            finish(tx, each.number, by=None, now=now, ports=ports)
