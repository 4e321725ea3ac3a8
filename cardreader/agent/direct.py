"""Answering a card request without a page, for programs with a software card: the same core, another way to the PIN."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from cardreader.agent.answer import PINEntry, seal_answer
from cardreader.agent.entry import PinPrompt
from cardreader.agent.request import verify_request
from cardreader.agent.signing import OnPINPad, check_tries, present_card, sign_with_pin
from cardreader.agent.trust import Trust
from cardreader.authentication import AuthenticationCards
from cardreader.errors import LoginCancelled
from cardreader.jpki_ap import check_pin_format

SCRIPTED_FLOOR = 3  # a PIN that no person typed never costs more than the first try


def answer_request(
    request_jws: str,
    *,
    origin: str,
    trust: Trust,
    cards: AuthenticationCards,
    pin: Callable[[PinPrompt], str | None],
    now: datetime,
    pin_entry: PINEntry = "software",
    tries_floor: int = SCRIPTED_FLOOR,
    on_pad: Callable[[PinPrompt], OnPINPad] | None = None,
) -> str:
    """Verify the request, read and judge the card, ask `pin` once, sign, and return the answer (JWE).

    `pin` returns None to give up (LoginCancelled). Never tries twice; where fewer than `tries_floor` tries are left it
    does not even ask (LastTryNotConfirmed). Raises CardError; the caller keeps jti single-use and seq remembered.
    Where the reader has keys of its own, `on_pad` is called in the place of `pin`, and the PIN is typed there.
    """
    request = verify_request(request_jws, trust=trust, origin=origin, now=now)
    with cards.connect() as card:
        presented = present_card(card, request)
        check_tries(presented.tries_left, floor=tries_floor)
        prompt = PinPrompt.of(request, phrase=trust.phrase, tries_left=presented.tries_left)
        secret: str | OnPINPad
        if on_pad is not None and presented.has_pin_pad:
            secret, pin_entry = on_pad(prompt), "pinpad"
        else:
            typed = pin(prompt)
            if typed is None:
                raise LoginCancelled("no PIN was given")
            check_pin_format(typed)
            secret = typed
        signature = sign_with_pin(card, presented, request, secret)
    return seal_answer(request, signature, pin_entry=pin_entry, reader_kind=signature.reader_kind)
