"""An agent for one answer: the installed agent's own core over a software card in this process, and no window."""

from __future__ import annotations

from datetime import UTC, datetime

from cardreader.agent.direct import answer_request
from cardreader.agent.trust import Trust
from cardreader.authentication import APDUCards
from cardreader.cardfile import CardFile
from cardreader.hpki_emulator import software_card
from cardreader.tray import SoftwareReaders, Tray


def answer(
    request: str, *, origin: str, trust: Trust, card: CardFile, pin: str, sign_password: str | None = None
) -> str:
    """The sealed answer (JWE) of this card to a page's signed request. The card is read afresh and never written.

    Where the request has documents, they are signed with `sign_password`; None takes the card's own. Raises CardError,
    also where the request is not one that `trust` accepts from `origin`.
    """
    own = "" if card.sign is None else card.sign.pin
    password = own if sign_password is None else sign_password
    tray = Tray()
    tray.insert_card(software_card(card))
    return answer_request(
        request,
        origin=origin,
        trust=trust,
        cards=APDUCards(SoftwareReaders(tray)),
        pin=lambda _: pin,
        password=lambda _: password,
        now=datetime.now(UTC),
    )
