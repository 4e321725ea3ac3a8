"""Work that nobody waits for: revocation lists, messages of logout, deleting what has run out, old keys included.

A job runs on one host at a time: it first takes a lease in the database for its whole interval,
so the lease is both the lock and the timetable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from broker.audit.entry import Entry, Event
from broker.flows import mandate_ends, mandate_issue, mandate_status
from broker.flows.backchannel_logout import deliver_due
from broker.flows.ciba import announce_all
from broker.flows.kiosks import end_left
from broker.flows.link_reconciliation import reconcile
from broker.flows.notices import take_notices
from broker.flows.ports import Ports
from broker.flows.register import witness_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One row of the timetable."""

    name: str
    every: timedelta
    run: Callable[[Ports], Mapping[str, int]]


def refresh_revocation(ports: Ports) -> Mapping[str, int]:
    """Fetch every configured list; a list that did not come leaves the last good one in force."""
    came = ports.revocation.refresh_all()
    return {"fetched": sum(came.values()), "failed": len(came) - sum(came.values())}


def purge(ports: Ports) -> Mapping[str, int]:
    """Delete what has run out, prove that nothing is overdue, and write both down, zeros included.

    What is deleted is counted in the audit record by its kind alone: the row is the proof that the schedule was kept.
    """
    now = ports.clock()
    deleted = ports.store.purge(now=now)
    overdue = sum(ports.store.overdue(now=now).values())
    with ports.store.transaction() as tx:
        tx.audit.append(Entry(at=now, event=Event.PURGED, detail={**deleted, "overdue": overdue}))
    return {**deleted, "overdue": overdue}


def retire_keys(ports: Ports) -> Mapping[str, int]:
    """Destroy the private keys whose every signature has run out; they sign and verify nothing any more by then."""
    return {"retired": ports.keys.retire(now=ports.clock())}


JOBS = (
    Job(name="refresh-revocation", every=timedelta(hours=1), run=refresh_revocation),
    Job(name="take-notices", every=timedelta(minutes=10), run=take_notices),
    Job(name="deliver-logouts", every=timedelta(seconds=30), run=deliver_due),
    Job(name="end-kiosk-sessions", every=timedelta(seconds=30), run=end_left),
    Job(name="notify-clients", every=timedelta(minutes=1), run=announce_all),
    Job(name="witness-register", every=timedelta(seconds=30), run=witness_all),
    Job(name="issue-mandates", every=timedelta(seconds=30), run=mandate_issue.issue),
    Job(name="expire-mandates", every=timedelta(minutes=10), run=mandate_ends.expire),
    Job(name="publish-status", every=mandate_status.EVERY, run=mandate_status.publish),
    Job(name="purge", every=timedelta(minutes=10), run=purge),
    Job(name="reconcile-links", every=timedelta(days=1), run=reconcile),
    Job(name="retire-keys", every=timedelta(hours=1), run=retire_keys),
)


def run_due(ports: Ports, *, holder: str) -> dict[str, Mapping[str, int]]:
    """Run each job whose lease is free, and answer what it counted. `holder` must differ at every call."""
    done: dict[str, Mapping[str, int]] = {}
    for job in JOBS:
        with ports.store.transaction() as tx:
            due = tx.leases.take(job.name, holder, now=ports.clock(), length=job.every)
        if due:
            done[job.name] = job.run(ports)
    return done
