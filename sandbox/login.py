"""One login over HTTP, as `python -m sandbox login` makes it: without a browser, with a card and an agent of its own.

It is a resident and a browser at once: it goes through the bank's and the broker's real pages by the ids on them, and
its in-process agent is the installed agent's own core. The card is read afresh for each login and never written.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

from cardreader import cardfile
from cardreader.agent.request import verify_request
from cardreader.agent.trust import Trust, load_trust
from cardreader.errors import CardError, answer_for
from cardreader.webclient import Form, Page, WebClient, WebFault, origin_of
from sandbox import softagent
from sandbox.running import BANK, BROKER

STEPS: Final = {
    "bank": "the bank's first page",
    "login": "off to the broker: its login page with the request for the card",
    "release": "the resident lets go of what the bank asks for, all of it",
    "card": "the agent checks the request, the card signs",
    "callback": "the broker judges the card's answer",
    "continue": "the broker releases it to this browser alone",
    "consent": "the resident agrees to what the bank receives",
    "return": "back at the bank, which checks the ID token",
    "link": "first time here: the customer number",
    "number": "the broker is to tell this number from now on: the card is read twice",
    "verify": "the bank says what it accepted",
}
"""The steps of a login in their order. `consent` and `link` happen the first time only, `release` where
more than a pseudonym is asked for, `number` where it is wanted, with the steps of its two readings again."""


class LoginFailed(Exception):
    """The login ended at `step`. `code` is the error code of the page or card, "" where there is none."""

    def __init__(self, step: str, reason: str, *, code: str = "") -> None:
        super().__init__(f"{step}: {reason}" + (f" ({code})" if code else ""))
        self.step = step
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginResult:
    """What the relying party accepted: `claims` are those of the ID token that it verified itself."""

    resident: str
    claims: Mapping[str, Any] = field(repr=False)
    userinfo: Mapping[str, Any] = field(repr=False)
    """What userinfo told beyond the pseudonym."""
    customer_number: str
    linked_now: bool
    """The first login: the customer number was entered just now."""
    asked_consent: bool
    steps_ms: Mapping[str, float]

    @property
    def total_ms(self) -> float:
        """From the bank's first page to the verified claims, in milliseconds."""
        return sum(self.steps_ms.values())

    def document(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "accepted": True,
            "resident": self.resident,
            "customer_number": self.customer_number,
            "linked_now": self.linked_now,
            "asked_consent": self.asked_consent,
            "claims": dict(self.claims),
            "userinfo": dict(self.userinfo),
            "steps_ms": {name: round(value, 2) for name, value in self.steps_ms.items()},
            "total_ms": round(self.total_ms, 2),
        }


def login(
    *,
    broker: str = BROKER,
    bank: str = BANK,
    resident_card: Path,
    trust: Path,
    pin: str | None = None,
    timeout: float = 30.0,
    authorities: str | None = None,
    scope: str = "openid",
    register_number: bool = False,
    before_step: Callable[[str], None] = lambda _: None,
) -> LoginResult:
    """Log the holder of `resident_card` in to the bank.

    `trust` is an agent trust file; `pin` replaces the card's own; `timeout` is for each request, in seconds;
    `authorities` is a PEM file of whom to trust for certificates (None: the system's);
    `scope` is what the bank asks for; beyond `openid` the resident signs an application with the 署名用 key.
    `register_number` has the broker tell the customer number (官民ID連携), unless it does already.
    `before_step` is called with the name of each step (one of STEPS) before it begins.
    Raises LoginFailed, CardFileInvalid and TrustInvalid.
    """
    card = cardfile.load(resident_card)
    browser = WebClient(
        origins=frozenset({origin_of(broker), origin_of(bank)}), timeout=timeout, authorities=authorities
    )
    try:
        return _Login(
            browser=browser,
            bank=bank,
            broker=broker,
            card=card,
            trust=load_trust(trust, sandbox=True),
            pin=card.auth.pin if pin is None else pin,
            scope=scope,
            register_number=register_number,
            before_step=before_step,
        ).run()
    finally:
        browser.close()


def through_the_broker(
    url: str, *, broker: str, resident_card: Path, trust: Path, timeout: float = 30.0, authorities: str | None = None
) -> str:
    """Take a client's authorization request at `url` through the broker's pages; the address back, unvisited.

    Raises LoginFailed, CardFileInvalid and TrustInvalid.
    """
    card = cardfile.load(resident_card)
    browser = WebClient(origins=frozenset({origin_of(broker)}), timeout=timeout, authorities=authorities)
    try:
        return _Login(
            browser=browser,
            bank="",
            broker=broker,
            card=card,
            trust=load_trust(trust, sandbox=True),
            pin=card.auth.pin,
            scope="",
            before_step=lambda _: None,
        ).visit(url)
    finally:
        browser.close()


class _Login:
    """One resident at one browser."""

    def __init__(
        self,
        *,
        browser: WebClient,
        bank: str,
        broker: str,
        card: cardfile.CardFile,
        trust: Trust,
        pin: str,
        scope: str,
        before_step: Callable[[str], None],
        register_number: bool = False,
    ) -> None:
        self._browser = browser
        self._bank = bank
        self._broker = broker
        self._card = card
        self._trust = trust
        self._pin = pin
        self._scope = scope
        self._register_number = register_number
        self._before_step = before_step
        self._step = ""
        self._begun = 0.0
        self._steps: dict[str, float] = {}

    def run(self) -> LoginResult:
        try:
            return self._run()
        except WebFault as fault:
            raise LoginFailed(self._step, str(fault)) from fault
        except CardError as refusal:
            raise LoginFailed(self._step, str(refusal), code=answer_for(refusal).code) from refusal

    def _run(self) -> LoginResult:
        self._enter("bank")
        page = self._browser.get(f"{self._bank}/")
        form = self._form(page, "login-form")
        self._enter("login")
        asked = {} if self._scope == "openid" else {"scope": self._scope}
        page = self._browser.submit(replace(form, fields={**form.fields, **asked}), origin=origin_of(page.url))
        back, asked_consent = self._back(page)
        self._enter("return")
        page = self._browser.get(back)
        linked_now = page.form("link-form") is not None
        if linked_now:
            self._enter("link")
            page = self._link(page)
        if "greeting" not in page.elements.texts:
            self._refuse(page, "the bank does not greet its customer")
        if self._register_number and "number-registered" not in page.elements.texts:
            self._enter("number")
            page = self._browser.submit(self._form(page, "number-form"), origin=origin_of(page.url))
            page = self._browser.get(self._back(page)[0])
            if "number-registered" not in page.elements.texts:
                self._refuse(page, "the number was not registered")
        self._enter("verify")
        accepted = self._accepted(self._browser.get(f"{self._bank}/api/me"))
        self._leave()
        return LoginResult(
            resident=self._card.name,
            claims=accepted["claims"],
            userinfo=accepted["userinfo"],
            customer_number=accepted["customer_number"],
            linked_now=linked_now,
            asked_consent=asked_consent,
            steps_ms=self._steps,
        )

    def visit(self, url: str) -> str:
        """From a client's own authorization request to the address that leads back. Raises LoginFailed."""
        try:
            self._enter("login")
            return self._back(self._browser.get(url))[0]
        except WebFault as fault:
            raise LoginFailed(self._step, str(fault)) from fault
        except CardError as refusal:
            raise LoginFailed(self._step, str(refusal), code=answer_for(refusal).code) from refusal

    def _back(self, page: Page) -> tuple[str, bool]:
        """From the login page to the address that leads back to the client; whether consent was asked for."""
        offered = page.form("release-form")
        if offered is not None:
            self._enter("release")
            page = self._browser.submit(offered.all_ticked(), origin=origin_of(page.url))
        page = self._read(page)
        if page.form("card-form") is not None:
            page = self._read(page)  # a number is bound by the same card, read at the start and at the end (R3)
        consent = page.form("consent-form")
        if consent is not None:
            self._enter("consent")
            page = self._browser.submit(consent, origin=origin_of(page.url), decision="approve")
        back = page.elements.links.get("continue-link")
        if page.status != 200 or not back:
            self._refuse(page, "the broker does not send us back to its client")
        return str(back), consent is not None

    def _read(self, page: Page) -> Page:
        """One reading of the card, from the page that asks for it to the one that follows."""
        form = self._form(page, "card-form")
        self._enter("card")
        broker_origin, agent_origin = origin_of(page.url), origin_of(form.action)
        answer, return_uri = self._sign(form.fields.get("request", ""), origin=broker_origin)
        self._enter("callback")
        page = self._browser.submit(
            Form(action=return_uri, method="post", fields={"answer": answer}), origin=agent_origin, follow=False
        )
        if page.status != 303:
            self._refuse(page, "the broker does not take the card's answer")
        self._enter("continue")
        return self._browser.get(_location(page))

    def _sign(self, request: str, *, origin: str) -> tuple[str, str]:
        answer = softagent.answer(request, origin=origin, trust=self._trust, card=self._card, pin=self._pin)
        now = datetime.now(UTC)
        return answer, verify_request(request, trust=self._trust, origin=origin, now=now).return_uri

    def _link(self, page: Page) -> Page:
        """Enter this resident's own number, else a spare one, and the next where somebody was faster."""
        rows = [(row["number"], row.get("name", "")) for row in page.elements.items if "number" in row]
        numbers = sorted(rows, key=lambda row: row[1] != self._card.label)
        if numbers and numbers[0][1] != self._card.label:
            numbers.reverse()  # the last rows belong to nobody
        for number, _ in numbers:
            asked = page.form("link-form")
            if asked is None:
                return page
            page = self._browser.submit(asked, origin=self._bank, customer_number=number)
            confirmation = page.form("confirm-form")
            if confirmation is not None:
                page = self._browser.submit(confirmation, origin=self._bank)
        return page

    def _accepted(self, page: Page) -> dict[str, Any]:
        try:
            document = json.loads(page.body)
            if document["subject_known"] is True and document["claims"]["sub"]:
                return dict(document)
        except (ValueError, KeyError, TypeError):
            pass
        raise LoginFailed(self._step, "the bank has not accepted the login")

    def _form(self, page: Page, identifier: str) -> Form:
        form = page.form(identifier)
        if form is None:
            self._refuse(page, f"the page has no form {identifier}")
        return form

    def _refuse(self, page: Page, reason: str) -> NoReturn:
        texts = page.elements.texts
        title = " ".join(texts.get("error-title", "").split())
        raise LoginFailed(
            self._step,
            f"{reason} (status {page.status})" + (f": {title}" if title else ""),
            code=texts.get("error-code", ""),
        )

    def _enter(self, step: str) -> None:
        self._leave()
        self._step = step
        self._before_step(step)
        self._begun = time.perf_counter()

    def _leave(self) -> None:
        if self._step:
            spent = (time.perf_counter() - self._begun) * 1000
            self._steps[self._step] = self._steps.get(self._step, 0.0) + spent


def _location(page: Page) -> str:
    location = page.headers.get("location", "")
    if not location.startswith(("http://", "https://")):
        location = origin_of(page.url) + location
    return location
