"""The store: units of work over one engine (ports.Store).

What the database cannot do now is StoreUnavailable (503, try later). What it refuses because a flow broke a rule of
the schema is StoreMisused: our own fault, 500. Neither repeats the driver's words about values.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from types import TracebackType
from typing import Generic, TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from broker.errors import StoreUnavailable
from broker.flows.ports import Transaction
from broker.storage.accounts import SQLAccounts
from broker.storage.activities import SQLActivities
from broker.storage.approvals import SQLBackchannelRequests, SQLDeviceCodes
from broker.storage.assertions import SQLAssertions
from broker.storage.attempts import SQLAttempts
from broker.storage.attributes import SQLAttributes
from broker.storage.audit import SQLAuditLog
from broker.storage.cards import SQLCardTransactions
from broker.storage.clients import SQLClients, SQLManagedClients
from broker.storage.clock import SQLClock
from broker.storage.codes import SQLCodes
from broker.storage.connections import Connections
from broker.storage.consents import SQLConsents
from broker.storage.grants import SQLGrants
from broker.storage.identity_proofs import SQLIdentityProofs
from broker.storage.initial_access import SQLInitialAccess
from broker.storage.interactions import SQLInteractions
from broker.storage.joints import SQLJoints
from broker.storage.kiosks import SQLKiosks
from broker.storage.leases import SQLLeases
from broker.storage.links import SQLLinks
from broker.storage.logout_deliveries import SQLLogoutDeliveries
from broker.storage.mandates import SQLMandates
from broker.storage.notices import SQLNotices
from broker.storage.operators import SQLOperators
from broker.storage.proofs import SQLProofs
from broker.storage.purge import BATCH, PURGES, count_left, delete_batch
from broker.storage.pushed_requests import SQLPushedRequests
from broker.storage.receipts import SQLReceipts
from broker.storage.recovery_codes import SQLRecoveryCodes
from broker.storage.refresh_tokens import SQLRefreshTokens
from broker.storage.register import SQLRegister, SQLRegisterTree
from broker.storage.revoked import SQLRevoked
from broker.storage.sectors import SQLSectors
from broker.storage.sessions import SQLSessions
from broker.storage.sign_transactions import SQLRawDigests, SQLSignTransactions
from broker.storage.standings import SQLStandings
from broker.storage.tokens import SQLTokens
from broker.storage.work import Work

Inside = TypeVar("Inside")

_OUR_FAULT = (IntegrityError, DataError, ProgrammingError, NotSupportedError)


class StoreMisused(Exception):
    """A flow broke a rule of the schema (an unknown account, a digest twice). A mistake of this program."""


class _Unit(Generic[Inside]):
    """The block of one unit of work; a generator would cost more than a statement."""

    __slots__ = ("_connections", "_make", "_work")

    def __init__(self, connections: Connections, make: Callable[[Work], Inside]) -> None:
        self._connections = connections
        self._make = make

    def __enter__(self) -> Inside:
        try:
            self._work = Work(self._connections)
        except SQLAlchemyError as fault:
            raise _ours(fault) from None
        return self._make(self._work)

    def __exit__(
        self, _kind: type[BaseException] | None, raised: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            self._work.end(commit=raised is None)
        except SQLAlchemyError as fault:
            if raised is None:
                raise _ours(fault) from None
        if isinstance(raised, SQLAlchemyError):
            ours = _ours(raised)
            if ours is not raised:
                raise ours from None


def _ours(fault: SQLAlchemyError) -> Exception:
    """In our own words what the database or its driver said; anything else is a mistake to be seen as it is."""
    if isinstance(fault, _OUR_FAULT):
        return StoreMisused(_words(fault))
    if isinstance(fault, DBAPIError):
        return StoreUnavailable(_words(fault))
    if isinstance(fault, PoolTimeout):
        return StoreUnavailable("no database connection became free")
    return fault


class SQLTransaction:
    """Fulfils ports.Transaction: every port over the same unit of work."""

    __slots__ = ("_work",)

    def __init__(self, work: Work) -> None:
        self._work = work

    @property
    def clients(self) -> SQLClients:
        return SQLClients(self._work)

    @property
    def managed_clients(self) -> SQLManagedClients:
        return SQLManagedClients(self._work)

    @property
    def initial_access(self) -> SQLInitialAccess:
        return SQLInitialAccess(self._work)

    @property
    def sectors(self) -> SQLSectors:
        return SQLSectors(self._work)

    @property
    def interactions(self) -> SQLInteractions:
        return SQLInteractions(self._work)

    @property
    def cards(self) -> SQLCardTransactions:
        return SQLCardTransactions(self._work)

    @property
    def accounts(self) -> SQLAccounts:
        return SQLAccounts(self._work)

    @property
    def revoked(self) -> SQLRevoked:
        return SQLRevoked(self._work)

    @property
    def notices(self) -> SQLNotices:
        return SQLNotices(self._work)

    @property
    def consents(self) -> SQLConsents:
        return SQLConsents(self._work)

    @property
    def standings(self) -> SQLStandings:
        return SQLStandings(self._work)

    @property
    def activities(self) -> SQLActivities:
        return SQLActivities(self._work)

    @property
    def attributes(self) -> SQLAttributes:
        return SQLAttributes(self._work)

    @property
    def recovery_codes(self) -> SQLRecoveryCodes:
        return SQLRecoveryCodes(self._work)

    @property
    def operators(self) -> SQLOperators:
        return SQLOperators(self._work)

    @property
    def kiosks(self) -> SQLKiosks:
        return SQLKiosks(self._work)

    @property
    def sessions(self) -> SQLSessions:
        return SQLSessions(self._work)

    @property
    def grants(self) -> SQLGrants:
        return SQLGrants(self._work)

    @property
    def identity_proofs(self) -> SQLIdentityProofs:
        return SQLIdentityProofs(self._work)

    @property
    def codes(self) -> SQLCodes:
        return SQLCodes(self._work)

    @property
    def device_codes(self) -> SQLDeviceCodes:
        return SQLDeviceCodes(self._work)

    @property
    def backchannel_requests(self) -> SQLBackchannelRequests:
        return SQLBackchannelRequests(self._work)

    @property
    def tokens(self) -> SQLTokens:
        return SQLTokens(self._work)

    @property
    def refresh_tokens(self) -> SQLRefreshTokens:
        return SQLRefreshTokens(self._work)

    @property
    def assertions(self) -> SQLAssertions:
        return SQLAssertions(self._work)

    @property
    def pushed_requests(self) -> SQLPushedRequests:
        return SQLPushedRequests(self._work)

    @property
    def attempts(self) -> SQLAttempts:
        return SQLAttempts(self._work)

    @property
    def proofs(self) -> SQLProofs:
        return SQLProofs(self._work)

    @property
    def receipts(self) -> SQLReceipts:
        return SQLReceipts(self._work)

    @property
    def audit(self) -> SQLAuditLog:
        return SQLAuditLog(self._work)

    @property
    def links(self) -> SQLLinks:
        return SQLLinks(self._work)

    @property
    def logout_deliveries(self) -> SQLLogoutDeliveries:
        return SQLLogoutDeliveries(self._work)

    @property
    def sign_transactions(self) -> SQLSignTransactions:
        return SQLSignTransactions(self._work)

    @property
    def joints(self) -> SQLJoints:
        return SQLJoints(self._work)

    @property
    def raw_digests(self) -> SQLRawDigests:
        return SQLRawDigests(self._work)

    @property
    def register(self) -> SQLRegister:
        return SQLRegister(self._work)

    @property
    def register_tree(self) -> SQLRegisterTree:
        return SQLRegisterTree(self._work)

    @property
    def mandates(self) -> SQLMandates:
        return SQLMandates(self._work)

    @property
    def leases(self) -> SQLLeases:
        return SQLLeases(self._work)

    @property
    def clock(self) -> SQLClock:
        return SQLClock(self._work)


class SQLStore:
    """Fulfils ports.Store. One per process; threads share it, processes each open their own engine."""

    def __init__(self, engine: Engine) -> None:
        self._connections = Connections(engine)

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Commit at the end of the block, roll back on any exception.

        Raises StoreUnavailable, and StoreMisused for our own mistakes. Should PostgreSQL vanish in the middle of
        COMMIT nobody can know whether it committed; we say StoreUnavailable, and no code or token leaves.
        """
        return _Unit(self._connections, SQLTransaction)

    def _unit(self) -> _Unit[Work]:
        return _Unit(self._connections, lambda work: work)

    def purge(self, *, now: datetime) -> dict[str, int]:
        """Delete what has run out; rows by what they were. Each batch is a unit of its own, so nobody waits long."""
        counts = {}
        for purge in PURGES:
            counts[purge.name] = 0
            deleted = BATCH
            while deleted == BATCH:
                with self._unit() as work:
                    deleted = delete_batch(work, purge, now=now)
                counts[purge.name] += deleted
        return counts

    def overdue(self, *, now: datetime) -> dict[str, int]:
        """What should be gone by now and is not."""
        with self._unit() as work:
            return {purge.name: count_left(work, purge, now=now) for purge in PURGES}


def _words(fault: DBAPIError) -> str:
    """What the driver says without its DETAIL line, where PostgreSQL repeats the values of the row."""
    driver = fault.orig
    primary = getattr(getattr(driver, "diag", None), "message_primary", None)
    words = primary if isinstance(primary, str) else str(driver).partition("\n")[0]
    return f"{type(driver).__name__}: {words}"
