"""The nightly reconciliation of links (R8): impossible ones are looked for, and the counts published, zeros included.

It repairs nothing but what has run out by itself: what it finds is for people to look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, timedelta

from broker.accounts.link import CONFIRMATION_LIFETIME, Ending
from broker.audit.entry import Entry, Event
from broker.errors import StoreUnavailable
from broker.flows import links
from broker.flows.ports import Ports
from broker.ids import LinkID

IMPOSSIBLE = (
    "two_numbers_one_card",
    "one_number_two_cards",
    "without_subject",
    "without_account",
    "unreadable",
    "mismatched",
)
"""What no run of this program can bring about: any of them above zero is an incident."""


def reconcile(ports: Ports) -> Mapping[str, int]:
    """Count links by state, look for impossible ones, end what waited too long, and write all of it down.

    `unreadable` numbers do not open for the very pair they stand at, `mismatched` ones are another number than they are
    found by. `refused.…`, `alarm.…`, `cured` and `quarantined` are those of the day before (R9). Raises
    StoreUnavailable.
    """
    now = ports.clock()
    counts = {"unconfirmed": _end_unconfirmed(ports), "unreadable": 0, "mismatched": 0}
    after = LinkID("")
    while True:
        with ports.store.transaction() as tx:
            batch = tx.links.batch(after=after)
        for link in batch:
            try:
                number = links.unseal(link, keys=ports.keys)
            except StoreUnavailable:
                counts["unreadable"] += 1
                continue
            if number is not None and link.value_fingerprint != links.fingerprint(
                number.value, client_id=link.client_id, keys=ports.keys
            ):
                counts["mismatched"] += 1
        if not batch:
            break
        after = batch[-1].link_id
    day = (now - timedelta(days=1)).astimezone(UTC).date().isoformat()
    with ports.store.transaction() as tx:
        counts |= tx.links.survey()
        counts |= {"cured": 0, "quarantined": 0, **tx.links.counts(day=day)}
        tx.audit.append(Entry(at=now, event=Event.LINKS_RECONCILED, detail={**counts, "day": day}))
    return counts


def impossible(counts: Mapping[str, int]) -> int:
    """How many links are as none can be."""
    return sum(counts.get(name, 0) for name in IMPOSSIBLE)


def _end_unconfirmed(ports: Ports) -> int:
    """What waited longer for its second confirmation than it may."""
    ended = 0
    while True:
        now = ports.clock()
        with ports.store.transaction() as tx:
            late = tx.links.overdue(before=now - CONFIRMATION_LIFETIME)
            for link in late:
                ended += links.end_link(tx, link, because=Ending.UNCONFIRMED, now=now)
                tx.links.close_alarms(link.link_id, by="-", decision=Ending.UNCONFIRMED.value, now=now)
        if not late:
            return ended
