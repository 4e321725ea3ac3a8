"""A login without a browser window: this program walks the broker's pages itself, and its own agent asks the card.

The PIN goes to the card alone, as in the agent; the pages are the ones every browser gets, by the ids on them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import parse_qs, urljoin, urlsplit

from cardreader.agent.answer import PINEntry
from cardreader.agent.direct import answer_request
from cardreader.agent.entry import PinPrompt
from cardreader.agent.request import SignRequest, verify_request
from cardreader.agent.signing import OnPINPad
from cardreader.agent.trust import AgentState, Trust
from cardreader.authentication import AuthenticationCards, PINPadMissing
from cardreader.errors import (
    CardError,
    HPKIPINRejected,
    LastTryNotConfirmed,
    LoginCancelled,
    PINRejected,
    RequestReplayed,
    SignLastTryNotConfirmed,
    SiteUnknown,
)
from cardreader.webclient import Form, Page, WebClient, origin_of, place_of

PERSON_FLOOR = 2  # as on the pages: a person confirms before the last try


class LoginRefused(Exception):
    """The broker shows an error page, or a page that is no part of a login. `code` is the page's, "" without one."""

    def __init__(self, reason: str, *, code: str = "") -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Where the browser would go now. `error` is the OAuth error the service is told, None where it gets a code."""

    service: str
    url: str = field(repr=False)
    error: str | None

    @property
    def place(self) -> str:
        """`url` without its query: that holds the code."""
        return place_of(self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who is asked. Each question gets its text and returns the answer; `pin` returns None to give up."""

    pin_entry: PINEntry
    pin: Callable[[PinPrompt], str | None]
    again: Callable[[PINRejected | HPKIPINRejected], bool]
    """Whether to type the PIN once more."""
    last_try: Callable[[int | None], bool]
    """Whether to use the last try (the number is None where the card does not tell)."""
    last_password_try: Callable[[int | None], bool]
    """The same for the signing password. A wrong one ends the login: the person begins it again."""
    consent: Callable[[str], bool]
    """Whether the service may have what the broker's consent page lists."""
    password: Callable[[PinPrompt], str | None] | None = None
    """Asks for the signing password, where documents are to be signed; None where no means of it is at hand."""
    on_pad: Callable[[PinPrompt], OnPINPad] | None = None
    """Where the reader has keys of its own: tells the person to type there. None leaves them unused."""


def log_in(
    url: str,
    *,
    browser: WebClient,
    trust: Trust,
    state: AgentState,
    cards: AuthenticationCards,
    person: Person,
    clock: Callable[[], datetime],
) -> Outcome:
    """From a service's authorization address to the address the broker sends the browser back to.

    Raises CardError for card, PIN and request, LoginRefused for the broker's error pages, WebFault for its silence.
    A person who gives the PIN up still comes back with the service's `access_denied`.
    """
    origin = origin_of(url)
    if trust.broker_at(origin) is None:
        raise SiteUnknown("the address is of no broker in the trust file")
    page = browser.get(url)
    back = page.elements.links.get("continue-link")
    if back is not None:
        return _outcome(page, back, service="")  # the broker refused the service's request, or needed no card
    asked = _form(page, "card-form")
    request = asked.fields.get("request", "")
    checked = _verify(request, origin=origin, trust=trust, state=state, now=clock())
    service = checked.display_client or ""
    try:
        answer = _answer(request, checked, trust=trust, cards=cards, person=person, clock=clock)
    except LoginCancelled:
        return _cancel(page, browser, service=service)
    posted = Form(action=checked.return_uri, method="post", fields={"answer": answer})
    page = browser.submit(posted, origin=origin_of(asked.action))
    consent = page.form("consent-form")
    if consent is not None:
        decision = "approve" if person.consent(page.elements.texts.get("claims", "")) else "deny"
        page = browser.submit(consent, origin=origin, decision=decision)
    back = page.elements.links.get("continue-link")
    if page.status != 200 or back is None:
        raise _refusal(page)
    return _outcome(page, back, service=service)


def _cancel(page: Page, browser: WebClient, *, service: str) -> Outcome:
    """Press the login page's own button, so that the service learns of it (access_denied)."""
    page = browser.submit(_form(page, "cancel-form"), origin=origin_of(page.url))
    back = page.elements.links.get("continue-link")
    if back is None:
        raise _refusal(page)
    return _outcome(page, back, service=service)


def _verify(jws: str, *, origin: str, trust: Trust, state: AgentState, now: datetime) -> SignRequest:
    request = verify_request(jws, trust=trust.with_seen(state.seen()), origin=origin, now=now)
    state.remember(request.issuer, request.statement_seq)
    if not state.use(request.issuer, request.transaction):
        raise RequestReplayed("the transaction was used before")
    return request


def _answer(
    jws: str,
    request: SignRequest,
    *,
    trust: Trust,
    cards: AuthenticationCards,
    person: Person,
    clock: Callable[[], datetime],
) -> str:
    error: CardError | None = None
    floor = password_floor = PERSON_FLOOR
    while True:
        shown = error

        def ask(prompt: PinPrompt, shown: CardError | None = shown) -> str | None:
            return person.pin(replace(prompt, error=shown))

        def tell(prompt: PinPrompt, shown: CardError | None = shown) -> OnPINPad:
            if person.on_pad is None:
                raise PINPadMissing("the reader's keys are not to be used")
            return person.on_pad(replace(prompt, error=shown))

        try:
            return answer_request(
                jws,
                origin=request.origin,
                trust=trust,
                cards=cards,
                pin=ask,
                now=clock(),
                pin_entry=person.pin_entry,
                tries_floor=floor,
                password=person.password,
                password_floor=password_floor,
                on_pad=None if person.on_pad is None else tell,
            )
        except LastTryNotConfirmed as few:
            if not person.last_try(few.tries_left):
                raise
            floor = 1
        except SignLastTryNotConfirmed as few:
            if not person.last_password_try(few.tries_left):
                raise
            password_floor = 1
        except (PINRejected, HPKIPINRejected) as rejected:
            if not person.again(rejected):
                raise
            error, floor = rejected, PERSON_FLOOR


def _outcome(page: Page, back: str, *, service: str) -> Outcome:
    url = urljoin(page.url, back)
    error = parse_qs(urlsplit(url).query).get("error")
    return Outcome(service=service, url=url, error=error[0] if error else None)


def _form(page: Page, identifier: str) -> Form:
    form = page.form(identifier)
    if form is None:
        raise _refusal(page)
    return form


def _refusal(page: Page) -> LoginRefused:
    texts = page.elements.texts
    title = " ".join(texts.get("error-title", "").split())
    reason = title or f"{place_of(page.url)} is no page of a login (status {page.status})"
    return LoginRefused(reason, code=texts.get("error-code", "").strip())
