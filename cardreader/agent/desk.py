"""The desk: one person, one request, one card at a time, and which page comes next. Knows nothing of HTTP.

A request becomes a sitting once it is fully verified. The sitting's key leads back to it from the agent's own pages; a
PIN page's token works once, so that a double click never costs a second try.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from cardreader.agent.answer import PINEntry, seal_answer
from cardreader.agent.hold import CardHold
from cardreader.agent.request import SignRequest, verify_request
from cardreader.agent.signing import check_tries
from cardreader.agent.trust import AgentState, Trust
from cardreader.errors import (
    AgentBusy,
    AgentFault,
    CardError,
    CardTimeout,
    HoldExpired,
    LastTryNotConfirmed,
    LoginCancelled,
    PageStale,
    PINFormatInvalid,
    PINRejected,
    RequestReplayed,
)
from cardreader.jpki_ap import check_pin_format
from cardreader.transport import Readers

HOLD_SECONDS = 120.0  # design 4.3: the lock is dropped then
DEADLINE_SECONDS = 20.0  # for one page's card work, far above the connection's own deadlines
SITTING_SECONDS = 600.0  # how long a page may lead back to its request
MAX_SITTINGS = 16
MAX_REMEMBERED = 10_000  # transactions
REMEMBER_SECONDS = 86_400.0
PERSON_FLOOR = 2  # a person confirms before the last try


@dataclass(slots=True, kw_only=True)
class Sitting:
    """One verified request and how far its person has come."""

    key: str = field(repr=False)
    request: SignRequest
    arrived: float  # monotonic seconds
    pin_token: str = field(default="", repr=False)
    tries_left: int | None = None
    last_try_confirmed: bool = False
    hold: CardHold | None = None
    is_working: bool = False
    answer: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskPIN:
    """Show the PIN page; `error` says why it is shown again. `is_last_try` asks for the confirmation first."""

    request: SignRequest
    key: str = field(repr=False)
    token: str = field(repr=False)
    tries_left: int | None
    is_last_try: bool
    error: CardError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Hand `answer` to the broker."""

    request: SignRequest
    key: str = field(repr=False)
    answer: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Show `error`. With a `request` there is a way back to the service; with a `key` the same request can go on."""

    error: CardError
    request: SignRequest | None = None
    key: str | None = field(default=None, repr=False)


Page = AskPIN | Answered | Refused


class Desk:
    """Serialises everything that touches the card. Every method returns the page to show and never raises CardError."""

    def __init__(
        self,
        *,
        readers: Readers,
        trust: Trust,
        state: AgentState,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        on_fault: Callable[[Exception], None],
        hold_seconds: float = HOLD_SECONDS,
        deadline_seconds: float = DEADLINE_SECONDS,
        pin_entry: PINEntry = "page",
    ) -> None:
        self._readers = readers
        self._trust = trust
        self._state = state
        self._clock = clock
        self._monotonic = monotonic
        self._on_fault = on_fault
        self._hold_seconds = hold_seconds
        self._deadline_seconds = deadline_seconds
        self._pin_entry = pin_entry
        self._mutex = threading.Lock()
        self._seen_lock = threading.Lock()
        self._sittings: OrderedDict[str, Sitting] = OrderedDict()
        self._transactions: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._active: Sitting | None = None
        self._hanging: CardHold | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a request is under way."""
        with self._mutex:
            return self._is_occupied()

    def submit(self, jws: str, origin: str) -> Page:
        """Take a request from a broker's page: verify it, then read the card. A reload goes on with the open one."""
        try:
            with self._seen_lock:
                trust = self._trust.with_seen(self._state.seen())
                request = verify_request(jws, trust=trust, origin=origin, now=self._clock())
                self._state.remember(request.issuer, request.statement_seq)
        except CardError as error:
            return Refused(error=error)
        with self._mutex:
            sitting = self._register(request)
        if sitting is None:
            return Refused(error=RequestReplayed("the transaction was answered or given up"), request=request)
        return self._proceed(sitting)

    def resume(self, key: str) -> Page:
        """Go on with the sitting of one of our own pages: read the card again, or show where it stands."""
        with self._mutex:
            sitting = self._find(key)
        if sitting is None:
            return Refused(error=PageStale("no such sitting"))
        return self._proceed(sitting)

    def confirm_last_try(self, key: str, token: str) -> Page:
        """The person has read that one try is left, and wants to use it."""
        with self._mutex:
            sitting = self._find(key)
            if sitting is None or not self._takes(sitting, token):
                return self._stale(sitting)
            sitting.last_try_confirmed = True
        return self._ask(sitting)

    def enter_pin(self, key: str, token: str, pin: str) -> Page:
        """One PIN from the page that `token` was given to. The only place from which a PIN reaches a card."""
        with self._mutex:
            sitting = self._find(key)
            if sitting is None or not self._takes(sitting, token) or sitting.hold is None:
                return self._stale(sitting)
            hold = sitting.hold
            sitting.pin_token = ""
            sitting.is_working = True
        return self._work(sitting, lambda: self._try_pin(sitting, hold, pin))

    def cancel(self, key: str) -> Page:
        """The person stops: the card is let go and the request is over."""
        with self._mutex:
            sitting = self._find(key)
            if sitting is None:
                return Refused(error=PageStale("no such sitting"))
            if sitting.is_working:
                return Refused(error=AgentBusy("a step is under way"), request=sitting.request, key=key)
            del self._sittings[key]
        self._let_go(sitting)
        return Refused(error=LoginCancelled("by the person"), request=sitting.request)

    def close(self) -> None:
        """Let any card go: the program ends."""
        with self._mutex:
            active = self._active
        if active is not None:
            self._let_go(active)

    def _register(self, request: SignRequest) -> Sitting | None:
        now = self._monotonic()
        for key, sitting in list(self._sittings.items()):
            if now - sitting.arrived > SITTING_SECONDS and sitting is not self._active:
                del self._sittings[key]
        while self._transactions and now - next(iter(self._transactions.values())) > REMEMBER_SECONDS:
            self._transactions.popitem(last=False)
        transaction = (request.issuer, request.transaction)
        if transaction in self._transactions:
            return next(
                (
                    sitting
                    for sitting in self._sittings.values()
                    if sitting.answer is None and sitting.request.transaction == request.transaction
                    if sitting.request.nonce == request.nonce and sitting.request.issuer == request.issuer
                ),
                None,
            )
        self._transactions[transaction] = now
        if len(self._transactions) > MAX_REMEMBERED:
            self._transactions.popitem(last=False)
        while len(self._sittings) >= MAX_SITTINGS:
            oldest = next(key for key, sitting in self._sittings.items() if sitting is not self._active)
            del self._sittings[oldest]
        sitting = Sitting(key=secrets.token_urlsafe(32), request=request, arrived=now)
        self._sittings[sitting.key] = sitting
        return sitting

    def _proceed(self, sitting: Sitting) -> Page:
        with self._mutex:
            if sitting.answer is not None:
                return Answered(request=sitting.request, key=sitting.key, answer=sitting.answer)
            if sitting.is_working or (self._is_occupied() and self._active is not sitting):
                return Refused(error=AgentBusy("one at a time"), request=sitting.request, key=sitting.key)
            is_held = sitting.hold is not None and sitting.hold.is_alive and self._active is sitting
            if not is_held:
                if self._hanging is not None and self._hanging.is_alive:
                    return Refused(
                        error=CardTimeout("the reader still hangs"), request=sitting.request, key=sitting.key
                    )
                self._hanging = None
                self._active = sitting
                sitting.is_working = True
        return self._ask(sitting) if is_held else self._work(sitting, lambda: self._open(sitting))

    def _open(self, sitting: Sitting) -> None:
        sitting.hold = CardHold(
            self._readers,
            sitting.request,
            hold_seconds=self._hold_seconds,
            deadline_seconds=self._deadline_seconds,
            on_fault=self._on_fault,
        )
        sitting.last_try_confirmed = False
        sitting.tries_left = sitting.hold.open().tries_left

    def _try_pin(self, sitting: Sitting, hold: CardHold, pin: str) -> None:
        if not hold.is_alive:
            raise HoldExpired("the card was let go")
        check_pin_format(pin)
        if not sitting.last_try_confirmed:
            check_tries(sitting.tries_left, floor=PERSON_FLOOR)
        signature = hold.sign(pin)
        sitting.answer = seal_answer(
            sitting.request, signature, pin_entry=self._pin_entry, reader_kind=signature.reader_kind
        )

    def _work(self, sitting: Sitting, step: Callable[[], None]) -> Page:
        """Run one step of card work and say which page follows. The card stays held only where a PIN page follows."""
        error: CardError | None = None
        try:
            step()
        except CardError as caught:
            error = caught
        except Exception as caught:
            # The person must still get a page, and the card must still be let go.
            self._on_fault(caught)
            error = AgentFault("a fault beside the card")
        if isinstance(error, PINRejected):
            sitting.tries_left = error.tries_left
            sitting.last_try_confirmed = False
        keeps_card = isinstance(error, PINRejected | PINFormatInvalid | LastTryNotConfirmed) or (
            error is None and sitting.answer is None
        )
        if not keeps_card:
            self._let_go(sitting)
        with self._mutex:
            sitting.is_working = False
        if sitting.answer is not None:
            return Answered(request=sitting.request, key=sitting.key, answer=sitting.answer)
        if keeps_card:
            return self._ask(sitting, error)
        return Refused(error=error or AgentFault("no answer"), request=sitting.request, key=sitting.key)

    def _ask(self, sitting: Sitting, error: CardError | None = None) -> AskPIN:
        with self._mutex:
            if not sitting.pin_token:
                sitting.pin_token = secrets.token_urlsafe(32)
            is_last_try = not sitting.last_try_confirmed and (sitting.tries_left or 1) < PERSON_FLOOR
            return AskPIN(
                request=sitting.request,
                key=sitting.key,
                token=sitting.pin_token,
                tries_left=sitting.tries_left,
                is_last_try=is_last_try,
                error=error,
            )

    def _let_go(self, sitting: Sitting) -> None:
        if sitting.hold is not None:
            sitting.hold.release()
        with self._mutex:
            if sitting.hold is not None and sitting.hold.is_alive:
                self._hanging = sitting.hold
            sitting.hold = None
            if self._active is sitting:
                self._active = None

    def _is_occupied(self) -> bool:
        active = self._active
        if active is None:
            return False
        return active.is_working or (active.hold is not None and active.hold.is_alive)

    def _find(self, key: str) -> Sitting | None:
        return self._sittings.get(key)

    def _takes(self, sitting: Sitting, token: str) -> bool:
        if sitting.is_working or sitting is not self._active or not sitting.pin_token:
            return False
        return hmac.compare_digest(sitting.pin_token.encode(), token.encode())

    def _stale(self, sitting: Sitting | None) -> Refused:
        """A PIN page that is not the current one: of a working or answered sitting the way on is known, else none."""
        if sitting is None:
            return Refused(error=PageStale("no such sitting"))
        if sitting.is_working or sitting.answer is not None:
            return Refused(error=AgentBusy("a step is under way"), request=sitting.request, key=sitting.key)
        is_expired = sitting.hold is not None and not sitting.hold.is_alive
        error = HoldExpired("the card was let go") if is_expired else PageStale("not the current page")
        return Refused(error=error, request=sitting.request, key=sitting.key)
