"""The story of a revocation between two logins: the operator tells, and it is remembered (R12, R13)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from broker.accounts.credential import CredentialKey
from broker.audit.entry import Entry, Event
from broker.errors import RevocationUnknown
from broker.flows.notice import Notice, Registration
from broker.flows.ports import Ports, Transaction
from broker.jpki.certificate import TrustedCertificate

MAX_ROUNDS: Final = 20
"""Questions of one run; what is left then waits for the next."""
_COUNTS: Final = ("taken", "revoked", "unknown", "failed")


def ask_for_notices(certificate: TrustedCertificate, key: CredentialKey, *, ports: Ports) -> None:
    """Register a certificate that was just proved, once. Raises StoreUnavailable.

    An operator that does not take it now is asked at its next login: the login itself rests on a proof of its own.
    """
    if ports.notices is None:
        return
    address = ports.notices.address
    with ports.store.transaction() as tx:
        if tx.notices.registered(address, key):
            return
    try:
        name = ports.notices.register(certificate)
    except RevocationUnknown:  # the adapter has told the operator's log
        return
    with ports.store.transaction() as tx:
        tx.notices.register(address, Registration(name=name, key=key, not_after=certificate.not_after))


def take_notices(ports: Ports) -> Mapping[str, int]:
    """Take what the operator has to tell, and remember the certificates it names.

    Counts: notices taken, certificates newly or again told as revoked, names we never registered (or let go after the
    certificate's end), failed questions; zeros included. Each question leaves a row of audit, committed with what it
    brought. Raises StoreUnavailable.
    """
    total = dict.fromkeys(_COUNTS, 0)
    if ports.notices is None:
        return total
    for _ in range(MAX_ROUNDS):
        counts = _take_some(ports)
        total = {name: total[name] + counts[name] for name in _COUNTS}
        if not counts["taken"]:
            break
    return total


def _take_some(ports: Ports) -> dict[str, int]:
    if ports.notices is None:  # said again for the type checker
        return dict.fromkeys(_COUNTS, 0)
    address, now = ports.notices.address, ports.clock()
    counts: dict[str, int] = dict.fromkeys(_COUNTS, 0)
    with ports.store.transaction() as tx:
        after = tx.notices.taken(address)
    try:
        notices = ports.notices.notices(after=after)
    except RevocationUnknown as failed:
        counts["failed"] = 1
        detail: dict[str, str | int | None] = {**counts, "source": address, "cause": str(failed)}
        with ports.store.transaction() as tx:
            tx.audit.append(Entry(at=now, event=Event.NOTICES_TAKEN, detail=detail))
        return counts
    with ports.store.transaction() as tx:
        if notices and not tx.notices.take(address, after=after, last=notices[-1].number):
            return counts  # another host was first, and has written its row
        for notice in notices:
            counts["revoked" if _remembered(tx, address, notice, ports) else "unknown"] += 1
        counts["taken"] = len(notices)
        tx.audit.append(Entry(at=now, event=Event.NOTICES_TAKEN, detail={**counts, "source": address}))
    return counts


def _remembered(tx: Transaction, address: str, notice: Notice, ports: Ports) -> bool:
    registration = tx.notices.find(address, notice.registration)
    if registration is None:
        return False
    tx.revoked.remember(registration.key, reason=notice.reason, not_after=registration.not_after, now=ports.clock())
    return True
