"""The desk: one person, one request, one card at a time, and which page comes next. Knows nothing of HTTP.

A request becomes a sitting once it is fully verified. The sitting's key leads back to it from the agent's own pages; a
page's token works once, so that a double click never costs a second try. Where documents are to be signed, the signing
password is asked for after the PIN, outside the browser, while the same card is held.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Callable
from datetime import datetime

from cardreader.agent.answer import PINEntry, seal_answer
from cardreader.agent.device import DeviceKey
from cardreader.agent.documents import SignedDocuments
from cardreader.agent.entry import EntryUnavailable, PINAsker, PinPrompt, Secret, first_language, typed_pin
from cardreader.agent.hold import CardHold
from cardreader.agent.request import SignRequest, verify_request
from cardreader.agent.signing import PAD_SECONDS, OnPINPad, check_sign_tries, check_tries
from cardreader.agent.sitting import Answered, Ask, Page, Refused, Sitting, Sittings
from cardreader.agent.trust import AgentState, Trust
from cardreader.authentication import AuthenticationCards
from cardreader.errors import (
    AgentBusy,
    AgentFault,
    CardError,
    CardTimeout,
    HoldExpired,
    HPKIPINFormatInvalid,
    HPKIPINRejected,
    LastTryNotConfirmed,
    LinkingOff,
    LoginCancelled,
    PageStale,
    PasswordEntryMissing,
    PINFormatInvalid,
    PINRejected,
    RequestReplayed,
    SigningOff,
    SignLastTryNotConfirmed,
    SignPasswordFormatInvalid,
    SignPasswordRejected,
)
from cardreader.jpki_ap import check_pin_format, fold_sign_password

HOLD_SECONDS = 120.0  # design 4.3: the lock is dropped then
DEADLINE_SECONDS = 20.0  # for one page's card work, far above the connection's own deadlines
STOP_SECONDS = 3.0  # how long a window may take to close when its request is ended elsewhere
PERSON_FLOOR = 2  # a person confirms before the last try
_ASK_AGAIN = (
    PINRejected,
    PINFormatInvalid,
    LastTryNotConfirmed,
    SignPasswordRejected,
    SignPasswordFormatInvalid,
    SignLastTryNotConfirmed,
    HPKIPINRejected,
    HPKIPINFormatInvalid,
)
"""After these the card stays held, and its person may go on."""


class Desk:
    """Serialises everything that touches the card. Every method returns the page to show and never raises CardError."""

    def __init__(
        self,
        *,
        cards: AuthenticationCards,
        trust: Trust,
        state: AgentState,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        on_fault: Callable[[Exception], None],
        hold_seconds: float = HOLD_SECONDS,
        deadline_seconds: float = DEADLINE_SECONDS,
        asker: PINAsker | None = None,
        password_asker: PINAsker | None = None,
        uses_pin_pad: bool = False,
        is_shared: bool = False,
        allows_signing: bool = True,
        device: DeviceKey | None = None,
        on_answer: Callable[[SignRequest], None] = lambda _: None,
    ) -> None:
        """`asker` asks for the PIN outside the page; without one the page asks. `uses_pin_pad` puts a reader's own keys
        before both, where it has any. `on_answer` hears of each answer made. `password_asker` asks for the signing
        password; without one, requests with documents are refused before a card is touched.

        Terminals that everybody uses: without `allows_last_try` a card with one try left is refused, without
        `allows_signing` every request with documents and every link; `device` signs their answers.
        """
        self._cards = cards
        self._trust = trust
        self._state = state
        self._clock = clock
        self._monotonic = monotonic
        self._on_fault = on_fault
        self._hold_seconds = hold_seconds
        self._deadline_seconds = deadline_seconds
        self._asker = asker
        self._password_asker = password_asker
        self._uses_pin_pad = uses_pin_pad
        self._is_shared = is_shared
        self._allows_signing = allows_signing
        self._device = device
        self._on_answer = on_answer
        self._mutex = threading.Lock()
        self._seen_lock = threading.Lock()
        self._sittings = Sittings()
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
        if (request.act.documents or request.act.mandate is not None) and not self._allows_signing:
            return Refused(error=SigningOff("a terminal that everybody uses"), request=request)
        if request.act.kind in ("profession", "joint") and not self._allows_signing:
            return Refused(error=SigningOff("a terminal that everybody uses"), request=request)
        if request.act.link is not None and not self._allows_signing:
            return Refused(error=LinkingOff("a terminal that everybody uses"), request=request)
        if request.act.documents and self._password_asker is None:
            return Refused(error=PasswordEntryMissing("neither a window nor pinentry"), request=request)
        with self._mutex:
            sitting = self._register(request)
        if sitting is None:
            return Refused(error=RequestReplayed("the transaction was answered or given up"), request=request)
        return self._proceed(sitting)

    def resume(self, key: str) -> Page:
        """Go on with the sitting of one of our own pages: read the card again, or show where it stands."""
        with self._mutex:
            sitting = self._sittings.find(key)
        if sitting is None:
            return Refused(error=PageStale("no such sitting"))
        return self._proceed(sitting)

    def take_over(self, key: str) -> Page:
        """End the request that is in the way, where it only waits for its person, and go on with this one.

        A closed tab leaves a request behind that nobody will ever finish.
        """
        with self._mutex:
            sitting, other = self._sittings.find(key), self._active
            if sitting is None:
                return Refused(error=PageStale("no such sitting"))
            if other is sitting or not self._is_occupied():
                other = None
            if other is not None:
                if other.is_working and not other.is_asking:
                    return Refused(error=AgentBusy("a step is under way"), request=sitting.request, key=key)
                self._end(other)
        if other is not None:
            self._await_end(other)
        return self._proceed(sitting)

    def ask_elsewhere(self, key: str, token: str) -> Page:
        """Let the sitting's own means (not the page) ask for its secret, and try what was typed. Waits for a person."""
        with self._mutex:
            sitting = self._sittings.find(key)
            if sitting is None or not self._takes(sitting, token) or sitting.hold is None or sitting.asks_on_page:
                return self._stale(sitting)
            hold = sitting.hold
            sitting.token = ""
            sitting.is_working = sitting.is_asking = True
        return self._work(sitting, lambda: self._ask_person(sitting, hold))

    def confirm_last_try(self, key: str, token: str) -> Page:
        """The person has read that one try is left, and wants to use it."""
        with self._mutex:
            sitting = self._sittings.find(key)
            if sitting is None or not self._takes(sitting, token) or self._is_shared:
                return self._stale(sitting)
            sitting.last_try_confirmed = True
        return self._ask(sitting)

    def enter_pin(self, key: str, token: str, pin: str) -> Page:
        """One PIN from the page that `token` was given to. No signing password ever comes this way."""
        with self._mutex:
            sitting = self._sittings.find(key)
            if sitting is None or not self._takes(sitting, token) or sitting.hold is None or not sitting.asks_on_page:
                return self._stale(sitting)
            hold = sitting.hold
            sitting.token = ""
            sitting.is_working = True
        return self._work(sitting, lambda: self._try_pin(sitting, hold, pin))

    def cancel(self, key: str) -> Page:
        """The person stops: the card is let go and the request is over."""
        with self._mutex:
            sitting = self._sittings.find(key)
            if sitting is None:
                return Refused(error=PageStale("no such sitting"))
            if sitting.is_working and not sitting.is_asking:
                return Refused(error=AgentBusy("a step is under way"), request=sitting.request, key=key)
            self._end(sitting)
        self._await_end(sitting)
        return Refused(error=LoginCancelled("by the person"), request=sitting.request)

    def close(self) -> None:
        """Let any card go and forget every request: the program ends, or the person at a public terminal has left."""
        with self._mutex:
            active = self._active
            for sitting in self._sittings.all():
                self._end(sitting)
        if active is not None:
            self._await_end(active)

    def _register(self, request: SignRequest) -> Sitting | None:
        now = self._monotonic()
        self._sittings.forget_old(now, kept=self._active)
        if not self._state.use(request.issuer, request.transaction):
            return self._sittings.open_for(request)
        means: PINEntry = "page" if self._asker is None else self._asker.name
        return self._sittings.begin(request, now=now, means=means, kept=self._active)

    def _proceed(self, sitting: Sitting) -> Page:
        with self._mutex:
            if sitting.answer is not None:
                return Answered(request=sitting.request, key=sitting.key, answer=sitting.answer)
            other = self._active if self._is_occupied() and self._active is not sitting else None
            if sitting.is_working or other is not None:
                return Refused(
                    error=AgentBusy("one at a time"),
                    request=sitting.request,
                    key=sitting.key,
                    may_take_over=other is not None and (other.is_asking or not other.is_working),
                )
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
        hold = CardHold(
            self._cards,
            sitting.request,
            hold_seconds=self._hold_seconds,
            deadline_seconds=self._deadline_seconds,
            on_fault=self._on_fault,
        )
        sitting.begin_card(hold)
        presented = hold.open()
        sitting.pin_tries_left, sitting.sign_tries_left = presented.tries_left, presented.sign_tries_left
        if self._uses_pin_pad and presented.has_pin_pad:
            sitting.means = "pinpad"
        if self._is_shared:
            check_tries(presented.tries_left, floor=PERSON_FLOOR)
            if sitting.request.act.documents:
                check_sign_tries(presented.sign_tries_left, floor=PERSON_FLOOR)

    def _ask_person(self, sitting: Sitting, hold: CardHold) -> None:
        """Ask outside the page, and try what was typed."""
        if not hold.is_alive:
            raise HoldExpired("the card was let go")
        _require_last_try_confirmed(sitting)
        if sitting.secret is Secret.SIGNING:
            self._ask_password(sitting, hold)
        elif sitting.means == "pinpad":
            with self._mutex:
                sitting.is_asking = False  # the reader cannot be told to stop: nobody takes over meanwhile
                if sitting.stop.is_set():
                    raise LoginCancelled("ended from another page")
            language = first_language(sitting.request.ui_locales) or "ja"
            self._sign(sitting, hold, OnPINPad(language=language, seconds=PAD_SECONDS))
        elif self._asker is None:
            raise AgentFault("nobody to ask")
        else:
            try:
                typed = self._ask_by(self._asker, sitting, hold)
            except EntryUnavailable as error:
                self._on_fault(error)
                sitting.means = "page"  # it asks from now on
                return
            self._try_pin(sitting, hold, typed)

    def _ask_password(self, sitting: Sitting, hold: CardHold) -> None:
        """The signing password has no page to fall back on: where nobody can ask, that is the end."""
        try:
            if self._password_asker is None:
                raise EntryUnavailable("nobody to ask")
            typed = self._ask_by(self._password_asker, sitting, hold)
        except EntryUnavailable as error:
            self._on_fault(error)
            raise PasswordEntryMissing("the window for the signing password did not open") from None
        if not hold.is_alive:
            raise HoldExpired("the card was let go")
        fold_sign_password(typed)
        self._answer(sitting, hold.sign_documents(typed))

    def _ask_by(self, asker: PINAsker, sitting: Sitting, hold: CardHold) -> str:
        """What a person typed. Raises EntryUnavailable, LoginCancelled, HoldExpired."""
        prompt = PinPrompt.of(
            sitting.request,
            phrase=self._trust.phrase,
            is_shared=self._is_shared,
            tries_left=sitting.tries_left,
            error=sitting.error,
            secret=sitting.secret,
        )
        unavailable: EntryUnavailable | None = None
        typed = None
        try:
            typed = asker.ask(prompt, seconds=self._hold_seconds, stop=sitting.stop)
        except EntryUnavailable as error:
            unavailable = error
        with self._mutex:
            sitting.is_asking = False
            is_stopped = sitting.stop.is_set()
        if is_stopped:
            raise LoginCancelled("ended from another page")
        if unavailable is not None:
            raise unavailable
        if typed is None:
            raise LoginCancelled("by the person") if hold.is_alive else HoldExpired("the card was let go")
        return typed_pin(typed)

    def _try_pin(self, sitting: Sitting, hold: CardHold, pin: str) -> None:
        if not hold.is_alive:
            raise HoldExpired("the card was let go")
        if sitting.secret is Secret.PIN:  # an HPKI card states itself what its PIN looks like
            check_pin_format(pin)
        _require_last_try_confirmed(sitting)
        self._sign(sitting, hold, pin)

    def _sign(self, sitting: Sitting, hold: CardHold, pin: str | OnPINPad) -> None:
        sitting.signature = hold.sign(pin)
        sitting.last_try_confirmed = False  # it was said of the PIN, not of the password that comes next
        if not sitting.request.act.documents:
            self._answer(sitting, None)

    def _answer(self, sitting: Sitting, signed: SignedDocuments | None) -> None:
        if sitting.signature is None:
            raise AgentFault("an answer without the frame's signature")
        sitting.answer = seal_answer(
            sitting.request,
            sitting.signature,
            pin_entry=sitting.means,
            reader_kind=sitting.signature.reader_kind,
            signed=signed,
            device=self._device,
        )
        self._on_answer(sitting.request)

    def _work(self, sitting: Sitting, step: Callable[[], None]) -> Page:
        """Run one step of card work and say which page follows. The card stays held only where something is asked."""
        error: CardError | None = None
        try:
            step()
        except CardError as caught:
            error = caught
        except Exception as caught:
            # The person must still get a page, and the card must still be let go.
            self._on_fault(caught)
            error = AgentFault("a fault beside the card")
        if isinstance(error, PINRejected | HPKIPINRejected):
            sitting.pin_tries_left, sitting.last_try_confirmed = error.tries_left, False
        elif isinstance(error, SignPasswordRejected):
            sitting.sign_tries_left, sitting.last_try_confirmed = error.tries_left, False
        keeps_card = isinstance(error, _ASK_AGAIN) or (error is None and sitting.answer is None)
        if self._is_shared and (
            (sitting.tries_left or 1) < PERSON_FLOOR or isinstance(error, LastTryNotConfirmed | SignLastTryNotConfirmed)
        ):
            keeps_card = False
        sitting.error = error
        if not keeps_card:
            self._let_go(sitting)
        with self._mutex:
            sitting.is_working = sitting.is_asking = False
            if isinstance(error, LoginCancelled):
                self._sittings.forget(sitting)
        if isinstance(error, LoginCancelled):
            return Refused(error=error, request=sitting.request)
        if sitting.answer is not None:
            return Answered(request=sitting.request, key=sitting.key, answer=sitting.answer)
        if keeps_card:
            return self._ask(sitting, error)
        return Refused(error=error or AgentFault("no answer"), request=sitting.request, key=sitting.key)

    def _ask(self, sitting: Sitting, error: CardError | None = None) -> Ask:
        with self._mutex:
            if not sitting.token:
                sitting.token = secrets.token_urlsafe(32)
            return Ask(
                request=sitting.request,
                key=sitting.key,
                token=sitting.token,
                secret=sitting.secret,
                tries_left=sitting.tries_left,
                is_last_try=not sitting.last_try_confirmed and (sitting.tries_left or 1) < PERSON_FLOOR,
                on_page=sitting.asks_on_page,
                means=sitting.means,
                error=error,
            )

    def _end(self, sitting: Sitting) -> None:
        """No page leads back to it any more, and nobody is asked for it. The caller holds the mutex."""
        self._sittings.forget(sitting)
        sitting.token = ""
        sitting.stop.set()

    def _await_end(self, sitting: Sitting) -> None:
        """Let its card go; where its person is being asked, the thread that asks does it."""
        until = time.monotonic() + STOP_SECONDS
        while sitting.is_working and time.monotonic() < until:
            time.sleep(0.02)
        self._let_go(sitting)

    def _let_go(self, sitting: Sitting) -> None:
        hold = sitting.hold  # another thread may let it go at the same time
        if hold is not None:
            hold.release()
        with self._mutex:
            if hold is not None and hold.is_alive:
                self._hanging = hold
            sitting.hold = None
            if self._active is sitting:
                self._active = None

    def _is_occupied(self) -> bool:
        active = self._active
        if active is None:
            return False
        return active.is_working or (active.hold is not None and active.hold.is_alive)

    def _takes(self, sitting: Sitting, token: str) -> bool:
        if sitting.is_working or sitting is not self._active or not sitting.token:
            return False
        return hmac.compare_digest(sitting.token.encode(), token.encode())

    def _stale(self, sitting: Sitting | None) -> Refused:
        """A PIN page that is not the current one: of a working or answered sitting the way on is known, else none."""
        if sitting is None:
            return Refused(error=PageStale("no such sitting"))
        if sitting.is_working or sitting.answer is not None:
            return Refused(error=AgentBusy("a step is under way"), request=sitting.request, key=sitting.key)
        is_expired = sitting.hold is not None and not sitting.hold.is_alive
        error = HoldExpired("the card was let go") if is_expired else PageStale("not the current page")
        return Refused(error=error, request=sitting.request, key=sitting.key)


def _require_last_try_confirmed(sitting: Sitting) -> None:
    if sitting.last_try_confirmed:
        return
    check = check_sign_tries if sitting.secret is Secret.SIGNING else check_tries
    check(sitting.tries_left, floor=PERSON_FLOOR)
