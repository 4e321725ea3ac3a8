"""A card held between pages: opened at the request, kept exclusively until the last secret, a cancel, or its end.

All card work runs in one thread per hold, with deadlines on our side: libpcsclite and many readers know no time-out,
and a page must be answered whatever hangs. A hung thread keeps its reader; nothing else is ever started beside it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

from cardreader.agent.documents import SignedDocuments, sign_documents
from cardreader.agent.request import SignRequest
from cardreader.agent.signing import (
    CardSignature,
    OnPINPad,
    PresentedCard,
    connect_card,
    present_card,
    sign_with_pin,
)
from cardreader.authentication import AuthenticationCard, AuthenticationCards
from cardreader.errors import (
    AgentFault,
    CardError,
    CardTimeout,
    HoldExpired,
    HPKIPINFormatInvalid,
    HPKIPINRejected,
    PINOutcomeUnknown,
    PINRejected,
    SignPasswordOutcomeUnknown,
    SignPasswordRejected,
)

DOCUMENT_SECONDS = 3.0  # what a page waits for each signature, beside its deadline

_ONCE_MORE = (PINRejected, HPKIPINRejected, HPKIPINFormatInvalid)
"""After these the card stays held: the next PIN may be right."""

T = TypeVar("T", PresentedCard, CardSignature, SignedDocuments)


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
        """`hold_seconds` is how long each secret may take; `deadline_seconds` how long one page waits for the card."""
        self._cards = cards
        self._request = request
        self._hold_seconds = hold_seconds
        self._deadline_seconds = deadline_seconds
        self._on_fault = on_fault
        self._secrets: queue.Queue[str | OnPINPad | None] = queue.Queue()
        self._replies: queue.Queue[PresentedCard | CardSignature | SignedDocuments | CardError] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="card", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether the card is still held, or its thread still hangs in a reader."""
        return self._thread.is_alive()

    def open(self) -> PresentedCard:
        """Connect, read and judge the card. Raises what connecting and `present_card` raise, and CardTimeout."""
        self._thread.start()
        return self._reply(PresentedCard, CardTimeout("the card did not answer in time"))

    def sign(self, pin: str | OnPINPad) -> CardSignature:
        """Hand over one PIN, or let it be typed on the reader. After PINRejected the card is still held.

        Afterwards it is let go, but where the request has documents: `sign_documents` comes next. Raises HoldExpired
        where it was let go before, and PINOutcomeUnknown where no verdict came in time.
        """
        extra = 0.0 if isinstance(pin, str) else pin.seconds
        signature = self._hand_over(pin, CardSignature, PINOutcomeUnknown("the card did not answer in time"), extra)
        if not self._request.act.documents:
            self._thread.join(self._deadline_seconds)
        return signature

    def sign_documents(self, password: str) -> SignedDocuments:
        """Hand over the signing password once. After SignPasswordRejected the card is still held, else it is let go.

        Raises HoldExpired, and SignPasswordOutcomeUnknown where no verdict came in time.
        """
        late = SignPasswordOutcomeUnknown("the card did not answer in time")
        extra = DOCUMENT_SECONDS * len(self._request.act.documents)
        signed = self._hand_over(password, SignedDocuments, late, extra)
        self._thread.join(self._deadline_seconds)
        return signed

    def release(self) -> None:
        """Let the card go (power-down) and wait briefly until it has happened."""
        self._secrets.put(None)
        if self._thread.ident is not None:
            self._thread.join(min(2.0, self._deadline_seconds))

    def _hand_over(self, secret: str | OnPINPad, expected: type[T], late: CardError, extra: float) -> T:
        if not self.is_alive:
            raise HoldExpired("the card is no longer held")
        self._secrets.put(secret)
        return self._reply(expected, late, extra=extra)

    def _reply(self, expected: type[T], late: CardError, *, extra: float = 0.0) -> T:
        try:
            reply = self._replies.get(timeout=self._deadline_seconds + extra)
        except queue.Empty:
            self._secrets.put(None)
            raise late from None
        if isinstance(reply, CardError):
            if not isinstance(reply, (*_ONCE_MORE, SignPasswordRejected)):
                self._thread.join(min(2.0, self._deadline_seconds))
            raise reply
        if not isinstance(reply, expected):
            raise AgentFault("a reply out of turn")
        return reply

    def _work(self) -> None:
        try:
            with connect_card(self._cards, self._request) as card:
                presented = present_card(card, self._request)
                self._replies.put(presented)
                if self._try_pins(card, presented) and self._request.act.documents:
                    self._try_passwords(card)
        except queue.Empty:
            self._replies.put(HoldExpired("the PIN or password did not come in time"))
        except CardError as error:
            self._replies.put(error)
        except Exception as error:
            # Whatever else breaks in the card's thread must still reach the page that waits for it.
            self._on_fault(error)
            self._replies.put(AgentFault("a fault in the card's thread"))

    def _try_pins(self, card: AuthenticationCard, presented: PresentedCard) -> bool:
        """One PIN after another, each handed in by a person, until one is right; False where the person stops."""
        while (pin := self._secrets.get(timeout=self._hold_seconds)) is not None:
            try:
                self._replies.put(sign_with_pin(card, presented, self._request, pin))
            except _ONCE_MORE as error:
                self._replies.put(error)
            else:
                return True
        return False

    def _try_passwords(self, card: AuthenticationCard) -> None:
        """The same for the signing password, which has letters: it is never typed on a reader's keys."""
        while isinstance(password := self._secrets.get(timeout=self._hold_seconds), str):
            try:
                self._replies.put(sign_documents(card, self._request, password))
            except SignPasswordRejected as error:
                self._replies.put(error)
            else:
                return
