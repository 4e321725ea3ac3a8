"""The port of mandates; `tests/contracts/test_mandates.py` holds every engine to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from broker.audit.leaf import Happening
from broker.delegation.acts import Act, Kind
from broker.delegation.life import Deed, Role, State
from broker.delegation.record import Proof
from broker.delegation.statement import StatementKind
from broker.ids import AccountID, ClientID, MandateNumber

LISTED: Final = 500
"""Mandates that one look at somebody's list takes, where nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """One power of attorney, or statement, as it is kept; what people wrote and signed is sealed under its number."""

    number: MandateNumber
    kind: Kind | StatementKind
    state: State
    grant_sealed: bytes = field(repr=False)
    """The draft, and from the principal's signature on the very bytes that were signed."""
    begins: datetime
    ends: datetime
    created_at: datetime
    changed_at: datetime
    parent: MandateNumber | None = None
    supersedes: MandateNumber | None = None
    status_index: int | None = None
    """Its place in the status list, from the register's entry on."""
    record_sealed: bytes | None = field(default=None, repr=False)
    salt_sealed: bytes | None = field(default=None, repr=False)
    document_sealed: bytes | None = field(default=None, repr=False)
    """The PDF: unsigned until the quorum has seen its entry."""
    log_origin: str | None = None
    log_index: int | None = None
    resume_origin: str | None = None
    resume_index: int | None = None
    """The entry by which its principal resumes it; it holds again once witnesses have seen that."""
    principal_good_at: datetime | None = None
    """Of a family's: when the certificate of who is acted for was last asked about and was good."""
    blocked_at: datetime | None = None
    """Since when its principal cannot resume it: somebody who need not say why has stopped it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Somebody who has to sign. Until an invitation is taken up nobody stands behind it."""

    number: MandateNumber
    part_id: str
    """Their id in the grant."""
    role: Role
    account: AccountID | None = field(default=None, repr=False)
    done_at: datetime | None = None
    invitation_digest: bytes | None = field(default=None, repr=False)
    invited_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unended:
    """A power that holds, rests or may come to hold, in short."""

    number: MandateNumber
    kind: Kind
    role: Role
    """Of whom it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of evidence, sealed; `sha256` (hex) is of what is sealed."""

    shows: Proof
    sha256: str
    sealed: bytes = field(repr=False)
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """Something that the register is told of. `log_index` is None until it has been."""

    event_id: int
    number: MandateNumber
    happening: Happening
    at: datetime
    salt_sealed: bytes = field(repr=False)
    commit: bytes
    log_origin: str | None = None
    log_index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """An answer to a service, as both sides see it."""

    decision_id: str
    number: MandateNumber
    client_id: ClientID
    act: Act
    entity: str | None
    amount: int | None
    """Yen."""
    allowed: bool
    at: datetime
    holds_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What a party is told of."""

    number: MandateNumber
    account: AccountID = field(repr=False)
    deed: Deed
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MandateOrder:
    """What one operator ordered about a mandate; another confirms it before it is done."""

    order_id: str
    number: MandateNumber
    action: str
    """`mandate_orders.Action`."""
    reason: str
    ordered_by: str
    ordered_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """A status list as it was published, and its entry in the register."""

    list_uri: str
    at: datetime
    token: str = field(repr=False)
    log_origin: str
    log_index: int


class MandateStore(Protocol):
    """Every change of state is one statement that names the states it may begin in."""

    def draft(self, mandate: Mandate, parts: Sequence[Part]) -> None: ...

    def get(self, number: MandateNumber) -> Mandate | None: ...

    def lock(self, number: MandateNumber) -> State | None:
        """Its state, which nobody else changes before this unit of work ends: an answer and a revocation queue here."""

    def move(self, number: MandateNumber, deed: Deed, *, now: datetime) -> bool:
        """Lead it where `life.STEPS` says; False where it does not begin there. Not for SIGN, LOG and SEAL."""

    def sign(self, number: MandateNumber, grant_sealed: bytes, *, leads: State, now: datetime) -> bool:
        """From a draft, with the bytes that were signed; of two signatures one gets False."""

    def log(self, mandate: Mandate, *, now: datetime) -> bool:
        """From verified: keep record, salt, document, status place and the register's entry."""

    def seal(self, number: MandateNumber, document_sealed: bytes, *, now: datetime) -> bool:
        """From witnessed: the sealed document takes the unsigned one's place, and it holds."""

    def ask_resume(self, number: MandateNumber, *, origin: str, index: int, now: datetime) -> bool:
        """Of a suspended one that is not blocked: by which entry it is to hold again."""

    def block(self, number: MandateNumber, *, now: datetime) -> bool:
        """Of one that holds or is suspended: it is suspended, a resumption under way is dropped, and none is taken
        before `unblock`. False where it is neither, or is blocked.
        """

    def unblock(self, number: MandateNumber, *, now: datetime) -> bool:
        """It stays suspended until its principal resumes it. False where it is not blocked."""

    def place_taken(self, index: int) -> bool: ...

    def of(
        self,
        account: AccountID,
        *,
        statements: bool = False,
        older_than: MandateNumber | None = None,
        limit: int = LISTED,
    ) -> tuple[tuple[Mandate, Role], ...]:
        """Powers, or else `statements`, that somebody is a party to, with their part in each, the newest first, without
        the documents: `limit` at most, of those that follow `older_than` in this order.
        """

    def unended(
        self, account: AccountID, *, after: MandateNumber | None = None, limit: int = LISTED
    ) -> tuple[Unended, ...]:
        """Powers of which somebody is principal or agent and that have not ended, in the order of their numbers:
        `limit` at most, of those that follow `after`.
        """

    def in_force(self, account: AccountID) -> Mapping[Role, int]:
        """How many powers hold now, by the part that somebody has in them."""

    def children(self, number: MandateNumber) -> tuple[MandateNumber, ...]:
        """The powers that come directly from this one."""

    def waiting(self, state: State) -> tuple[MandateNumber, ...]:
        """Those in a state, the oldest change first, a hundred at most."""

    def resuming(self) -> tuple[Mandate, ...]: ...

    def overdue(self, *, now: datetime, drafts_before: datetime) -> tuple[tuple[MandateNumber, Deed], ...]:
        """What the clock ends: terms that are over, and drafts that nobody finished."""

    def listed(self) -> Mapping[MandateNumber, tuple[int, State, MandateNumber | None]]:
        """Place, state and parent of all that have a place in the status list."""

    # --- the parties -------------------------------------------------------------------------------------------------

    def parts(self, number: MandateNumber) -> tuple[Part, ...]: ...

    def invited(self, digest: bytes, *, now: datetime) -> Part | None:
        """By an invitation that was not taken up and has not run out."""

    def take(self, digest: bytes, account: AccountID, *, now: datetime) -> Part | None:
        """Take an invitation up, in one statement: of two callers one gets None."""

    def did(self, number: MandateNumber, part_id: str, *, now: datetime) -> bool:
        """Their part is done, once."""

    # --- who is protected ---------------------------------------------------------------------------------------------

    def protect(self, account: AccountID, *, now: datetime) -> None:
        """A protection notice stands for this person; a second one changes nothing."""

    def unprotect(self, account: AccountID) -> None: ...

    def seen_good(self, number: MandateNumber, *, at: datetime) -> None:
        """The certificate of the principal was asked about then, and was good."""

    def protected(self, account: AccountID) -> bool: ...

    # --- what goes with it -------------------------------------------------------------------------------------------

    def keep(self, number: MandateNumber, piece: Piece) -> None: ...

    def evidence(self, number: MandateNumber) -> tuple[Piece, ...]: ...

    def judge(self, number: MandateNumber, operator: str, *, sha256: str, now: datetime) -> bool:
        """One operator has held the registry extract against the grant; False where they have already."""

    def judges(self, number: MandateNumber) -> Mapping[str, str]:
        """Operators and the SHA-256 (hex) of the extract that each looked at."""

    def happen(
        self,
        number: MandateNumber,
        happening: Happening,
        *,
        at: datetime,
        salt_sealed: bytes,
        commit: bytes,
        log_origin: str | None = None,
        log_index: int | None = None,
    ) -> None: ...

    def story(self, number: MandateNumber) -> tuple[Happened, ...]:
        """What happened to it, in order."""

    def unlogged(self) -> tuple[Happened, ...]:
        """What the register does not know yet, the oldest first."""

    def logged(self, event_id: int, *, origin: str, index: int) -> None: ...

    def notify(self, note: Note) -> None: ...

    def notes(self, account: AccountID, *, statements: bool = False) -> tuple[Note, ...]:
        """The newest hundred about powers, or else about `statements`."""

    def decide(self, decided: Decided) -> None: ...

    def decisions(self, number: MandateNumber) -> tuple[Decided, ...]:
        """The newest hundred."""

    def decision(self, decision_id: str) -> Decided | None: ...

    def order(self, order: MandateOrder) -> None: ...

    def orders(self, *, now: datetime) -> tuple[MandateOrder, ...]:
        """Those that wait for another operator, the oldest first."""

    def confirm(self, order_id: str, *, by: str, now: datetime) -> MandateOrder | None:
        """Once, in time, and never by who ordered it: one statement; None for everything else."""

    def publish(self, epoch: Epoch) -> None: ...

    def epoch(self, list_uri: str, *, at: datetime) -> Epoch | None:
        """The one in force at that time."""
