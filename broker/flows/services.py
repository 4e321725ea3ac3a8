"""Which services a person has let know what, and how they take it back, undo that, or say of a use that it was not
theirs (R18)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.accounts.activity import Activity, How
from broker.audit.entry import Entry, Event
from broker.errors import AccountUnknown
from broker.flows.ending import Ended, end_access, withdraw_consent
from broker.flows.my_page import Visit, check_own
from broker.flows.people_ports import ConsentRecord, HeldConsent
from broker.flows.ports import Ports
from broker.ids import ClientID
from broker.oidc.client import Client

USES_ON_A_PAGE: Final = 20
RECORDS: Final = 500
"""Lines of the history of consents that are shown; an account has a few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service that was let know something. `client` is None where it is no client any more."""

    held: HeldConsent
    client: Client | None
    last_used_at: datetime | None

    @property
    def client_id(self) -> ClientID:
        return self.held.consent.client_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One line of the history, and the service in it."""

    activity: Activity
    client: Client | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """A page of the history; `older` is where the next one begins."""

    uses: tuple[Use, ...]
    older: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line of the record of consents."""

    record: ConsentRecord
    client: Client | None


def services(visit: Visit, *, ports: Ports) -> tuple[Service, ...]:
    """Those with a consent in force first, each half by the last use."""
    with ports.store.transaction() as tx:
        held = tx.consents.of(visit.account)
        used = tx.activities.last_uses(visit.account)
        found = tuple(
            Service(
                held=one,
                client=tx.clients.get(one.consent.client_id),
                last_used_at=used.get(one.consent.client_id),
            )
            for one in held
        )
    check_own(visit, *(one.account for one in held))
    return tuple(sorted(found, key=_newest))


def _newest(service: Service) -> tuple[bool, float, str]:
    last = service.last_used_at or service.held.consent.granted_at
    return service.held.withdrawn_at is not None, -last.timestamp(), service.client_id


def records(visit: Visit, *, ports: Ports) -> tuple[Record, ...]:
    """What was agreed to, withdrawn and restored, the newest first."""
    with ports.store.transaction() as tx:
        found = tx.consents.history(visit.account, limit=RECORDS)
        clients = {one.client_id: tx.clients.get(one.client_id) for one in found}
    check_own(visit, *(one.account for one in found))
    return tuple(Record(record=one, client=clients[one.client_id]) for one in found)


def uses(
    visit: Visit,
    *,
    before: int | None,
    client_id: ClientID | None = None,
    limit: int = USES_ON_A_PAGE,
    ports: Ports,
) -> Uses:
    """A page of the history, those kept before number `before`."""
    with ports.store.transaction() as tx:
        found = tx.activities.page(visit.account, before=before, limit=limit + 1, client_id=client_id)
        clients = {one.client_id: tx.clients.get(one.client_id) for one in found}
    check_own(visit, *(one.account for one in found))
    shown = found[:limit]
    return Uses(
        uses=tuple(Use(activity=one, client=clients[one.client_id]) for one in shown),
        older=shown[-1].number if len(found) > limit else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """What a withdrawal did."""

    client: Client | None
    ended: Ended
    own_session_ended: bool
    """The session of the page was one of that service: it has ended too."""


def withdraw(visit: Visit, client_id: ClientID, *, ports: Ports) -> Withdrawn:
    """Take back what a service was let know, at once (R2). Raises AccountUnknown where nothing is in force."""
    with ports.store.transaction() as tx:
        client = tx.clients.get(client_id)
        done = withdraw_consent(tx, visit.account, client_id, how=How.SESSION, now=visit.now, ports=ports)
    if done is None:
        raise AccountUnknown("no consent is in force for this client")
    done[1].tell(ports=ports)
    return Withdrawn(client=client, ended=done[1], own_session_ended=visit.session.client_id == client_id)


def one_use(visit: Visit, number: int, *, ports: Ports) -> Use:
    """The line of that number. Raises AccountUnknown."""
    with ports.store.transaction() as tx:
        found = tx.activities.page(visit.account, before=number + 1, limit=1)
        client = tx.clients.get(found[0].client_id) if found else None
    check_own(visit, *(one.account for one in found))
    if not found or found[0].number != number:
        raise AccountUnknown("no such use of this account")
    return Use(activity=found[0], client=client)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disowned:
    """What a report did."""

    use: Use
    ended: Ended
    own_session_ended: bool


def disown(visit: Visit, number: int, *, ports: Ports) -> Disowned:
    """ "It was not me": the operator is alarmed, and what the service has of this account ends.

    The consent stays until it is withdrawn. Raises AccountUnknown: no such use, or reported before.
    """
    with ports.store.transaction() as tx:
        activity = tx.activities.report(visit.account, number, now=visit.now)
        if activity is None:
            raise AccountUnknown("no such use of this account, or reported before")
        client = tx.clients.get(activity.client_id)
        ended = end_access(
            tx,
            visit.account,
            activity.client_id,
            event=Event.SESSIONS_ENDED,
            keep=visit.session.digest if visit.own else None,
            now=visit.now,
            ports=ports,
        )
        tx.audit.append(
            Entry(
                at=visit.now,
                event=Event.USE_DISOWNED,
                client_id=activity.client_id,
                account=visit.account,
                reference=activity.session_id,
                detail={"activity": number, "kind": activity.kind.value, "at": activity.at.isoformat()},
            )
        )
    check_own(visit, activity.account)
    ended.tell(ports=ports)
    return Disowned(
        use=Use(activity=activity, client=client),
        ended=ended,
        own_session_ended=visit.session.client_id == activity.client_id and not visit.own,
    )


def end_sessions(visit: Visit, *, ports: Ports) -> Ended:
    """Log out everywhere but here; what may be used while nobody is there ends too."""
    with ports.store.transaction() as tx:
        ended = end_access(
            tx,
            visit.account,
            None,
            event=Event.SESSIONS_ENDED,
            keep=visit.session.digest,
            now=visit.now,
            ports=ports,
        )
    ended.tell(ports=ports)
    return ended
