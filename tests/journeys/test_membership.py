"""Library card, ticket and staff pass: people join with a number, and the card brings it from then on (官民ID連携)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page as Window
from playwright.sync_api import Route

from cardreader.tray import TrayClient
from cardreader.webclient import Page
from sandbox.launcher import Running
from sandbox.membership.services import SERVICES
from tests.browser import assert_accessible, screen, screenshot
from tests.journeys.person import Person, card_pin, error_code

pytestmark = pytest.mark.timeout(240)
BY_SLUG = {service.slug: service for service in SERVICES}


class Member:
    """Somebody at one of the services, with a card and an empty browser."""

    def __init__(self, running: Running, tray: TrayClient, slug: str, resident: str) -> None:
        self.running, self.tray, self.resident = running, tray, resident
        self.person = Person(running.addresses)
        self.root = f"{running.addresses.membership}/{slug}"

    def home(self) -> Page:
        return self.person.web.get(f"{self.root}/")

    def read(self, page: Page) -> Page:
        """One reading of the card, and what follows it."""
        self.tray.insert(self.running.world.card(self.resident))
        pin = self.person.enter_pin(self.person.place_card(page), card_pin(self.running, self.resident))
        return self.person.hand_back(pin)

    def back(self, page: Page) -> Page:
        if page.form("consent-form") is not None:
            page = self.person.press(page, "consent-form", decision="approve")
        return self.person.web.get(page.elements.links["continue-link"])

    def join(self, number: str = "", word: str = "") -> Page:
        """The number and both readings (R3); one reading where the first one ends it."""
        fields = {"number": number, "word": word} if number else {}
        page = self.read(self.person.press(self.home(), "join-form", **fields))
        return self.back(self.read(page) if page.form("card-form") is not None else page)

    def log_in(self) -> Page:
        return self.back(self.read(self.person.press(self.home(), "login-form")))

    def me(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.person.web.get(f"{self.root}/api/me").body)
        return told

    def press(self, form: str, **fields: str) -> Page:
        return self.person.press(self.home(), form, **fields)

    def speak(self, language: str) -> None:
        """Before the first press: the switch is on every page, and the service keeps what was chosen."""
        self.person.web.get(f"{self.root}/?lang={language}")


@pytest.fixture
def at(running: Running, tray: TrayClient) -> Iterator[Callable[[str, str], Member]]:
    made: list[Member] = []

    def arrive(slug: str, resident: str) -> Member:
        made.append(Member(running, tray, slug, resident))
        return made[-1]

    yield arrive
    for member in made:
        member.person.__exit__(None, None, None)


@pytest.fixture
def look(new_page: Callable[..., Window]) -> Callable[..., None]:
    """Judge a page of a walk as a browser shows it: its very text, with style and pictures from the service."""
    window = new_page()

    def judge(page: Page, language: str = "ja") -> None:
        headers = {name: value for name, value in page.headers.items() if name in {"content-type", *_SHOWN_WITH}}

        def answer(route: Route) -> None:
            route.fulfill(status=page.status, headers=headers, body=page.body)

        window.route(lambda url: url == page.url, answer, times=1)
        window.goto(page.url)
        assert window.locator("html").get_attribute("lang") == language
        assert_accessible(window)
        screenshot(window, f"membership-{scene(page)}-{page.status}.{language}")

    return judge


_SHOWN_WITH = frozenset({"content-security-policy", "x-content-type-options", "referrer-policy"})


def scene(page: Page) -> str:
    return next(name.removeprefix("scene-") for name in page.elements.texts if name.startswith("scene-"))


def test_a_library_card_is_known_by_the_my_number_card_changed_and_ended(
    at: Callable[[str, str], Member], look: Callable[..., None]
) -> None:
    known = list(BY_SLUG["library"].known.items())
    hanako = at("library", "hanako")
    wrong = hanako.press("join-form", number=known[0][0], word="ちがう")
    assert (wrong.status, "number-error" in wrong.elements.texts) == (400, True)
    look(wrong)
    assert scene(hanako.join(*known[0])) == "member"
    assert hanako.me()["number"] == known[0][0]
    hanako.press("act-form")
    assert hanako.me()["counted"] == 10
    again = at("library", "hanako")
    member = again.log_in()
    assert scene(member) == "member"
    look(member)
    assert (again.me()["claims"]["linked_id"], again.me()["counted"]) == (known[0][0], 10)
    page = again.read(again.press("replace-form", number=known[1][0], word=known[1][1]))
    assert "link-replaces" in page.elements.texts
    again.back(again.read(page))
    assert again.me()["number"] == known[1][0]
    again.press("leave-form")
    assert scene(again.home()) == "join"
    later = at("library", "hanako")
    assert scene(later.log_in()) == "join"
    assert "linked_id" not in later.me()["claims"]
    stopped = later.back(
        later.person.press(later.press("join-form", number=known[0][0], word=known[0][1]), "cancel-form")
    )
    assert scene(stopped) == "cancelled"
    look(stopped)


def test_a_number_of_somebody_else_waits_for_the_counter(
    at: Callable[[str, str], Member], look: Callable[..., None]
) -> None:
    number, word = list(BY_SLUG["library"].known.items())[2]
    hanako, taro = at("library", "hanako"), at("library", "taro")
    hanako.join(number, word)
    taro.speak("en")
    waiting = taro.join(number, word)
    assert scene(waiting) == "waiting"
    look(waiting, "en")
    assert taro.me()["number"] is None
    assert "linked_id" not in taro.me()["claims"]
    taro.press("counter-form")
    assert scene(at("library", "taro").log_in()) == "member"
    lost = at("library", "hanako")
    lost.log_in()
    assert lost.me()["number"] is None


def test_one_person_gets_one_ticket_and_enters_once(
    at: Callable[[str, str], Member], look: Callable[..., None]
) -> None:
    hanako = at("event", "hanako")
    assert scene(hanako.join()) == "member"
    ticket = hanako.me()
    assert ticket["claims"]["unique_person"] is True
    twice = at("event", "hanako").join()
    assert scene(twice) == "not_twice"
    look(twice)
    hanako.press("act-form")
    used = hanako.press("act-form")
    assert (used.status, "no-more" in used.elements.texts) == (409, True)
    look(used)
    again = at("event", "hanako")
    again.log_in()
    assert again.me()["number"] == ticket["number"]
    again.press("leave-form")
    assert scene(at("event", "hanako").join()) == "not_twice"  # given back is not to be had a second time


def test_a_staff_pass_is_not_bound_by_a_second_card(
    running: Running, tray: TrayClient, at: Callable[[str, str], Member], look: Callable[..., None]
) -> None:
    number, word = next(iter(BY_SLUG["staff"].known.items()))
    shain = at("staff", "shain")
    page = shain.read(shain.press("join-form", number=number, word=word))
    tray.insert(running.world.card("taro"))
    assert error_code(shain.person.place_card(page))  # the agent knows the card of the first reading
    fresh = at("staff", "shain")
    fresh.speak("en")
    member = fresh.join(number, word)
    assert scene(member) == "member"
    look(member, "en")
    fresh.press("act-form")
    assert fresh.me()["counted"] == 1
    assert set(fresh.me()["claims"]) & {"name", "address", "birthdate"} == set()


class BankCustomer(Member):
    """The same at the bank, whose customers have a login before they register their number."""

    def __init__(self, running: Running, tray: TrayClient, resident: str) -> None:
        super().__init__(running, tray, "", resident)
        self.root = running.addresses.bank

    def log_in(self, form: str = "login-form") -> Page:
        return self.person.arrive(self.read(self.person.press(self.home(), form)))

    def number(self) -> str:
        return str(self.me()["customer_number"])

    def twice(self, form: str, **fields: str) -> Page:
        return self.back(self.read(self.read(self.press(form, **fields))))


def test_a_customer_number_is_registered_comes_with_the_login_changes_and_ends(
    running: Running, tray: TrayClient
) -> None:
    hanako = BankCustomer(running, tray, "hanako")
    hanako.log_in()
    first = hanako.number()
    assert "number-registered" in hanako.twice("number-form").elements.texts
    assert hanako.me()["claims"]["linked_id"] == first
    again = BankCustomer(running, tray, "hanako")
    again.log_in("number-login-form")
    assert (again.number(), again.me()["claims"]["linked_id"]) == (first, first)
    refused = again.press("number-change-form", customer_number="12")
    assert (refused.status, "number-error" in refused.elements.texts) == (400, True)
    other = next(row["number"] for row in again.home().elements.items)
    again.twice("number-change-form", customer_number=other)
    assert (again.number(), again.me()["claims"]["linked_id"]) == (other, other)
    again.press("number-end-form")
    assert "number-registered" not in again.home().elements.texts
    last = BankCustomer(running, tray, "hanako")
    last.log_in("number-login-form")
    assert "linked_id" not in last.me()["claims"]
    assert last.number() == other  # who logs in is still the customer


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_doors_of_the_services_are_accessible(
    running: Running, new_page: Callable[..., Window], language: str
) -> None:
    window = new_page(locale={"ja": "ja-JP", "en": "en-GB"}[language])
    for slug in BY_SLUG:
        window.goto(f"{running.addresses.membership}/{slug}/")
        assert window.locator("html").get_attribute("lang") == language
        assert_accessible(window)
        screen(window, f"service-{slug}", language)
