"""A card held between two pages: opened at the request, kept exclusively until the PIN, a cancel, or the hold's end.

All card work runs in one thread per hold, with deadlines on our side: libpcsclite and many readers know no time-out,
and a page must be answered whatever hangs. A hung thread keeps its reader; nothing else is ever started beside it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from cardreader.agent.request import SignRequest
from cardreader.agent.signing import CardSignature, OnPINPad, PresentedCard, present_card, sign_with_pin
from cardreader.authentication import AuthenticationCards
from cardreader.errors import AgentFault, CardError, CardTimeout, HoldExpired, PINOutcomeUnknown, PINRejected


class CardHold:
    """One card for one request. Use from one caller at a time (desk.py sees to it)."""

    def __init__(
        self,
        cards: AuthenticationCards,
        request: SignRequest,
        *,
        hold_seconds: float,
        deadline_seconds: float,
        on_fault: Callable[[Exception], None],
    ) -> None:
        """`hold_seconds` is how long the PIN may take; `deadline_seconds` how long one page waits for the card."""
        self._cards = cards
        self._request = request
        self._hold_seconds = hold_seconds
        self._deadline_seconds = deadline_seconds
        self._on_fault = on_fault
        self._pins: queue.Queue[str | OnPINPad | None] = queue.Queue()
        self._replies: queue.Queue[PresentedCard | CardSignature | CardError] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="card", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether the card is still held, or its thread still hangs in a reader."""
        return self._thread.is_alive()

    def open(self) -> PresentedCard:
        """Connect, read and judge the card. Raises what connecting and `present_card` raise, and CardTimeout."""
        self._thread.start()
        reply = self._reply(CardTimeout("the card did not answer in time"))
        if not isinstance(reply, PresentedCard):
            raise AgentFault("a reply out of turn")
        return reply

    def sign(self, pin: str | OnPINPad) -> CardSignature:
        """Hand over one PIN, or let it be typed on the reader. After PINRejected the card is still held, else let go.

        Raises HoldExpired where it was let go before, and PINOutcomeUnknown where no verdict came in time.
        """
        if not self.is_alive:
            raise HoldExpired("the card is no longer held")
        self._pins.put(pin)
        extra = 0.0 if isinstance(pin, str) else pin.seconds
        reply = self._reply(PINOutcomeUnknown("the card did not answer in time"), extra=extra)
        if not isinstance(reply, CardSignature):
            raise AgentFault("a reply out of turn")
        self._thread.join(self._deadline_seconds)
        return reply

    def release(self) -> None:
        """Let the card go (power-down) and wait briefly until it has happened."""
        self._pins.put(None)
        if self._thread.ident is not None:
            self._thread.join(min(2.0, self._deadline_seconds))

    def _reply(self, late: CardError, *, extra: float = 0.0) -> PresentedCard | CardSignature:
        try:
            reply = self._replies.get(timeout=self._deadline_seconds + extra)
        except queue.Empty:
            self._pins.put(None)
            raise late from None
        if isinstance(reply, CardError):
            if not isinstance(reply, PINRejected):
                self._thread.join(min(2.0, self._deadline_seconds))
            raise reply
        return reply

    def _work(self) -> None:
        try:
            with self._cards.connect() as card:
                presented = present_card(card, self._request)
                self._replies.put(presented)
                while (pin := self._pins.get(timeout=self._hold_seconds)) is not None:
                    try:
                        self._replies.put(sign_with_pin(card, presented, self._request, pin))
                    except PINRejected as error:
                        self._replies.put(error)
                    else:
                        return
        except queue.Empty:
            self._replies.put(HoldExpired("the PIN did not come in time"))
        except CardError as error:
            self._replies.put(error)
        except Exception as error:
            # Whatever else breaks in the card's thread must still reach the page that waits for it.
            self._on_fault(error)
            self._replies.put(AgentFault("a fault in the card's thread"))
