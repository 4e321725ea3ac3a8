"""One person's request at the desk: how far it has come, and the pages that can follow."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from cardreader.agent.answer import PINEntry
from cardreader.agent.entry import Secret
from cardreader.agent.hold import CardHold
from cardreader.agent.request import SignRequest
from cardreader.agent.signing import CardSignature
from cardreader.errors import CardError

SITTING_SECONDS = 600.0  # how long a page may lead back to its request
MAX_SITTINGS = 16


@dataclass(slots=True, kw_only=True)
class Sitting:
    """One verified request and how far its person has come."""

    key: str = field(repr=False)
    request: SignRequest
    arrived: float  # monotonic seconds
    token: str = field(default="", repr=False)
    """Of the page that asks now; it works once."""
    pin_tries_left: int | None = None
    sign_tries_left: int | None = None
    last_try_confirmed: bool = False
    hold: CardHold | None = None
    is_working: bool = False
    is_asking: bool = False
    """Within `is_working`: a person is being asked outside the page, and nothing is on its way to the card."""
    means: PINEntry = "page"
    """How the PIN is asked for; the signing password never on the page."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set where the request is ended from another page while its person is being asked."""
    error: CardError | None = None
    signature: CardSignature | None = field(default=None, repr=False)
    """Over the frame. Where documents are to be signed, the password is asked for once it is there."""
    answer: str | None = field(default=None, repr=False)

    @property
    def secret(self) -> Secret:
        """Which of the card's secrets is asked for now."""
        return Secret.first_of(self.request.act) if self.signature is None else Secret.SIGNING

    @property
    def tries_left(self) -> int | None:
        """Of that secret: each has a counter of its own. None where the card does not tell."""
        return self.sign_tries_left if self.secret is Secret.SIGNING else self.pin_tries_left

    @property
    def asks_on_page(self) -> bool:
        """Whether it is typed on the agent's own page."""
        return self.secret is not Secret.SIGNING and self.means == "page"

    def begin_card(self, hold: CardHold) -> None:
        """A card is held anew: nothing that another conversation gave counts any more."""
        self.hold, self.signature, self.error = hold, None, None
        self.last_try_confirmed = False


class Sittings:
    """The sittings that a page may lead back to, the oldest first. Its caller holds a lock around every call."""

    def __init__(self) -> None:
        self._by_key: OrderedDict[str, Sitting] = OrderedDict()

    def find(self, key: str) -> Sitting | None:
        """The sitting of one of our own pages."""
        return self._by_key.get(key)

    def all(self) -> tuple[Sitting, ...]:
        """Every sitting there is."""
        return tuple(self._by_key.values())

    def open_for(self, request: SignRequest) -> Sitting | None:
        """The unanswered sitting of this very request, whose page was loaded anew."""
        return next(
            (
                sitting
                for sitting in self._by_key.values()
                if sitting.answer is None and sitting.request.transaction == request.transaction
                if sitting.request.nonce == request.nonce and sitting.request.issuer == request.issuer
            ),
            None,
        )

    def begin(self, request: SignRequest, *, now: float, means: PINEntry, kept: Sitting | None) -> Sitting:
        """A new one, in the place of the oldest but `kept` where there are too many."""
        while len(self._by_key) >= MAX_SITTINGS:
            self.forget(next(sitting for sitting in self._by_key.values() if sitting is not kept))
        sitting = Sitting(key=secrets.token_urlsafe(32), request=request, arrived=now, means=means)
        self._by_key[sitting.key] = sitting
        return sitting

    def forget(self, sitting: Sitting) -> None:
        """No page leads back to it any more."""
        self._by_key.pop(sitting.key, None)

    def forget_old(self, now: float, *, kept: Sitting | None) -> None:
        """Forget all older than SITTING_SECONDS but `kept`."""
        for sitting in self.all():
            if now - sitting.arrived > SITTING_SECONDS and sitting is not kept:
                self.forget(sitting)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Show the page for `secret`; `error` says why it is shown again. `is_last_try` asks for the confirmation first.

    Without `on_page` the secret is typed elsewhere, by `means` (of the PIN), and the page only says where.
    """

    request: SignRequest
    key: str = field(repr=False)
    token: str = field(repr=False)
    secret: Secret
    tries_left: int | None
    is_last_try: bool
    on_page: bool
    means: PINEntry = "page"
    error: CardError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Hand `answer` to the broker."""

    request: SignRequest
    key: str = field(repr=False)
    answer: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Show `error`. With a `request` there is a way back to the service; with a `key` the same request can go on.

    `may_take_over`: the request in the way only waits for its person, so that this one may take its place.
    """

    error: CardError
    request: SignRequest | None = None
    key: str | None = field(default=None, repr=False)
    may_take_over: bool = False


Page = Ask | Answered | Refused
