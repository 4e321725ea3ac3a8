"""What has run out, table by table, and how it is deleted: in batches, so that no login waits for it.

A table is either in PURGES, with the time its rows stay, or in KEPT, with the reason why nothing leaves by the clock;
a test finds a table that is in neither. docs/operations.md shows the schedule as `schedule()` writes it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Delete,
    Select,
    Table,
    Update,
    bindparam,
    delete,
    func,
    select,
    tuple_,
    update,
)

from broker.accounts.session import LIFETIME
from broker.oidc.tokens import ACCESS_TOKEN_LIFETIME
from broker.storage.schema import (
    access_tokens,
    account_orders,
    activities,
    assertions,
    attempts,
    backchannel_requests,
    card_transactions,
    codes,
    credentials,
    device_codes,
    grant_certificates,
    grants,
    identity_proofs,
    initial_access_tokens,
    interactions,
    joint_transactions,
    leases,
    link_alarms,
    link_requests,
    logout_deliveries,
    mandate_notes,
    mandate_orders,
    mandates,
    proofs,
    pushed_requests,
    receipts,
    refresh_tokens,
    registrations,
    revoked_certificates,
    sessions,
    sign_transactions,
)
from broker.storage.work import Work

BATCH: Final = 1000
"""Rows of one unit of work: some tens of milliseconds of the write lock."""
CLOCK_DIFFERENCE: Final = timedelta(minutes=1)
"""How far the clocks of two hosts may be apart before a purged assertion could be used again."""
DAY: Final = timedelta(days=1)
ACTIVITIES_KEPT: Final = 730 * DAY
"""How long residents see a use of theirs."""


class Purge(NamedTuple):
    """One row of the schedule."""

    name: str
    """The table, or table.column where only that value goes."""
    statement: Delete | Update
    left: Select[Any]
    """Counts what the statement has still to do."""
    kept_for: timedelta
    """How long rows stay after the instant they are judged by."""
    after: str
    """That instant in words."""


Change = Callable[[Table], Delete | Update]


def _rows(
    table: Table,
    run_out: ColumnElement[bool],
    *,
    after: str,
    kept_for: timedelta = timedelta(),
    change: Change = delete,
    column: str = "",
) -> Purge:
    key = tuple_(*table.primary_key.columns)
    batch = select(*table.primary_key.columns).where(run_out).limit(BATCH)
    return Purge(
        name=f"{table.name}.{column}" if column else table.name,
        statement=change(table).where(key.in_(batch)),
        left=select(func.count()).select_from(table).where(run_out),
        kept_for=kept_for,
        after=after,
    )


def _past(column: Column[datetime]) -> ColumnElement[bool]:
    return column <= bindparam("b_before")


PURGES: Final = (  # in this order: what refers to another goes first
    _rows(access_tokens, _past(access_tokens.c.expires_at), after="the token ran out"),
    # A used code is remembered as long as a token of it may live, else its replay could not end that token.
    _rows(codes, _past(codes.c.expires_at), kept_for=ACCESS_TOKEN_LIFETIME, after="the code ran out"),
    _rows(refresh_tokens, _past(refresh_tokens.c.expires_at), after="the refresh token ran out"),
    _rows(device_codes, _past(device_codes.c.expires_at), kept_for=ACCESS_TOKEN_LIFETIME, after="the code ran out"),
    _rows(
        backchannel_requests,
        _past(backchannel_requests.c.expires_at),
        kept_for=ACCESS_TOKEN_LIFETIME,
        after="the request ran out",
    ),
    _rows(
        grant_certificates,
        grant_certificates.c.grant_id.in_(select(grants.c.grant_id).where(_past(grants.c.expires_at))),
        after="the grant ran out",
    ),
    _rows(
        identity_proofs,  # as long as an access token may ask for it, and no longer than its grant
        identity_proofs.c.grant_id.in_(
            select(grants.c.grant_id).where(_past(grants.c.expires_at) | grants.c.ended_at.is_not(None))
        ),
        kept_for=ACCESS_TOKEN_LIFETIME,
        after="the grant ran out",
    ),
    _rows(grants, _past(grants.c.expires_at), kept_for=ACCESS_TOKEN_LIFETIME, after="the grant ran out"),
    _rows(pushed_requests, _past(pushed_requests.c.expires_at), kept_for=DAY, after="the pushed request ran out"),
    # The link_id of a request is asked about for a day by the client that made it.
    _rows(link_requests, _past(link_requests.c.expires_at), kept_for=DAY, after="the link request ran out"),
    _rows(link_alarms, _past(link_alarms.c.closed_at), kept_for=30 * DAY, after="an operator closed the alarm"),
    _rows(proofs, _past(proofs.c.expires_at), kept_for=CLOCK_DIFFERENCE, after="the proof ran out"),
    _rows(attempts, _past(attempts.c.window_began_at), kept_for=DAY, after="the window began"),
    _rows(initial_access_tokens, _past(initial_access_tokens.c.expires_at), kept_for=DAY, after="the token ran out"),
    _rows(logout_deliveries, _past(logout_deliveries.c.expires_at), kept_for=7 * DAY, after="the last try"),
    _rows(assertions, _past(assertions.c.expires_at), kept_for=CLOCK_DIFFERENCE, after="the assertion ran out"),
    # Their documents go with them, by the foreign key.
    _rows(sign_transactions, _past(sign_transactions.c.expires_at), after="the transaction, or its result, ran out"),
    # As long as an access token of either login may ask what became of it.
    _rows(
        joint_transactions,
        _past(joint_transactions.c.expires_at),
        kept_for=ACCESS_TOKEN_LIFETIME,
        after="the time for its next card",
    ),
    # With their interaction and not before: an interaction's card requests are counted while it lives.
    _rows(
        card_transactions,
        card_transactions.c.interaction_id.in_(
            select(interactions.c.interaction_id).where(_past(interactions.c.expires_at))
        ),
        after="the login ran out",
    ),
    _rows(interactions, _past(interactions.c.expires_at), after="the login ran out"),
    _rows(
        sessions,
        _past(sessions.c.authenticated_at),
        kept_for=LIFETIME + timedelta(hours=1),
        after="the card answered",
    ),
    # The keyed fingerprint stays as the account's history; the serial served revocation checks, and none follow.
    _rows(
        credentials,
        _past(credentials.c.not_after) & (credentials.c.serial_sealed != b""),
        kept_for=DAY,
        after="the certificate ran out",
        change=lambda table: update(table).values(serial_sealed=b""),
        column="serial_sealed",
    ),
    # R13: it serves the check alone, and the certificate's own date refuses it now.
    _rows(
        revoked_certificates,
        _past(revoked_certificates.c.not_after),
        kept_for=DAY,
        after="the certificate ran out",
    ),
    _rows(registrations, _past(registrations.c.not_after), kept_for=DAY, after="the certificate ran out"),
    _rows(account_orders, _past(account_orders.c.expires_at), kept_for=30 * DAY, after="the order ran out"),
    _rows(activities, _past(activities.c.last_at), kept_for=ACTIVITIES_KEPT, after="the use"),
    _rows(receipts, _past(receipts.c.expires_at), after="the time that the settings gave the receipt"),
    # What never held is nobody's proof of anything; its parts and papers go with it, by the foreign key.
    _rows(
        mandates,
        _past(mandates.c.changed_at) & (mandates.c.state == "abandoned"),
        kept_for=90 * DAY,
        after="the draft was given up",
    ),
    _rows(mandate_orders, _past(mandate_orders.c.expires_at), kept_for=30 * DAY, after="the order ran out"),
    _rows(mandate_notes, _past(mandate_notes.c.at), kept_for=ACTIVITIES_KEPT, after="the notice"),
    _rows(leases, _past(leases.c.until), kept_for=DAY, after="the lease ran out"),
)

KEPT: Final = {
    "clients": "until the operator removes the client",
    "sectors": "for ever: the pseudonyms of a group of clients hang on it",
    "accounts": "for ever: a deleted one is a tombstone, so that a person who comes back has the same pseudonyms",
    "credentials": "with the account, and its tombstone: keyed fingerprints (the sealed serial goes earlier)",
    "subjects": "for ever: a pseudonym is never given to anybody else",
    "sign_documents": "with their transaction",
    "raw_digests": "for ever: a signature over one of them must never count as a frame or as signed attributes",
    "consents": "until the account is deleted",
    "consent_history": "until the account is deleted: what was agreed to, and when",
    "attributes": "until the resident removes them or deletes the account",
    "recovery_codes": "until a new sheet replaces them or the account is deleted",
    "support_numbers": "until the account is deleted",
    "kiosks": "for ever: rows of the audit record name them, and a key that was stopped is never taken again",
    "operators": "for ever: a name stands in the audit record and is never given to anybody else",
    "links": "with the account: of a number that ended only the keyed fingerprint is needed (one person, one ticket)",
    "link_counts": "for ever: what was refused and tried again, by day, about nobody (R9)",
    "clock": "one row: time never runs backwards",
    "notice_marks": "one row for each platform operator: how far its notices were taken",
    "register_logs": "for ever: one row for each year's log",
    "register_entries": "for ever: without its salt a commitment says nothing; the database refuses to delete a row",
    "register_nodes": "with the entries",
    "register_checkpoints": "for ever: what was shown to witnesses and officers is never taken back",
    "mandate_parts": "with their mandate, which is kept ten years after its end by the operator's archive",
    "mandate_evidence": "with their mandate: what proves it years later",
    "mandate_judges": "with their mandate",
    "protections": "until two operators lift the notice",
    "mandate_events": "with their mandate: what the register's entries commit to",
    "mandate_decisions": "with their mandate: both sides see who asked",
    "status_epochs": "ten years, by the operator's archive: anybody may ask what held on a day",
    "audit": "for the legal term, by the operator's archive; the database refuses to delete a row",
}
"""Tables from which nothing leaves by the clock, and why."""


def delete_batch(work: Work, purge: Purge, *, now: datetime) -> int:
    """Delete up to BATCH rows; how many they were."""
    return work.write(purge.statement, b_before=now - purge.kept_for).rowcount


def count_left(work: Work, purge: Purge, *, now: datetime) -> int:
    """How many rows the schedule wants gone that are still there."""
    left: int = work.read(purge.left, b_before=now - purge.kept_for).scalar_one()
    return left


def schedule() -> str:
    """The schedule as a Markdown table."""
    lines = ["| What | Stays | Until, or why |", "|---|---|---|"]
    lines += [f"| `{purge.name}` | {_words(purge.kept_for)} | after {purge.after} |" for purge in PURGES]
    lines += [f"| `{table}` | kept | {why} |" for table, why in KEPT.items()]
    return "\n".join(lines) + "\n"


def _words(length: timedelta) -> str:
    for unit, seconds in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        count, rest = divmod(int(length.total_seconds()), seconds)
        if count and not rest:
            return f"{count} {unit.removesuffix('s') if count == 1 else unit}"
    return "not at all" if not length else f"{length.total_seconds():g} s"
