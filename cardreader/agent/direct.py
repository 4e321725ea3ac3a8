"""Answering a card request without a page, for programs with a software card: the same core, another way to the PIN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cardreader.agent.answer import PINEntry, seal_answer
from cardreader.agent.request import SignRequest, verify_request
from cardreader.agent.signing import check_tries, present_card, sign_with_pin
from cardreader.agent.trust import Trust
from cardreader.errors import LoginCancelled
from cardreader.jpki_ap import check_pin_format
from cardreader.transport import Readers

SCRIPTED_FLOOR = 3  # a PIN that no person typed never costs more than the first try


@dataclass(frozen=True, slots=True, kw_only=True)
class PinPrompt:
    """What a person must see before typing a PIN. `client` is None for an unvetted service without a host name."""

    phrase: str
    client: str | None
    client_vetted: bool
    origin: str
    tries_left: int | None
    released: tuple[str, ...]

    @classmethod
    def of(cls, request: SignRequest, *, phrase: str, tries_left: int | None) -> PinPrompt:
        """The prompt for `request` over a card with `tries_left`."""
        return cls(
            phrase=phrase,
            client=request.display_client,
            client_vetted=request.client_vetted,
            origin=request.origin,
            tries_left=tries_left,
            released=request.released,
        )


def answer_request(
    request_jws: str,
    *,
    origin: str,
    trust: Trust,
    readers: Readers,
    pin: Callable[[PinPrompt], str | None],
    now: datetime,
    pin_entry: PINEntry = "software",
    tries_floor: int = SCRIPTED_FLOOR,
) -> str:
    """Verify the request, read and judge the card, ask `pin` once, sign, and return the answer (JWE).

    `pin` returns None to give up (LoginCancelled). Never tries twice; where fewer than `tries_floor` tries are left it
    does not even ask (LastTryNotConfirmed). Raises CardError; the caller keeps jti single-use and seq remembered.
    """
    request = verify_request(request_jws, trust=trust, origin=origin, now=now)
    with readers.connect() as connection:
        card = present_card(connection, request)
        check_tries(card.tries_left, floor=tries_floor)
        secret = pin(PinPrompt.of(request, phrase=trust.phrase, tries_left=card.tries_left))
        if secret is None:
            raise LoginCancelled("no PIN was given")
        check_pin_format(secret)
        signature = sign_with_pin(connection, card, request, secret)
    return seal_answer(request, signature, pin_entry=pin_entry, reader_kind=signature.reader_kind)
