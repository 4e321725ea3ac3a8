"""A resident at a browser who goes wherever a relying party sends them, and comes back with what the broker gave."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

from bench.servers import AGENT, Servers
from cardreader import cardfile
from cardreader.agent.direct import answer_request
from cardreader.agent.request import verify_request
from cardreader.agent.trust import load_trust
from cardreader.authentication import APDUCards
from cardreader.emulator import SoftwareCard
from cardreader.tray import SoftwareReaders, Tray
from cardreader.webclient import Form, Page, WebClient, origin_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What reaches the relying party: an address, and form fields where the browser posts to it."""

    url: str
    fields: dict[str, str] = field(default_factory=dict)


class Stuck(Exception):
    """A page from which this resident does not get on; the message shows its status and texts."""


class Resident:
    """A browser, and the card of `name` on the reader. Cookies live as long as this does."""

    def __init__(self, servers: Servers, name: str = "hanako", *, also: frozenset[str] = frozenset()) -> None:
        """`also` are origins that belong to the journey beside the broker."""
        self._broker = servers.broker
        self._card = cardfile.load(servers.world.card(name))
        self._trust = load_trust(servers.trust, sandbox=True)
        self._inside = frozenset({servers.broker}) | also
        self.browser = WebClient(origins=self._inside, timeout=30.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.browser.close()

    def visit(self, url: str, *, decision: str = "approve") -> Arrival:
        """From a relying party's link to what comes back to it. Raises Stuck, WebFault, CardError."""
        page = self.go(url)
        if isinstance(page, Arrival):
            return page
        if "return-form" in page.elements.forms:  # a session answered at once, and posts its answer
            return self.leave(page)
        return self.log_in(page, decision=decision)

    def go(self, url: str) -> Page | Arrival:
        """Follow redirects as long as they stay inside the journey."""
        page = self.browser.get(url, follow=False)
        for _ in range(8):
            if page.status not in (302, 303):
                return page
            onward = urljoin(page.url, page.headers.get("location", ""))
            if origin_of(onward) not in self._inside:
                return Arrival(url=onward)
            page = self.browser.get(onward, follow=False)
        raise Stuck("redirects without end")

    def log_in(self, page: Page, *, decision: str = "approve") -> Arrival:
        """From the login page to the way back to the relying party."""
        return self.leave(self.decide(self.sign(page), decision))

    def sign(self, page: Page) -> Page:
        """The card's part, with what is agreed to before it; answers the page that follows in this browser."""
        release = page.form("release-form")
        if release is not None:
            page = self.browser.submit(release.all_ticked(), origin=self._broker)
        form = page.form("card-form")
        if form is None:
            raise _stuck(page)
        request, now = form.fields["request"], datetime.now(UTC)
        tray = Tray()
        tray.insert_card(SoftwareCard(self._card))
        answer = answer_request(
            request,
            origin=self._broker,
            trust=self._trust,
            cards=APDUCards(SoftwareReaders(tray)),
            pin=lambda _: self._card.auth.pin,
            password=lambda _: None if self._card.sign is None else self._card.sign.pin,
            now=now,
        )
        back = verify_request(request, trust=self._trust, origin=self._broker, now=now).return_uri
        agent = WebClient(origins=self._inside, timeout=30.0)  # the agent's page posts without this browser's cookies
        try:
            answered = agent.submit(
                Form(action=back, method="post", fields={"answer": answer}), origin=AGENT, follow=False
            )
        finally:
            agent.close()
        if answered.status != 303:
            raise _stuck(answered)
        return self.browser.get(urljoin(answered.url, answered.headers["location"]))

    def decide(self, page: Page, decision: str) -> Page:
        """Agree to what the relying party receives, or not, where one is asked."""
        consent = page.form("consent-form")
        if consent is None:
            return page
        return self.browser.submit(consent, origin=self._broker, decision=decision)

    def leave(self, page: Page) -> Arrival:
        """The way back to the relying party: a link, or a form that is posted there."""
        for form in (page.form(name) for name in page.elements.forms):
            if form is not None and origin_of(form.action) not in self._inside:
                return Arrival(url=form.action, fields=dict(form.fields))
        link = page.elements.links.get("continue-link")
        if page.status != 200 or not link:
            raise _stuck(page)
        return Arrival(url=link)


def _stuck(page: Page) -> Stuck:
    texts = {name: " ".join(text.split())[:200] for name, text in page.elements.texts.items() if text.strip()}
    return Stuck(f"status {page.status} at {page.url.partition('?')[0]}: {texts}")
