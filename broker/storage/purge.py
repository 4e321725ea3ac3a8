"""What has run out, table by table, and how it is deleted: in batches, so that no login waits for it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import Column, ColumnElement, Delete, Table, bindparam, delete, select, tuple_

from broker.accounts.session import LIFETIME
from broker.oidc.tokens import ACCESS_TOKEN_LIFETIME
from broker.storage.schema import access_tokens, assertions, card_transactions, codes, interactions, sessions
from broker.storage.work import Work

BATCH: Final = 1000
"""Rows of one unit of work: some tens of milliseconds of the write lock."""
CLOCK_DIFFERENCE: Final = timedelta(minutes=1)
"""How far the clocks of two hosts may be apart before a purged assertion could be used again."""


class Purge(NamedTuple):
    """One row of the table below."""

    table: str
    statement: Delete
    kept_for: timedelta
    """How long rows stay after the instant they are judged by."""


def _rows(table: Table, run_out: ColumnElement[bool], *, kept_for: timedelta = timedelta()) -> Purge:
    key = tuple_(*table.primary_key.columns)
    batch = select(*table.primary_key.columns).where(run_out).limit(BATCH)
    return Purge(table.name, delete(table).where(key.in_(batch)), kept_for)


def _past(column: Column[datetime]) -> ColumnElement[bool]:
    return column <= bindparam("b_before")


PURGES: Final = (  # in this order: what refers to another goes first
    _rows(access_tokens, _past(access_tokens.c.expires_at)),
    # A used code is remembered as long as a token of it may live, else its replay could not end that token.
    _rows(codes, _past(codes.c.expires_at), kept_for=ACCESS_TOKEN_LIFETIME),
    _rows(assertions, _past(assertions.c.expires_at), kept_for=CLOCK_DIFFERENCE),
    # With their interaction and not before: an interaction's card requests are counted while it lives.
    _rows(
        card_transactions,
        card_transactions.c.interaction_id.in_(
            select(interactions.c.interaction_id).where(_past(interactions.c.expires_at))
        ),
    ),
    _rows(interactions, _past(interactions.c.expires_at)),
    _rows(sessions, _past(sessions.c.authenticated_at), kept_for=LIFETIME + timedelta(hours=1)),
)


def delete_batch(work: Work, purge: Purge, *, now: datetime) -> int:
    """Delete up to BATCH rows; how many they were."""
    return work.write(purge.statement, b_before=now - purge.kept_for).rowcount
