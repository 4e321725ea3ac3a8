"""A kiosk's pages in a real browser: what they look like, and that nothing stands behind the back button (R4)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import jwt
import pytest
from playwright.sync_api import Page, Route
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from broker.flows import kiosks
from broker.ids import TransactionID
from cardreader.agent.device import DeviceKey, device_key
from cardreader.agent.kiosk import tell_ended
from tests.broker.web.house import BANK, House, transaction_of
from tests.browser import assert_accessible, follow, screen

BACK = 8
"""How often the next person presses the button: more often than there were pages."""


class Booth:
    """The kiosk, and the browser that its agent started."""

    def __init__(self, house: House, page: Page, device: DeviceKey, *, start: str) -> None:
        self.house = house
        self.page = page
        self.device = device
        made = kiosks.enrol("駅前出張所", device.public, start_url=start, allows=frozenset(), ports=house.ports)
        page.context.route(f"{BANK}/**", _service)
        page.goto(f"{house.issuer}/kiosk/{made.kiosk_id}")
        assert page.url == start

    def put_card(self) -> str:
        """What the agent does while the browser is at its page; answers the end handle."""
        request = self.page.locator("#card-form input[name=request]").get_attribute("value")
        assert request is not None
        answer = self.house.sign(request, device=self.device)
        answered = self.house.post_answer(transaction_of(request), {"answer": answer})
        self.page.goto(answered.headers["Location"])
        return request

    def open_my_page(self) -> None:
        self.page.goto(f"{self.house.issuer}/me")
        follow(self.page.locator("#me-login button"))
        self.put_card()
        self.page.locator("#support-number").wait_for()

    def check_nothing_behind(self, *secrets: str) -> None:
        """Back, and forward again: what was shown to the person before is nowhere."""
        for step in [self.page.go_back] * BACK + [self.page.go_forward] * BACK:
            step()
            shown = self.page.locator("body").inner_text()
            assert not any(secret in shown for secret in secrets), self.page.url


WELCOME = "<!doctype html><title>Welcome</title><p>Welcome</p>"


def _service(route: Route) -> None:
    route.fulfill(status=200, content_type="text/html", body=WELCOME)


@pytest.fixture
def start() -> Iterator[str]:
    """The service's page that the terminal begins with: a real one, for a redirect passes the browser's routes by."""
    server = make_server("127.0.0.2", 0, Response(WELCOME, mimetype="text/html"), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.2:{server.server_port}/welcome"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def booth(served: House, new_page: Callable[..., Page], tmp_path: Path, start: str) -> Booth:
    return Booth(served, new_page(), device_key(tmp_path / "state"), start=start)


def test_after_the_end_nothing_of_ones_own_page_is_behind_the_back_button(booth: Booth) -> None:
    booth.open_my_page()
    number = booth.page.locator("#support-number").inner_text()
    booth.page.goto(f"{booth.house.issuer}/me/history")
    booth.page.goto(f"{booth.house.issuer}/me/services")
    follow(booth.page.locator("#kiosk-end"))
    booth.page.locator("#kiosk-ended").wait_for()
    booth.check_nothing_behind(number)


def test_after_the_card_was_taken_out_nothing_of_ones_own_page_is_behind_the_back_button(booth: Booth) -> None:
    """Even where the browser were not killed: the agent kills it."""
    booth.page.goto(f"{booth.house.issuer}/me")
    follow(booth.page.locator("#me-login button"))
    request = booth.put_card()
    number = booth.page.locator("#support-number").inner_text()
    booth.page.goto(f"{booth.house.issuer}/me/history")
    assert kiosks.end_by_handle(*_end_of(request), ports=booth.house.ports)
    booth.check_nothing_behind(number)


def test_after_the_end_no_question_of_a_login_is_behind_the_back_button(booth: Booth) -> None:
    booth.page.goto(f"{booth.house.issuer}/authorize?{urlencode(booth.house.parameters())}")
    booth.put_card()
    booth.page.locator("#approve").wait_for()
    asked = booth.page.locator("h1").inner_text()
    follow(booth.page.locator("#kiosk-end"))
    booth.page.locator("#kiosk-ended").wait_for()
    booth.check_nothing_behind(asked)
    assert booth.page.locator("#approve").count() == 0


def test_the_agents_own_word_about_the_card_ends_the_session(booth: Booth) -> None:
    """Over a real connection, by the function that the agent calls when the card leaves."""
    booth.page.goto(f"{booth.house.issuer}/me")
    follow(booth.page.locator("#me-login button"))
    request = booth.put_card()
    transaction, handle = _end_of(request)
    told = f"{booth.house.issuer}/agent/end/{transaction}/{handle}"
    assert [tell_ended(told), tell_ended(told)] == [204, 404]
    booth.page.reload()
    booth.page.locator("#me-login").wait_for()


def _end_of(request: str) -> tuple[TransactionID, str]:
    path = str(jwt.decode(request, options={"verify_signature": False})["end_handle"])
    _, _, transaction, handle = path.removeprefix("/").split("/")
    return TransactionID(transaction), handle


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_page_of_a_kiosk_is_accessible(
    served: House,
    new_page: Callable[..., Page],
    tmp_path: Path,
    start: str,
    language: str,
) -> None:
    page = new_page(locale={"ja": "ja-JP", "en": "en-GB"}[language])
    booth = Booth(served, page, device_key(tmp_path / "state"), start=start)
    page.goto(f"{served.issuer}/authorize?{urlencode(served.parameters())}")
    assert page.locator("html").get_attribute("class") == "kiosk"
    assert page.locator("#kiosk-phrase").is_visible()
    assert "パソコン" not in page.locator("main").inner_text()
    assert_accessible(page)
    screen(page, "kiosk-login", language)
    booth.put_card()
    assert_accessible(page)
    screen(page, "kiosk-consent", language)
    page.goto(f"{served.issuer}/kiosk/still-there?to=/me")
    assert_accessible(page)
    screen(page, "kiosk-still-there", language)
    page.goto(f"{served.issuer}/kiosk/end")
    assert_accessible(page)
    screen(page, "kiosk-end", language)
