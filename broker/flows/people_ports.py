"""What is kept of people beside their certificates (ports; `tests/contracts/` holds every engine to them)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from broker.accounts.account import State
from broker.accounts.activity import Activity
from broker.ids import AccountID, ClientID, CredentialID
from broker.oidc.consent import Consent


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldConsent:
    """A consent as its account sees it: in force, or withdrawn since `withdrawn_at`."""

    account: AccountID = field(repr=False)
    consent: Consent
    withdrawn_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRecord:
    """One line of the history: what was agreed to, withdrawn or restored, and the words that were shown."""

    account: AccountID = field(repr=False)
    client_id: ClientID
    event: str
    """`given`, `withdrawn` or `restored`."""
    scope: frozenset[str]
    declined: frozenset[str]
    uses: str
    """`oidc.data_use.tell` as JSON; empty where the client had no words."""
    at: datetime


class ConsentStore(Protocol):
    def get(self, account: AccountID, client_id: ClientID) -> Consent | None:
        """The consent in force; None when never given or withdrawn."""

    def give(self, account: AccountID, consent: Consent, *, uses: str = "") -> None:
        """Record it as the one in force; earlier ones stay in the history. `uses` is what was shown of purposes."""

    def withdraw(self, account: AccountID, client_id: ClientID, *, now: datetime) -> Consent | None:
        """End the one in force and answer it, in one statement; None when there is none."""

    def restore(self, account: AccountID, client_id: ClientID, *, withdrawn_at: datetime, now: datetime) -> bool:
        """Put the one withdrawn at that very time in force again; False when there is none such any more."""

    def of(self, account: AccountID) -> tuple[HeldConsent, ...]:
        """In force or withdrawn, one for each client, by client."""

    def history(self, account: AccountID, *, limit: int) -> tuple[ConsentRecord, ...]:
        """The newest first."""

    def forget(self, account: AccountID) -> None:
        """Everything above, of a deleted account."""


class StandingStore(Protocol):
    """Whether an account may be used at all, and by which number its person names it."""

    def state(self, account: AccountID) -> State | None:
        """None when unknown."""

    def began_at(self, account: AccountID) -> datetime | None:
        """When it was made, or made anew after a deletion."""

    def stop(self, account: AccountID, *, now: datetime) -> bool:
        """False when it was not open."""

    def reopen(self, account: AccountID) -> bool:
        """False when it was not stopped."""

    def bury(self, account: AccountID, *, now: datetime) -> bool:
        """Delete it but for its tombstone, in one statement; False when it was not open. The sealed serials of its
        certificates go at once; their keyed fingerprints and the pseudonyms stay.
        """

    def revive(self, account: AccountID, *, credential: CredentialID, serial_sealed: bytes, now: datetime) -> bool:
        """A deleted account begins anew, with the pseudonyms of before, by a card of its that was read; False when it
        was not deleted.
        """

    def support_number(self, account: AccountID, *, fresh: str) -> str:
        """The account's number; `fresh` is kept and answered if it has none yet and nobody has this one.

        Raises StoreUnavailable when another account has `fresh` (try another).
        """

    def numbered(self, number: str) -> AccountID | None: ...


class ActivityStore(Protocol):
    def note(self, activity: Activity) -> None:
        """Keep a row; where one with the same `repeats` is there, count one more in it instead, in one statement."""

    def page(
        self, account: AccountID, *, before: int | None, limit: int, client_id: ClientID | None = None
    ) -> tuple[Activity, ...]:
        """The newest first, those kept before number `before`."""

    def last_uses(self, account: AccountID) -> dict[ClientID, datetime]:
        """When each client was used last."""

    def report(self, account: AccountID, number: int, *, now: datetime) -> Activity | None:
        """Mark this account's row as disowned, once and in one statement; None when it is not there, or was marked."""

    def reported(self, *, limit: int) -> tuple[Activity, ...]:
        """The rows that were disowned, the newest report first."""

    def forget(self, account: AccountID) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedAttribute:
    """A registered attribute; only `attributes.context_of` opens it."""

    account: AccountID = field(repr=False)
    name: str
    sealed: bytes = field(repr=False)
    changed_at: datetime


class AttributeStore(Protocol):
    def of(self, account: AccountID) -> tuple[SealedAttribute, ...]: ...

    def put(self, attribute: SealedAttribute) -> None:
        """In place of the one of that name."""

    def remove(self, account: AccountID, name: str) -> bool:
        """False when there was none."""

    def forget(self, account: AccountID) -> None: ...


class RecoveryCodeStore(Protocol):
    """Codes as keyed digests."""

    def replace(self, account: AccountID, digests: Sequence[bytes], *, now: datetime) -> None:
        """A new sheet; every code of the one before ends."""

    def use(self, digest: bytes, *, now: datetime) -> AccountID | None:
        """Use it up and answer whose it was, in one statement: of two callers with one code, one gets None."""

    def left(self, account: AccountID) -> tuple[int, datetime | None]:
        """How many are unused, and when the sheet was made."""

    def forget(self, account: AccountID) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOrder:
    """What one operator ordered and another has to confirm before it is done."""

    order_id: str
    account: AccountID = field(repr=False)
    action: str
    """`stop` or `resume`."""
    reason: str
    ordered_by: str
    ordered_at: datetime
    expires_at: datetime


class OperatorStore(Protocol):
    """Who may order and confirm, each with a secret of their own (SHA-256 of random bits)."""

    def add(self, name: str, secret_digest: bytes, *, now: datetime) -> bool:
        """False when the name is taken, now or ever."""

    def remove(self, name: str, *, now: datetime) -> bool: ...

    def secret(self, name: str) -> bytes | None:
        """None when unknown or removed."""

    def all(self) -> tuple[str, ...]:
        """Those who are not removed."""

    def order(self, order: AccountOrder) -> None: ...

    def waiting(self, *, now: datetime) -> tuple[AccountOrder, ...]: ...

    def confirm(self, order_id: str, *, by: str, now: datetime) -> AccountOrder | None:
        """Once, in time, and never by who ordered it: one statement; None for everything else."""
