"""A person in front of the sandbox: reads pages by their ids and fills in what they ask for."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from cardreader.webclient import Form, Page, WebClient, origin_of
from sandbox.launcher import Addresses, Running

PIN = "1234"


class Person:
    """One browser with its own cookies, without scripts, that speaks to services, broker and agent alone."""

    def __init__(self, addresses: Addresses, *, authorities: str | None = None) -> None:
        self.addresses = addresses
        self.web = WebClient(
            origins=frozenset(
                {addresses.broker, addresses.bank, addresses.clinic, addresses.agent, addresses.membership}
            ),
            timeout=20,
            authorities=authorities,
        )
        self._open: Page | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nobody leaves a PIN page open: the agent would stay busy for its two minutes."""
        if self._open is not None and self._open.form("cancel-form") is not None:
            self.press(self._open, "cancel-form")
        self.web.close()

    def press(self, page: Page, form: str, *, follow: bool = True, **values: str) -> Page:
        """Send the form with this id, from the page it stands on."""
        found = page.form(form)
        assert found is not None, f"no #{form} on the page: {sorted(page.elements.texts)}"
        after = self.web.submit(found, origin=origin_of(page.url), follow=follow, **values)
        if origin_of(after.url) == self.addresses.agent:
            self._open = after
        return after

    def begin(self) -> Page:
        """From the bank's door to the broker's login page."""
        return self.press(self.web.get(f"{self.addresses.bank}/"), "login-form")

    def place_card(self, login_page: Page | None = None) -> Page:
        """Press "next": the agent's PIN page, or what it says instead."""
        return self.press(login_page or self.begin(), "card-form")

    def enter_pin(self, pin_page: Page, pin: str = PIN) -> Page:
        """Type the PIN: the agent's answer page, or what it says instead."""
        return self.press(pin_page, "pin-form", pin=pin)

    def hand_back(self, answer_page: Page) -> Page:
        """Let the agent's answer go to the broker, and follow where it leads."""
        return self.press(answer_page, "answer-form")

    def arrive(self, page: Page) -> Page:
        """Agree where asked, go back to the bank, and give the customer number at the first visit."""
        if page.form("consent-form") is not None:
            page = self.press(page, "consent-form", decision="approve")
        page = self.web.get(page.elements.links["continue-link"])
        for number in [row["number"] for row in page.elements.items if "number" in row]:
            if page.form("link-form") is None:
                break
            page = self.press(page, "link-form", customer_number=number)
            if page.form("confirm-form") is not None:
                page = self.press(page, "confirm-form")
        return page

    def log_in(self, pin: str = PIN) -> Page:
        """The whole way."""
        return self.arrive(self.hand_back(self.enter_pin(self.place_card(), pin)))


def card_pin(running: Running, resident: str) -> str:
    """What this resident types: it stands in their card's file, as it stands in a person's memory."""
    card = json.loads(running.world.card(resident).read_text(encoding="utf-8"))
    return str(card["auth"]["pin"])


def error_code(page: Page) -> str:
    """The code an error page shows."""
    return page.elements.texts.get("error-code", "").strip()


def returned(page: Page) -> dict[str, str]:
    """What the page that leads back to the client carries in its link."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.elements.links["continue-link"]).query).items()}


def forged(page: Page, form: str, **fields: str) -> Form:
    """A form as it stands, with other values in it."""
    found = page.form(form)
    assert found is not None
    return Form(action=found.action, method=found.method, fields={**found.fields, **fields})
