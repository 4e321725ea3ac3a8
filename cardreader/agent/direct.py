"""Answering a card request without a page, for programs with a software card: the same core, another way to the PIN."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from cardreader.agent.answer import PINEntry, seal_answer
from cardreader.agent.device import DeviceKey
from cardreader.agent.documents import sign_documents
from cardreader.agent.entry import PinPrompt, Secret
from cardreader.agent.request import verify_request
from cardreader.agent.signing import (
    OnPINPad,
    check_sign_tries,
    check_tries,
    connect_card,
    present_card,
    sign_with_pin,
)
from cardreader.agent.trust import Trust
from cardreader.authentication import AuthenticationCards
from cardreader.errors import LoginCancelled, PasswordEntryMissing
from cardreader.jpki_ap import check_pin_format, fold_sign_password

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
    password: Callable[[PinPrompt], str | None] | None = None,
    password_floor: int = SCRIPTED_FLOOR,
    device: DeviceKey | None = None,
) -> str:
    """Verify the request, read and judge the card, ask `pin` once, sign, and return the answer (JWE).

    Where the request has documents, `password` is asked once after that for the signing password; without it they are
    refused before the card is touched (PasswordEntryMissing). `password_floor` is to its tries what `tries_floor` is
    to the PIN's (SignLastTryNotConfirmed); both are looked at before anything is asked.

    `pin` returns None to give up (LoginCancelled). Never tries twice; where fewer than `tries_floor` tries are left it
    does not even ask (LastTryNotConfirmed). Raises CardError; the caller keeps jti single-use and seq remembered.
    Where the reader has keys of its own, `on_pad` is called in the place of `pin`, and the PIN is typed there. `device`
    signs the answer as a terminal's that everybody uses.
    """
    request = verify_request(request_jws, trust=trust, origin=origin, now=now)
    if request.act.documents and password is None:
        raise PasswordEntryMissing("nobody to ask for the signing password")
    with connect_card(cards, request) as card:
        presented = present_card(card, request)
        check_tries(presented.tries_left, floor=tries_floor)
        if request.act.documents:
            check_sign_tries(presented.sign_tries_left, floor=password_floor)
        prompt = PinPrompt.of(request, phrase=trust.phrase, tries_left=presented.tries_left)
        secret: str | OnPINPad
        if on_pad is not None and presented.has_pin_pad:
            secret, pin_entry = on_pad(prompt), "pinpad"
        else:
            typed = pin(prompt)
            if typed is None:
                raise LoginCancelled("no PIN was given")
            if not request.act.needs_licence:
                check_pin_format(typed)
            secret = typed
        signature = sign_with_pin(card, presented, request, secret)
        signed = None
        if request.act.documents and password is not None:
            prompt = PinPrompt.of(
                request, phrase=trust.phrase, tries_left=presented.sign_tries_left, secret=Secret.SIGNING
            )
            typed = password(prompt)
            if typed is None:
                raise LoginCancelled("no signing password was given")
            fold_sign_password(typed)
            signed = sign_documents(card, request, typed)
    return seal_answer(
        request, signature, pin_entry=pin_entry, reader_kind=signature.reader_kind, signed=signed, device=device
    )
