"""The story of a link (官民ID連携) in the resident's browser: the card is read at the start and again at commit (R3).

start    the card signs for what the service asked (LINK-START); it logs its holder in, and binds the request to itself
(page)   the service, its number (masked) and what R6 knows already are shown
commit   the same card signs for the same again, and for the first signature: one unit of work binds (`link_commit`)

What a card may not finish is refused for good: another card in the middle ends the request and raises an alarm.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime

from broker.accounts.link import (
    AlarmKind,
    Decision,
    LinkRequest,
    Start,
    check_start,
    decide,
)
from broker.audit.entry import Entry, Event
from broker.errors import (
    InteractionUnknown,
    LinkCardChanged,
    LinkRequestUnknown,
    LoginRequired,
)
from broker.flows import link_alarm
from broker.flows.login_ports import Authenticated, CardAnswer, CardTransaction, Interaction
from broker.flows.ports import Ports, Transaction
from broker.ids import AccountID
from broker.jpki import challenge as card_challenge
from broker.oidc.authorization import AuthorizationRequest
from broker.oidc.client import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPrompt:
    """What the page between the two readings shows."""

    interaction: Interaction
    client: Client
    source: Client | None
    """Whose number the client wants to read; None where it is its own."""
    label: str
    shown: str
    """The number, masked."""
    replaces: str
    """The one it takes the place of, masked; empty for none."""
    conflict: frozenset[AlarmKind]
    """What R6 knows already: the link will wait for a second confirmation."""
    for_good: bool
    """The number never passes to anybody else."""


# --- the card is asked -----------------------------------------------------------------------------------------------


def act_of(tx: Transaction, interaction: Interaction, *, now: datetime) -> tuple[str, str, bytes]:
    """Tag, action and sealed previous frame of what the card is to sign now: the start of a link, or its commit once
    that was released.

    Raises LinkRequestUnknown (run out or answered), InteractionUnknown (begun anew in another window, or logged out).
    """
    request = _asked(tx, interaction, now=now)
    who = interaction.authenticated
    if who is None:
        return card_challenge.LINK_START, request.action, b""
    return card_challenge.LINK_COMMIT, request.action, _own_start(tx, request, interaction, who).frame_sealed


def _asked(tx: Transaction, interaction: Interaction, *, now: datetime) -> LinkRequest:
    request = tx.links.asked(bytes.fromhex(interaction.request.link or ""), now=now)
    if request is None or request.client_id != interaction.request.client_id:
        raise LinkRequestUnknown("run out or answered")
    return request


def _own_start(tx: Transaction, request: LinkRequest, interaction: Interaction, who: Authenticated) -> Start:
    """The first reading, which must be this very window's. Raises InteractionUnknown."""
    if tx.sessions.get(who.session_digest) is None:
        raise InteractionUnknown("the session of this login has ended")
    if request.start is None or request.start.account != who.account:
        raise InteractionUnknown("begun by somebody else")
    began = tx.cards.get(request.start.transaction)
    if began is None or began.interaction_id != interaction.interaction_id:
        raise InteractionUnknown("begun anew in another window")
    return request.start


def previous_of(transaction: CardTransaction, *, ports: Ports) -> bytes:
    """The frame of the step before, as the card signed it; empty where there is none. Raises StoreUnavailable."""
    if not transaction.previous:
        return b""
    return ports.keys.unseal(transaction.previous, context=frame_context(transaction))


def frame_context(transaction: CardTransaction) -> bytes:
    """Under which a frame is sealed: no other login can go on from it."""
    return b"link frame\x00" + transaction.interaction_id.encode()


def named(tx: Transaction, request: AuthorizationRequest, *, now: datetime) -> AuthorizationRequest:
    """An authorization request with the person whom its link names, if it does; another one without is as it was.

    Raises LinkRequestUnknown, LoginRequired.
    """
    if request.link is None:
        return request
    asked = tx.links.asked(bytes.fromhex(request.link), now=now)
    if asked is None or asked.client_id != request.client_id:
        raise LinkRequestUnknown("unknown, run out, answered, or another client's")
    if asked.subject is None or asked.subject == request.subject:
        return request
    if request.subject is not None:
        raise LoginRequired("the link and the request name different people")
    return replace(request, subject=asked.subject)


# --- start -----------------------------------------------------------------------------------------------------------


def start(
    tx: Transaction,
    interaction: Interaction,
    who: Authenticated,
    released: tuple[CardTransaction, CardAnswer],
    *,
    now: datetime,
    ports: Ports,
) -> None:
    """Keep the first reading, in the unit of work that logs its holder in; nothing in a login without a link.

    Raises LinkRequestUnknown, LinkCardChanged: then the request is over and an alarm stands (R1, R3), which the
    caller's unit must commit.
    """
    if interaction.request.link is None:
        return
    transaction, answer = released
    request = tx.links.asked(bytes.fromhex(interaction.request.link), now=now)
    if request is None or transaction.tag != card_challenge.LINK_START or answer.frame_sealed is None:
        raise LinkRequestUnknown("run out or answered")
    try:
        check_start(request, account=who.account, key=answer.key)
    except LinkCardChanged as changed:
        link_alarm.stop(tx, request, who.account, changed, now=now, ports=ports)
        raise
    made = Start(
        account=who.account,
        key=answer.key,
        transaction=transaction.transaction_id,
        frame_sealed=answer.frame_sealed,
    )
    if not tx.links.start(request.digest, made, now=now):
        raise LinkRequestUnknown("another card was first, or it was answered")
    tx.audit.append(
        Entry(
            at=now,
            event=Event.LINK_STARTED,
            client_id=request.client_id,
            account=who.account,
            reference=request.link_id,
            detail={"transaction": transaction.transaction_id, "interaction": interaction.interaction_id},
        )
    )


# --- the page between ------------------------------------------------------------------------------------------------


def look(interaction: Interaction, client: Client, *, ports: Ports) -> LinkPrompt:
    """What the page shows. Raises LinkRequestUnknown, InteractionUnknown, StoreUnavailable."""
    with ports.store.transaction() as tx:
        request = _asked(tx, interaction, now=ports.clock())
        who = interaction.authenticated
        if who is None:
            raise InteractionUnknown("no card has answered yet")
        _own_start(tx, request, interaction, who)
        decision = decision_of(tx, request, who.account, client)
        source = None if request.source is None else tx.clients.get(request.source)
    told = json.loads(request.action)
    return LinkPrompt(
        interaction=interaction,
        client=client,
        source=source,
        label=told["label"],
        shown=told["shown"],
        replaces=told.get("replaces", ""),
        conflict=frozenset(kind for kind, _ in decision.alarms),
        for_good=not client.linked_id_transferable,
    )


def decision_of(tx: Transaction, request: LinkRequest, account: AccountID, client: Client) -> Decision:
    """What R6 says of a link that this person would make."""
    for_good = not client.linked_id_transferable
    mine = (tx.links.earlier if for_good else tx.links.active)(client.client_id, account)
    others = None
    if request.source is None:
        others = tx.links.rival(client.client_id, request.value_fingerprint, account, ended=for_good)
    return decide(request, account=account, mine=mine, others=others, transferable=not for_good)


# --- what does not go on ---------------------------------------------------------------------------------------------


def given_up(tx: Transaction, interaction: Interaction, *, now: datetime) -> None:
    """The resident goes back: nothing is bound, and the request is over."""
    if interaction.request.link is None:
        return
    tx.links.use(bytes.fromhex(interaction.request.link), now=now)
    if interaction.authenticated is not None:
        tx.sessions.end(interaction.authenticated.session_digest, now=now)
