"""A link (官民ID連携): by which number of its own a service knows the person behind a pseudonym (design 4.11).

It lives in (client, account) and nowhere else. The service names the number, the person's card signs twice (R3), and
what speaks against it (R6) is found before it takes effect: one card with two numbers at a service, or two cards with
one, waits for a second confirmation. Nothing here matches people by name, birth date or address (R7).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from broker.accounts.credential import CredentialKey
from broker.errors import (
    LinkCardChanged,
    LinkRequestUnknown,
    LinkStateRefused,
)
from broker.ids import AccountID, ClientID, LinkID, Subject, TransactionID

REQUEST_LIFETIME: Final = timedelta(minutes=10)
"""From the service's call to the second reading of the card."""
CONFIRMATION_LIFETIME: Final = timedelta(days=7)
"""How long a link waits for its second confirmation; then it ends."""


# --- records ---------------------------------------------------------------------------------------------------------


class LinkState(StrEnum):
    """Where a link stands. STARTED lives in a LinkRequest; the others in a Link."""

    STARTED = "started"
    """The service has asked; the card has not signed twice."""
    HELD = "held"
    """The card has signed twice, and R6 asks for a second confirmation: nobody is told the number."""
    ACTIVE = "active"
    ENDED = "ended"


class LinkAct(StrEnum):
    """What happens to a link."""

    COMMIT = "commit"
    HOLD = "hold"
    CONFIRM = "confirm"
    END = "end"


NEXT: Final[Mapping[tuple[LinkState, LinkAct], LinkState]] = MappingProxyType(
    {
        (LinkState.STARTED, LinkAct.COMMIT): LinkState.ACTIVE,
        (LinkState.STARTED, LinkAct.HOLD): LinkState.HELD,
        (LinkState.STARTED, LinkAct.END): LinkState.ENDED,
        (LinkState.HELD, LinkAct.CONFIRM): LinkState.ACTIVE,
        (LinkState.HELD, LinkAct.END): LinkState.ENDED,
        (LinkState.ACTIVE, LinkAct.END): LinkState.ENDED,
    }
)
"""Every step there is. An ended link never comes back: a new one is started, with the card."""


def follow(state: LinkState, act: LinkAct) -> LinkState:
    """The state after `act`. Raises LinkStateRefused."""
    try:
        return NEXT[state, act]
    except KeyError:
        raise LinkStateRefused(f"a link that is {state.value} cannot {act.value}") from None


class Ending(StrEnum):
    """Why a link ended."""

    BY_RESIDENT = "resident"
    BY_CLIENT = "client"
    BY_OPERATOR = "operator"
    CHANGED = "changed"
    """The card signed for another number in its place."""
    UNCONFIRMED = "unconfirmed"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    ACCOUNT_DELETED = "account_deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What the first reading of the card left: the second must be of the same (R3)."""

    account: AccountID = field(repr=False)
    key: CredentialKey = field(repr=False)
    transaction: TransactionID
    frame_sealed: bytes = field(repr=False)
    """What the card signed, for the second frame to name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRequest:
    """A service's wish to bind its number to whoever comes with its handle. Found by the handle's SHA-256."""

    digest: bytes = field(repr=False)
    link_id: LinkID
    client_id: ClientID
    subject: Subject | None = field(default=None, repr=False)
    """The only one who may answer, where the service knows a pseudonym already."""
    source: ClientID | None = None
    """Whose ID is to be read; None where the number is the service's own."""
    value_sealed: bytes = field(default=b"", repr=False)
    value_fingerprint: bytes = field(default=b"", repr=False)
    replaces: bytes = field(default=b"", repr=False)
    """Fingerprint of the number that the service says the new one takes the place of."""
    action: str
    """RFC 8785 JSON, as the card signs it at both readings."""
    expires_at: datetime
    start: Start | None = None
    refusals: int = 0
    """How often it did not go on (R9)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link. The number is sealed under (client, account): in another's place it does not open (R5)."""

    link_id: LinkID
    client_id: ClientID
    account: AccountID = field(repr=False)
    source: ClientID | None = None
    value_sealed: bytes = field(default=b"", repr=False)
    value_fingerprint: bytes = field(default=b"", repr=False)
    state: LinkState
    unique_person: bool = False
    """J-LIS's mapping has shown that this account is the only one of its person."""
    committed_at: datetime
    active_at: datetime | None = None
    ended_at: datetime | None = None
    ended_because: Ending | None = None
    start_transaction: TransactionID
    commit_transaction: TransactionID


# --- numbers ---------------------------------------------------------------------------------------------------------


def masked(value: str) -> str:
    """Enough of a number for its owner to know it by: at most its last three characters, never more than a third."""
    shown = min(3, len(value) // 3)
    return "•" * (len(value) - shown) + value[len(value) - shown :]


def commitment(handle: str, value: str) -> bytes:
    """What the card signs in the number's place: nobody finds the number from it without the handle, of 256 bits."""
    return hashlib.sha256(f"jpki-fed link\x00{handle}\x00{value}".encode()).digest()


# --- decisions -------------------------------------------------------------------------------------------------------


def check_start(request: LinkRequest, *, account: AccountID, key: CredentialKey) -> None:
    """May this card begin (or begin again) what was asked? The first card binds the request to its holder.

    Raises LinkCardChanged: another person has begun it (two tabs, a terminal left open).
    """
    if request.start is not None and (request.start.account != account or request.start.key != key):
        raise LinkCardChanged("another card has begun this link")


def check_commit(request: LinkRequest | None, *, key: CredentialKey) -> Start:
    """The first reading that this card may finish (R3). Raises LinkRequestUnknown, LinkCardChanged."""
    if request is None or request.start is None:
        raise LinkRequestUnknown("run out, answered, or never begun")
    if request.start.key != key:
        raise LinkCardChanged("another card than at the first reading")
    return request.start


class AlarmKind(StrEnum):
    """What R6 wants looked at."""

    ONE_CARD_TWO_IDS = "one_card_two_ids"
    ONE_ID_TWO_CARDS = "one_id_two_cards"
    CARD_CHANGED = "card_changed"
    """Two cards in one linking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkAlarm:
    """One thing for the operators to look at."""

    alarm_id: str
    at: datetime
    kind: AlarmKind
    client_id: ClientID
    link_id: LinkID
    """What was being made."""
    other: LinkID | None = None
    """What it met."""
    closed_at: datetime | None = None
    closed_by: str | None = None
    decision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of a link that the card has signed for twice."""

    act: LinkAct
    """END: it is refused, the number may never change hands."""
    same: Link | None = None
    """There already: nothing is made anew."""
    ends: tuple[Link, ...] = ()
    """What it takes the place of."""
    alarms: tuple[tuple[AlarmKind, Link], ...] = ()


def decide(
    request: LinkRequest, *, account: AccountID, mine: Link | None, others: Link | None, transferable: bool = True
) -> Decision:
    """Judge a new link against what there is (R6).

    `mine` is the link that this person has at the client, `others` one of another person to the same number; where
    numbers are not transferable, both may have ended: one person, one ticket, for good.
    """
    if mine is not None and mine.account != account:
        raise ValueError("`mine` is another person's")
    if others is not None and (others.account == account or not request.value_fingerprint):
        raise ValueError("`others` is this person's own, or nothing can be in its way")
    if mine is not None and _same_number(mine, request):
        if others is not None and mine.state is LinkState.ACTIVE:
            raise ValueError("two people have one number")
        if mine.state is LinkState.ACTIVE:
            return Decision(act=LinkAct.COMMIT, same=mine)
        mine = None  # it had ended, and comes back to the same person
    alarms: list[tuple[AlarmKind, Link]] = []
    named = mine is not None and request.replaces != b"" and request.replaces == mine.value_fingerprint
    if mine is not None and not (named and transferable):
        alarms.append((AlarmKind.ONE_CARD_TWO_IDS, mine))
    if others is not None:
        alarms.append((AlarmKind.ONE_ID_TWO_CARDS, others))
    if not alarms:
        return Decision(act=LinkAct.COMMIT, ends=() if mine is None else (mine,))
    return Decision(act=LinkAct.HOLD if transferable else LinkAct.END, alarms=tuple(alarms))


def _same_number(link: Link, request: LinkRequest) -> bool:
    return (link.source, link.value_fingerprint) == (request.source, request.value_fingerprint)
