"""The life of a link once the card has signed for it (官民ID連携): who is told the number, and how it ends.

What narrows needs no card (R2): the resident, the service, the operator's desk and the withdrawal of a consent end a
link at once. Making and changing one is `flows.linking`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from broker.accounts.activity import Activity, How, Kind, Result
from broker.accounts.link import CONFIRMATION_LIFETIME, Ending, Link, LinkAct, LinkState, follow, masked
from broker.audit.entry import Entry, Event
from broker.errors import LinkStateRefused, StoreUnavailable
from broker.flows.ports import Keys, Ports, Transaction
from broker.ids import AccountID, ClientID, LinkID
from broker.jose import compact_json
from broker.oidc.client import Client
from broker.oidc.grants import Grant
from broker.oidc.linked_id import SCOPE, LinkedID

_BY: Final[Mapping[Ending, How]] = {
    Ending.BY_RESIDENT: How.SESSION,
    Ending.BY_CLIENT: How.SERVICE,
    Ending.BY_OPERATOR: How.DESK,
    Ending.CHANGED: How.CARD,
    Ending.UNCONFIRMED: How.DESK,
    Ending.CONSENT_WITHDRAWN: How.SESSION,
}
"""By what a link ends, as its person is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """A number as its service gave it, and what the service calls it."""

    value: str = field(repr=False)
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkView:
    """What a resident is shown of one of their links."""

    link_id: LinkID
    client: Client | None
    """None: it was removed."""
    source: Client | None
    """Whose ID the client reads; None where the number is its own."""
    shown: str
    """The number, masked; empty where it was read from elsewhere or forgotten."""
    label: str
    state: LinkState
    committed_at: datetime
    active_at: datetime | None
    ended_at: datetime | None
    ended_because: Ending | None


# --- numbers at rest -------------------------------------------------------------------------------------------------


def seal(number: Numbered, *, client_id: ClientID, account: AccountID, keys: Keys) -> bytes:
    """For storage, under the very pair it belongs to."""
    return keys.seal(_written(number), context=_context(client_id, account))


def seal_asked(number: Numbered, *, digest: bytes, keys: Keys) -> bytes:
    """For the time when nobody is bound to it yet: under the request's own name."""
    return keys.seal(_written(number), context=b"link request\x00" + digest)


def unseal_asked(sealed: bytes, *, digest: bytes, keys: Keys) -> Numbered:
    """What `seal_asked` was given. Raises StoreUnavailable."""
    return _read(keys.unseal(sealed, context=b"link request\x00" + digest))


def fingerprint(value: str, *, client_id: ClientID, keys: Keys) -> bytes:
    """By what a number is found again: keyed, and another one at every client."""
    return keys.keyed_digest(value.encode(), label=b"link number\x00" + client_id.encode())


def unseal(link: Link, *, keys: Keys) -> Numbered | None:
    """None where it holds no number of its own. Raises StoreUnavailable: it was sealed for another pair (R5)."""
    if not link.value_sealed:
        return None
    return _read(keys.unseal(link.value_sealed, context=_context(link.client_id, link.account)))


def _written(number: Numbered) -> bytes:
    return compact_json({"label": number.label, "value": number.value})


def _read(text: bytes) -> Numbered:
    told = json.loads(text)
    return Numbered(value=told["value"], label=told["label"])


def _context(client_id: ClientID, account: AccountID) -> bytes:
    return f"link\x00{client_id}\x00{account}".encode()


# --- telling ---------------------------------------------------------------------------------------------------------


def links_of(account: AccountID, *, ports: Ports) -> tuple[LinkView, ...]:
    """Everything that was ever bound to this person, the newest first. Raises StoreUnavailable."""
    with ports.store.transaction() as tx:
        return tuple(_view(tx, link, ports=ports) for link in tx.links.of(account))


def _view(tx: Transaction, link: Link, *, ports: Ports) -> LinkView:
    number = unseal(link, keys=ports.keys)
    return LinkView(
        link_id=link.link_id,
        client=tx.clients.get(link.client_id),
        source=None if link.source is None else tx.clients.get(link.source),
        shown="" if number is None else masked(number.value),
        label="" if number is None else number.label,
        state=link.state,
        committed_at=link.committed_at,
        active_at=link.active_at,
        ended_at=link.ended_at,
        ended_because=link.ended_because,
    )


def told_of(grant: Grant, scope: frozenset[str], *, ports: Ports) -> LinkedID | None:
    """`told` in a unit of its own, where one is needed at all."""
    if SCOPE not in scope:
        return None
    with ports.store.transaction() as tx:
        return told(tx, grant, scope, ports=ports)


def told(tx: Transaction, grant: Grant, scope: frozenset[str], *, ports: Ports) -> LinkedID | None:
    """The number that the client of a grant may be told of its person now; None where it may not, or there is none.

    Read anew for every token and answer: what has ended is told no more. Raises StoreUnavailable, also where a number
    would not belong to this very pair (R5).
    """
    if SCOPE not in scope:
        return None
    link = tx.links.active(grant.client_id, grant.account)
    if link is None:
        return None
    if (link.client_id, link.account) != (grant.client_id, grant.account):
        raise StoreUnavailable("a link of another pair was found")
    if link.source is None:
        number = unseal(link, keys=ports.keys)
        return None if number is None else LinkedID(value=number.value, unique_person=link.unique_person)
    source, read = tx.clients.get(link.source), tx.links.active(link.source, grant.account)
    if source is None or read is None or grant.client_id not in source.linked_id_readers:
        return None
    number = unseal(read, keys=ports.keys)
    if number is None:
        return None
    return LinkedID(value=number.value, issuer=link.source, unique_person=link.unique_person)


# --- ending ----------------------------------------------------------------------------------------------------------


def end(link_id: LinkID, account: AccountID, *, ports: Ports) -> bool:
    """The resident ends one of their own; False where there is none such, or it had ended."""
    with ports.store.transaction() as tx:
        link = tx.links.get(link_id)
        if link is None or link.account != account:
            return False
        return end_link(tx, link, because=Ending.BY_RESIDENT, now=ports.clock())


def end_link(tx: Transaction, link: Link, *, because: Ending, now: datetime) -> bool:
    """End one in the caller's unit of work, with its audit row; False where it had ended."""
    if not tx.links.end(link.link_id, because=because, now=now):
        return False
    _write_down(tx, link, because=because, now=now)
    return True


def end_all(
    tx: Transaction, account: AccountID, *, client_id: ClientID | None = None, because: Ending, now: datetime
) -> int:
    """End all of a person, or those at one client (its consent was withdrawn), in the caller's unit; how many."""
    ended = tx.links.end_all(account, client_id=client_id, because=because, now=now)
    for link in ended:
        _write_down(tx, link, because=because, now=now)
    return len(ended)


def forget(tx: Transaction, account: AccountID, *, now: datetime) -> int:
    """The account is deleted: every link ends and every number is wiped, in the caller's unit; how many ended.

    The keyed fingerprints stay with the account's tombstone, so that one person has one ticket for good (design 4.13).
    """
    ended = end_all(tx, account, because=Ending.ACCOUNT_DELETED, now=now)
    tx.links.forget(account)
    return ended


def _write_down(tx: Transaction, link: Link, *, because: Ending, now: datetime) -> None:
    tx.audit.append(
        Entry(
            at=now,
            event=Event.LINK_ENDED,
            client_id=link.client_id,
            account=link.account,
            reference=link.link_id,
            detail={"because": because.value},
        )
    )
    if because is not Ending.ACCOUNT_DELETED:  # whose history goes too
        tx.activities.note(
            Activity(
                account=link.account,
                client_id=link.client_id,
                kind=Kind.LINK,
                how=_BY[because],
                result=Result.ENDED,
                items=(SCOPE,),
                at=now,
            )
        )


# --- the second confirmation (R6) ------------------------------------------------------------------------------------


def confirm(tx: Transaction, link: Link, *, by: str, now: datetime) -> None:
    """Let a held link take effect, in the caller's unit: what is in its way ends, and its alarms are closed.

    `by` says who has looked: a client's id, or an operator's name. Raises LinkStateRefused.
    """
    if now >= link.committed_at + CONFIRMATION_LIFETIME:
        raise LinkStateRefused("the confirmation comes too late")
    follow(link.state, LinkAct.CONFIRM)
    mine = tx.links.active(link.client_id, link.account)
    rival = None
    if link.source is None:
        rival = tx.links.rival(link.client_id, link.value_fingerprint, link.account, ended=False)
    for other in filter(None, (mine, rival)):
        end_link(tx, other, because=Ending.CHANGED, now=now)
    if not tx.links.activate(link.link_id, now=now):
        raise LinkStateRefused("it is not held any more")
    tx.links.close_alarms(link.link_id, by=by, decision="confirmed", now=now)
    tx.audit.append(
        Entry(
            at=now,
            event=Event.LINK_CONFIRMED,
            client_id=link.client_id,
            account=link.account,
            reference=link.link_id,
            detail={"by": by},
        )
    )


def confirm_by_operator(link_id: LinkID, *, operator: str, ports: Ports) -> None:
    """The desk has looked at the alarm, and the link is right. Raises LinkStateRefused."""
    with ports.store.transaction() as tx:
        confirm(tx, _known(tx, link_id), by=operator, now=ports.clock())


def refuse_by_operator(link_id: LinkID, *, operator: str, ports: Ports) -> None:
    """The desk has looked at the alarm: the link ends, held or active. Raises LinkStateRefused."""
    now = ports.clock()
    with ports.store.transaction() as tx:
        link = tx.links.get(link_id)
        if link is not None:
            end_link(tx, link, because=Ending.BY_OPERATOR, now=now)
        if not tx.links.close_alarms(link_id, by=operator, decision="refused", now=now) and link is None:
            raise LinkStateRefused("no such link, and no alarm about one")


def _known(tx: Transaction, link_id: LinkID) -> Link:
    link = tx.links.get(link_id)
    if link is None:
        raise LinkStateRefused("no such link")
    return link
