"""The second reading of a card is released: what it has signed for twice is bound, or nothing is (R3, R6, R16)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.accounts.activity import Activity, Kind, Result, how_of
from broker.accounts.link import (
    AlarmKind,
    Decision,
    Ending,
    Link,
    LinkAct,
    LinkRequest,
    LinkState,
    check_commit,
    follow,
)
from broker.audit.entry import Entry, Event
from broker.errors import (
    BrowserMismatch,
    InteractionUnknown,
    LinkCardChanged,
    LinkConflict,
    LinkRequestUnknown,
    ProtocolError,
    StoreUnavailable,
    UniquePersonUnproved,
)
from broker.flows import link_alarm, links
from broker.flows.code import RefusedToClient, ReturnToClient, issue_code, refused, use_up
from broker.flows.evidence import refused_for
from broker.flows.interaction import check_session
from broker.flows.linking import decision_of
from broker.flows.login_ports import Authenticated, CardAnswer, CardTransaction, Interaction
from broker.flows.ports import Ports, Transaction
from broker.flows.secret import digest
from broker.ids import InteractionID, LinkID, TransactionID
from broker.jpki import challenge as card_challenge
from broker.oidc.authorization import AuthorizationRequest
from broker.oidc.client import Client
from broker.oidc.consent import Consent, needed, terms_of, uses_shown
from broker.oidc.linked_id import SCOPE
from broker.oidc.release import BY_LOGIN, narrowed

_RACES: Final = 3
"""How often a unit is begun anew because another link was made at the same moment."""


class _Raced(Exception):
    """Another link was in the way when this one was written; nothing of the unit holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """How it ended: where the browser goes, and what the operators have to look at."""

    interaction_id: InteractionID
    then: ReturnToClient | RefusedToClient
    link_id: LinkID | None
    alarms: tuple[AlarmKind, ...] = ()


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
            link_alarm.stop(tx, used, card.who.account, fault, now=card.now, ports=ports)
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
    check_session(tx, interaction.authenticated, now=now)
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
    decision = decision_of(tx, request, who.account, client)
    for kind, other in decision.alarms:
        link_alarm.alarm(tx, kind, request, who.account, other=other.link_id, now=now, ports=ports)
    alarms = tuple(kind for kind, _ in decision.alarms)
    then: ReturnToClient | RefusedToClient
    if decision.act is LinkAct.END:
        conflict = LinkConflict("a number of this client never changes hands")
        link_alarm.count(tx, request, conflict, now=now)
        _close(tx, card, conflict)
        then = refused(interaction.request, client, conflict)
        link_id = request.link_id
    else:
        link_id = _write(tx, request, card, decision, ports=ports)
        if request.refusals:  # R9: what went well at last did not go well before
            tx.links.count("cured", now=now)
        asked = _agree(tx, card, link_id)
        tx.interactions.finish(interaction.interaction_id, now=now)
        then = issue_code(tx, asked, who, client, reference=interaction.interaction_id, now=now, ports=ports)
    return Committed(interaction_id=interaction.interaction_id, then=then, link_id=link_id, alarms=alarms)


def _agree(tx: Transaction, card: _Released, link_id: LinkID) -> AuthorizationRequest:
    """What the card has signed for is agreed to (R2): the number. Answers the request as far as it is agreed to.

    What else the client asks for stands in neither frame: it is given where the person has agreed to it before.
    """
    client = card.client
    before = tx.consents.get(card.who.account, client.client_id)
    if before is not None and needed(before, scope=frozenset(), prompt=frozenset(), client=client):
        before = None  # under other terms than today's
    kept = frozenset() if before is None else before.scope
    agreed = narrowed(card.interaction.request, kept & set(BY_LOGIN))
    scope = agreed.scope | kept
    declined = frozenset() if before is None else before.declined - scope
    tx.consents.give(
        card.who.account,
        Consent(
            client_id=client.client_id,
            scope=scope,
            granted_at=card.now,
            declined=declined,
            terms=terms_of(client, scope | declined),
        ),
        uses=uses_shown(client, scope | declined),
    )
    tx.audit.append(
        Entry(
            at=card.now,
            event=Event.CONSENT_GIVEN,
            client_id=client.client_id,
            account=card.who.account,
            reference=card.interaction.interaction_id,
            detail={"scope": " ".join(sorted(agreed.scope)), "link": link_id},
        )
    )
    _note(tx, card, Result.DONE)
    return agreed


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
