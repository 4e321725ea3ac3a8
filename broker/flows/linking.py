"""The story of a link (官民ID連携) in the resident's browser: the card is read at the start and again at commit (R3).

start    the card signs for what the service asked (LINK-START); it logs its holder in, and binds the request to itself
(page)   the service, its number (masked) and what R6 knows already are shown
commit   the same card signs for the same again, and for the first signature (LINK-COMMIT): one unit of work binds

What a card may not finish is refused for good: another card in the middle ends the request and raises an alarm.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from broker.accounts.activity import Activity, Kind, Result, how_of
from broker.accounts.link import (
    AlarmKind,
    Decision,
    Ending,
    Link,
    LinkAct,
    LinkAlarm,
    LinkRequest,
    LinkState,
    Start,
    check_commit,
    check_start,
    decide,
    follow,
)
from broker.audit.entry import Entry, Event
from broker.errors import (
    BrowserMismatch,
    InteractionUnknown,
    LinkCardChanged,
    LinkConflict,
    LinkRequestUnknown,
    LoginRequired,
    ProtocolError,
    StoreUnavailable,
    UniquePersonUnproved,
)
from broker.flows import links
from broker.flows.code import RefusedToClient, ReturnToClient, issue_code, refused, use_up
from broker.flows.evidence import refused_for
from broker.flows.login_ports import Authenticated, CardAnswer, CardTransaction, Interaction
from broker.flows.ports import Ports, Transaction
from broker.flows.secret import digest
from broker.ids import AccountID, InteractionID, LinkID, TransactionID
from broker.jose import b64url
from broker.jpki import challenge as card_challenge
from broker.oidc.authorization import AuthorizationRequest
from broker.oidc.client import Client
from broker.oidc.consent import Consent, terms_of
from broker.oidc.linked_id import SCOPE

_RACES: Final = 3
"""How often a unit is begun anew because another link was made at the same moment."""


class _Raced(Exception):
    """Another link was in the way when this one was written; nothing of the unit holds."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """How it ended: where the browser goes, and what the operators have to look at."""

    interaction_id: InteractionID
    then: ReturnToClient | RefusedToClient
    link_id: LinkID | None
    alarms: tuple[AlarmKind, ...] = ()


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
        _stop(tx, request, who.account, changed, now=now, ports=ports)
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
        decision = _decide(tx, request, who.account, client)
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


def _decide(tx: Transaction, request: LinkRequest, account: AccountID, client: Client) -> Decision:
    for_good = not client.linked_id_transferable
    mine = (tx.links.earlier if for_good else tx.links.active)(client.client_id, account)
    others = None
    if request.source is None:
        others = tx.links.rival(client.client_id, request.value_fingerprint, account, ended=for_good)
    return decide(request, account=account, mine=mine, others=others, transferable=not for_good)


# --- commit ----------------------------------------------------------------------------------------------------------


def commits(transaction_id: TransactionID, *, ports: Ports) -> bool:
    """Whether a card transaction is the second reading for a link, which `commit` releases."""
    with ports.store.transaction() as tx:
        transaction = tx.cards.get(transaction_id)
    return transaction is not None and transaction.tag == card_challenge.LINK_COMMIT


def commit(transaction_id: TransactionID, return_code: str, *, browser_secret: str | None, ports: Ports) -> Committed:
    """Bind, in one transaction with its audit rows, what the same card has signed for twice.

    Where another card signed, the request is over, its login has ended, and an alarm stands. Raises BrowserMismatch,
    InteractionUnknown, CertificateRevoked, InvalidRequestURI, StoreUnavailable.
    """
    for _ in range(_RACES):
        try:
            return _commit(transaction_id, return_code, browser_secret=browser_secret, ports=ports)
        except _Raced:
            continue
    raise StoreUnavailable("other links are being made at the same moment")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Released:
    """The second reading in the browser it belongs to, and whose login it is part of."""

    interaction: Interaction
    client: Client
    who: Authenticated
    transaction: CardTransaction
    answer: CardAnswer
    now: datetime


def _commit(transaction_id: TransactionID, return_code: str, *, browser_secret: str | None, ports: Ports) -> Committed:
    with ports.store.transaction() as tx:
        card = _released(tx, transaction_id, return_code, browser_secret=browser_secret, now=ports.clock())
        key = bytes.fromhex(card.interaction.request.link or "")
        request = tx.links.asked(key, now=card.now)
        fault = _fault(request, card)
        used = None if isinstance(fault, LinkRequestUnknown) else tx.links.use(key, now=card.now)
        if used is not None and fault is None:
            return _bind(tx, used, card, ports=ports)
        if used is not None and isinstance(fault, LinkCardChanged):
            _stop(tx, used, card.who.account, fault, now=card.now, ports=ports)
        fault = fault or LinkRequestUnknown("answered")
        _close(tx, card, fault)
        return Committed(
            interaction_id=card.interaction.interaction_id,
            then=refused(card.interaction.request, card.client, fault),
            link_id=None if request is None else request.link_id,
            alarms=(AlarmKind.CARD_CHANGED,) if isinstance(fault, LinkCardChanged) else (),
        )


def _released(
    tx: Transaction, transaction_id: TransactionID, return_code: str, *, browser_secret: str | None, now: datetime
) -> _Released:
    """Consume the answer. Raises BrowserMismatch, InteractionUnknown, CertificateRevoked."""
    found = tx.cards.release(
        transaction_id, browser_digest=digest(browser_secret or ""), return_digest=digest(return_code), now=now
    )
    if found is None:
        raise BrowserMismatch("not the browser, not the code, or not the first time")
    transaction, answer = found
    interaction = tx.interactions.get(transaction.interaction_id, now=now)
    client = None if interaction is None else tx.clients.get(interaction.request.client_id)
    if interaction is None or client is None or interaction.authenticated is None:
        raise InteractionUnknown("unknown, run out or finished")
    if tx.sessions.get(interaction.authenticated.session_digest) is None:
        raise InteractionUnknown("the session of this login has ended")
    if (known := tx.revoked.reason(answer.key)) is not None:
        raise refused_for(known)
    return _Released(
        interaction=interaction,
        client=client,
        who=interaction.authenticated,
        transaction=transaction,
        answer=answer,
        now=now,
    )


def _fault(request: LinkRequest | None, card: _Released) -> ProtocolError | None:
    """Why what the card signed binds nothing."""
    try:
        start = check_commit(request, key=card.answer.key)
    except ProtocolError as fault:
        return fault
    # The second frame names the first, and the first is this person's at this client: nothing else is bound (R3, R5).
    if (
        card.transaction.tag != card_challenge.LINK_COMMIT
        or card.transaction.previous != start.frame_sealed
        or start.account != card.who.account
        or request is None
        or request.client_id != card.client.client_id
    ):
        return LinkRequestUnknown("begun anew in another window")
    if card.client.linked_id_unique_person and not card.answer.unique_person:
        return UniquePersonUnproved("nothing proves that this account is the only one of its person")
    return None


def _bind(tx: Transaction, request: LinkRequest, card: _Released, *, ports: Ports) -> Committed:
    """Raises _Raced, InvalidRequestURI."""
    now, client, interaction, who = card.now, card.client, card.interaction, card.who
    decision = _decide(tx, request, who.account, client)
    for kind, other in decision.alarms:
        _alarm(tx, kind, request, who.account, other=other.link_id, now=now, ports=ports)
    alarms = tuple(kind for kind, _ in decision.alarms)
    then: ReturnToClient | RefusedToClient
    if decision.act is LinkAct.END:
        conflict = LinkConflict("a number of this client never changes hands")
        _count(tx, request, conflict, now=now)
        _close(tx, card, conflict)
        then = refused(interaction.request, client, conflict)
        link_id = request.link_id
    else:
        link_id = _write(tx, request, card, decision, ports=ports)
        if request.refusals:  # R9: what went well at last did not go well before
            tx.links.count("cured", now=now)
        _agree(tx, card, link_id)
        tx.interactions.finish(interaction.interaction_id, now=now)
        then = issue_code(
            tx, interaction.request, who, client, reference=interaction.interaction_id, now=now, ports=ports
        )
    return Committed(interaction_id=interaction.interaction_id, then=then, link_id=link_id, alarms=alarms)


def _agree(tx: Transaction, card: _Released, link_id: LinkID) -> None:
    """What the card has signed for is agreed to (R2)."""
    client, scope = card.client, card.interaction.request.scope
    tx.consents.give(
        card.who.account,
        Consent(client_id=client.client_id, scope=scope, granted_at=card.now, terms=terms_of(client, scope)),
    )
    tx.audit.append(
        Entry(
            at=card.now,
            event=Event.CONSENT_GIVEN,
            client_id=client.client_id,
            account=card.who.account,
            reference=card.interaction.interaction_id,
            detail={"scope": " ".join(sorted(scope)), "link": link_id},
        )
    )
    _note(tx, card, Result.DONE)


def _note(tx: Transaction, card: _Released, result: Result) -> None:
    """What the person finds in the history of their account (R18)."""
    tx.activities.note(
        Activity(
            account=card.who.account,
            client_id=card.client.client_id,
            kind=Kind.LINK,
            how=how_of(card.answer.kind),
            result=result,
            items=(SCOPE,),
            at=card.now,
            session_id=card.who.session_id,
        )
    )


def _write(tx: Transaction, request: LinkRequest, card: _Released, decision: Decision, *, ports: Ports) -> LinkID:
    """The row, and what it takes the place of. Raises _Raced."""
    if decision.same is not None:
        return decision.same.link_id
    for other in decision.ends:
        links.end_link(tx, other, because=Ending.CHANGED, now=card.now)
    state = follow(LinkState.STARTED, decision.act)
    sealed = b""
    if request.value_sealed:
        number = links.unseal_asked(request.value_sealed, digest=request.digest, keys=ports.keys)
        sealed = links.seal(number, client_id=request.client_id, account=card.who.account, keys=ports.keys)
    link = Link(
        link_id=request.link_id,
        client_id=request.client_id,
        account=card.who.account,
        source=request.source,
        value_sealed=sealed,
        value_fingerprint=request.value_fingerprint,
        state=state,
        unique_person=card.answer.unique_person,
        committed_at=card.now,
        active_at=card.now if state is LinkState.ACTIVE else None,
        start_transaction=check_commit(request, key=card.answer.key).transaction,
        commit_transaction=card.transaction.transaction_id,
    )
    if not tx.links.add(link):
        raise _Raced
    tx.audit.append(
        Entry(
            at=card.now,
            event=Event.LINK_MADE if state is LinkState.ACTIVE else Event.LINK_HELD,
            client_id=link.client_id,
            account=link.account,
            reference=link.link_id,
            detail={
                "start": link.start_transaction,
                "commit": link.commit_transaction,
                "source": link.source,
                "replaces": decision.ends[0].link_id if decision.ends else None,
            },
        )
    )
    return link.link_id


# --- what does not go on ---------------------------------------------------------------------------------------------


def given_up(tx: Transaction, interaction: Interaction, *, now: datetime) -> None:
    """The resident goes back: nothing is bound, and the request is over."""
    if interaction.request.link is None:
        return
    tx.links.use(bytes.fromhex(interaction.request.link), now=now)
    if interaction.authenticated is not None:
        tx.sessions.end(interaction.authenticated.session_digest, now=now)


def stumbled(tx: Transaction, interaction: Interaction, fault: Exception, *, now: datetime) -> None:
    """A reading of the card for a link came to nothing, and may be tried again: counted all the same (R9)."""
    if interaction.request.link is None:
        return
    tx.links.stumbled(bytes.fromhex(interaction.request.link))
    tx.links.count(f"refused.{type(fault).__name__}", now=now)


def _close(tx: Transaction, card: _Released, fault: Exception) -> None:
    """Nothing was bound, so nothing stays open."""
    tx.interactions.finish(card.interaction.interaction_id, now=card.now)
    tx.sessions.end(card.who.session_digest, now=card.now)
    use_up(tx, card.interaction.request, now=card.now)
    _note(tx, card, Result.REFUSED)
    tx.audit.append(
        Entry(
            at=card.now,
            event=Event.LINK_REFUSED,
            client_id=card.client.client_id,
            account=card.who.account,
            reference=card.interaction.interaction_id,
            detail={"error": type(fault).__name__},
        )
    )


def _stop(
    tx: Transaction, request: LinkRequest, account: AccountID, fault: LinkCardChanged, *, now: datetime, ports: Ports
) -> None:
    """Two cards in one linking: the request is over, whoever comes with it next."""
    tx.links.use(request.digest, now=now)
    _count(tx, request, fault, now=now)
    _alarm(tx, AlarmKind.CARD_CHANGED, request, account, other=None, now=now, ports=ports)


def _count(tx: Transaction, request: LinkRequest, fault: Exception, *, now: datetime) -> None:
    tx.links.stumbled(request.digest)
    tx.links.count(f"refused.{type(fault).__name__}", now=now)


def _alarm(
    tx: Transaction,
    kind: AlarmKind,
    request: LinkRequest,
    account: AccountID,
    *,
    other: LinkID | None,
    now: datetime,
    ports: Ports,
) -> None:
    alarm_id = b64url(ports.entropy(16))
    tx.links.alarm(
        LinkAlarm(
            alarm_id=alarm_id,
            at=now,
            kind=kind,
            client_id=request.client_id,
            link_id=request.link_id,
            other=other,
        )
    )
    tx.links.count(f"alarm.{kind.value}", now=now)
    tx.audit.append(
        Entry(
            at=now,
            event=Event.LINK_ALARM,
            client_id=request.client_id,
            account=account,
            reference=request.link_id,
            detail={"alarm": alarm_id, "kind": kind.value, "other": other},
        )
    )
