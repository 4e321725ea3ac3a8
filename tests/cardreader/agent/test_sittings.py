"""One request after another: PINs typed outside the page, abandoned requests, restarts, public terminals."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from cardreader.agent.app import create_agent
from cardreader.agent.entry import EntryUnavailable
from cardreader.agent.trust import AgentState, TrustInvalid
from cardreader.apdu import VERIFY, CommandAPDU, ResponseAPDU
from cardreader.authentication import APDUCards
from cardreader.emulator import SoftwareCard
from cardreader.pinpad import PINPad
from cardreader.transport import CardConnection
from tests.cardreader.agent.conftest import (
    AGENT,
    ISSUER,
    NOW,
    PHRASE,
    Broker,
    Desk,
    Hierarchy,
    Person,
    Terminal,
    Window,
)
from tests.cardreader.conftest import CardMaker


@pytest.fixture
def start(desk: Desk, broker: Broker, tmp_path: Path) -> Callable[..., Flask]:
    """Another agent on the desk's card."""

    def make(*, asker: Window | None = None, kiosk: Terminal | None = None, folder: str = "other") -> Flask:
        return create_agent(
            cards=APDUCards(desk.readers),
            trust=broker.trust(),
            state=AgentState(tmp_path / folder),
            clock=lambda: NOW,
            hold_seconds=20,
            deadline_seconds=5,
            asker=asker,
            kiosk=kiosk,
        )

    return make


def _person(app: Flask) -> Person:
    return Person(app.test_client())


def test_pin_typed_in_a_window_never_passes_the_browser(desk: Desk, start: Callable[..., Flask]) -> None:
    window = Window(" 1234 ")
    person = _person(start(asker=window))
    person.open_request(desk.broker.request())
    assert not person.sees("pin")
    assert person.sees("elsewhere-form")
    assert "data-submit" in person.body
    assert window.prompts == []
    person.press("elsewhere")
    assert desk.broker.open(person.field("answer-form", "answer"))["pin_entry"] == "native"
    (prompt,) = window.prompts
    assert (prompt.phrase, prompt.origin, prompt.client, prompt.tries_left) == (PHRASE, ISSUER, "みほん銀行", 3)
    assert desk.tries == 3
    assert desk.readers.held == 0


def test_page_takes_no_pin_where_a_window_was_to_ask(desk: Desk, start: Callable[..., Flask]) -> None:
    person = _person(start(asker=Window("1234")))
    person.open_request(desk.broker.request())
    fields = {name: person.field("elsewhere-form", name) for name in ("sitting", "token")}
    data = {**fields, "pin": "1234"}
    assert person.client.post("/v1/pin", data=data, base_url=AGENT, headers={"Origin": AGENT}).status_code == 403
    assert desk.tries == 3


def test_wrong_pin_in_a_window_is_asked_again_by_a_click_only_and_the_window_says_why(
    desk: Desk, start: Callable[..., Flask]
) -> None:
    window = Window("0000", "1234")
    person = _person(start(asker=window))
    person.open_request(desk.broker.request())
    person.press("elsewhere")
    assert person.text("tries-left") == "2"
    assert person.sees("error-code")
    assert "data-submit" not in person.body
    assert len(window.prompts) == 1
    person.press("elsewhere")
    assert person.sees("answer-form")
    assert window.prompts[1].error is not None
    assert window.prompts[1].tries_left == 2


def test_last_try_stops_before_any_window_opens(
    desk: Desk, start: Callable[..., Flask], card_maker: CardMaker, hierarchy: Hierarchy
) -> None:
    desk.tray.insert_card(SoftwareCard(card_maker(certificate=hierarchy.certificate(), tries=1)))
    window = Window("1234")
    person = _person(start(asker=window))
    person.open_request(desk.broker.request())
    assert person.sees("last-try")
    assert window.prompts == []
    forged = {name: person.field("last-try-form", name) for name in ("sitting", "token")}
    answer = person._got(person.client.post("/v1/elsewhere", data=forged, base_url=AGENT, headers={"Origin": AGENT}))
    assert answer.status_code == 200
    assert person.sees("last-try")
    assert window.prompts == []
    assert desk.tries == 1
    person.press("last-try")
    person.press("elsewhere")
    assert person.sees("answer-form")


def test_closed_window_ends_the_request_and_lets_the_card_go(desk: Desk, start: Callable[..., Flask]) -> None:
    person = _person(start(asker=Window(None)))
    person.open_request(desk.broker.request())
    person.press("elsewhere")
    assert person.text("error-code") == "AGENT-015"
    assert person.sees("back-to-service")
    assert not person.sees("retry")
    assert desk.readers.held == 0
    assert desk.tries == 3


def test_window_that_cannot_be_shown_gives_way_to_the_page(desk: Desk, start: Callable[..., Flask]) -> None:
    person = _person(start(asker=Window(EntryUnavailable("no display"))))
    person.open_request(desk.broker.request())
    person.press("elsewhere")
    person.enter("1234")
    assert desk.broker.open(person.field("answer-form", "answer"))["pin_entry"] == "page"


def test_cancel_on_the_page_closes_the_window(desk: Desk, start: Callable[..., Flask]) -> None:
    window = Window()
    window.held_open = True
    app = start(asker=window)
    person, waiting = _person(app), _person(app)
    person.open_request(desk.broker.request())
    waiting.page = person.page
    thread = threading.Thread(target=waiting.press, args=("elsewhere",))
    thread.start()
    assert window.opened.wait(5)
    person.press("cancel")
    thread.join(60)
    assert not thread.is_alive()
    assert person.text("error-code") == waiting.text("error-code") == "AGENT-015"
    assert desk.readers.held == 0


@pytest.mark.parametrize("is_window", [False, True], ids=["page", "window"])
def test_an_abandoned_request_gives_way_to_the_one_that_asks_for_it(
    desk: Desk, start: Callable[..., Flask], is_window: bool
) -> None:
    window = Window("1234")
    window.held_open = True
    app = start(asker=window if is_window else None)
    abandoned, person = _person(app), _person(app)
    abandoned.open_request(desk.broker.request())
    thread = threading.Thread(target=abandoned.press, args=("elsewhere",)) if is_window else None
    if thread is not None:
        thread.start()
        assert window.opened.wait(5)
    assert person.open_request(desk.broker.request()).status_code == 409
    assert person.text("error-code") == "AGENT-012"
    assert person.sees("take-over")
    window.held_open = False
    person.press("take-over")
    if thread is not None:
        thread.join(5)
        person.press("elsewhere")
    else:
        person.enter("1234")
        abandoned.enter("0000")  # the tab was not closed after all
        assert abandoned.text("error-code") == "AGENT-013"
    assert person.sees("answer-form")
    assert desk.tries == 3
    assert desk.readers.held == 0


def test_a_request_whose_pin_is_on_its_way_is_not_taken_over(desk: Desk) -> None:
    first, second = desk.person, Person(desk.app.test_client())
    first.open_request(desk.broker.request())
    reached, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        go_on.wait(4)

    desk.readers.before_transmit = hold
    thread = threading.Thread(target=first.enter, args=("1234",))
    thread.start()
    assert reached.wait(5)
    second.open_request(desk.broker.request())
    assert not second.sees("take-over")
    second.press("retry")
    key = second.field("retry-form", "sitting")
    answer = second.client.post("/v1/take-over", data={"sitting": key}, base_url=AGENT, headers={"Origin": AGENT})
    assert answer.status_code == 409
    go_on.set()
    thread.join(10)
    assert first.sees("answer-form")


@pytest.mark.parametrize("path", ["/v1/take-over", "/v1/elsewhere"])
def test_only_the_agents_own_page_takes_over_or_opens_a_window(desk: Desk, path: str) -> None:
    desk.person.open_request(desk.broker.request())
    fields = {name: desk.person.field("pin-form", name) for name in ("sitting", "token")}
    before = desk.readers.apdus
    for origin in (ISSUER, "null", "http://evil.example"):
        answer = desk.person.client.post(path, data=fields, base_url=AGENT, headers={"Origin": origin})
        assert answer.status_code == 403
    guess = {"sitting": "x" * 43, "token": "x" * 43}
    assert desk.person.client.post(path, data=guess, base_url=AGENT, headers={"Origin": AGENT}).status_code == 403
    assert desk.readers.apdus == before
    assert desk.person.enter("1234").status_code == 200


def test_a_restart_answers_no_request_twice(desk: Desk, start: Callable[..., Flask], tmp_path: Path) -> None:
    request = desk.broker.request()
    first = _person(start(folder="kept"))
    first.open_request(request)
    first.enter("1234")
    assert first.sees("answer-form")
    before = desk.readers.apdus
    again = _person(start(folder="kept"))
    again.open_request(request)
    assert again.text("error-code") == "AGENT-011"
    assert desk.readers.apdus == before
    assert (tmp_path / "kept" / "used.log").stat().st_mode & 0o777 == 0o600


def test_what_is_remembered_survives_a_torn_line_and_stays_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cardreader.agent.trust.MAX_USED", 5)
    state = AgentState(tmp_path)
    for number in range(20):
        assert state.use(ISSUER, str(number))
    path = tmp_path / "used.log"
    with path.open("a", encoding="ascii") as file:
        file.write("0123abc")
    again = AgentState(tmp_path)
    assert not again.use(ISSUER, "19")
    assert again.use(f"{ISSUER}/other", "19")
    assert len(path.read_text(encoding="ascii").splitlines()) == 6
    assert ISSUER not in path.read_text(encoding="ascii")


def test_a_state_that_cannot_be_written_answers_nothing(
    desk: Desk, start: Callable[..., Flask], tmp_path: Path
) -> None:
    person = _person(start(folder="broken"))
    (tmp_path / "broken" / "used.log").mkdir()
    person.open_request(desk.broker.request())
    assert person.text("error-code") == "AGENT-021"
    assert desk.readers.apdus == 0
    with pytest.raises(TrustInvalid, match=r"used\.log"):
        AgentState(tmp_path / "broken").use(ISSUER, "1")


def test_a_public_terminal_never_asks_for_the_last_try(
    desk: Desk, start: Callable[..., Flask], card_maker: CardMaker, hierarchy: Hierarchy
) -> None:
    desk.tray.insert_card(SoftwareCard(card_maker(certificate=hierarchy.certificate(), tries=2)))
    terminal = Terminal()
    person = _person(start(kiosk=terminal))
    person.open_request(desk.broker.request())
    person.enter("0000")
    assert person.text("error-code") == "CARD-017"
    assert not person.sees("pin")
    assert not person.sees("last-try")
    assert desk.readers.held == 0
    person.press("retry")
    assert person.text("error-code") == "AGENT-016"
    assert not person.sees("last-try")
    assert desk.tries == 1
    assert terminal.answered == []
    assert terminal.requests == 3


def test_a_public_terminal_hears_of_each_answer_with_its_end_handle(desk: Desk, start: Callable[..., Flask]) -> None:
    terminal = Terminal()
    person = _person(start(kiosk=terminal))
    person.open_request(desk.broker.request(end_handle="/agent/end/abc"))
    person.enter("1234")
    assert person.sees("answer-form")
    assert [request.end_handle for request in terminal.answered] == ["/agent/end/abc"]


@pytest.mark.parametrize(
    "path", ["", "//evil.example/x", "https://evil.example/", "/a/../b", "/a?b", "/a#b", "a", "/", "/a\n", "/x" * 9]
)
def test_end_handle_is_a_plain_path_or_the_request_is_refused(desk: Desk, path: str) -> None:
    assert desk.person.open_request(desk.broker.request(end_handle=path)).status_code == 400
    assert desk.person.text("error-code") == "AGENT-006"
    assert desk.readers.apdus == 0


class KeyedConnection:
    """A connection whose reader has keys; what is typed there is put into the command by the reader, as on hardware."""

    def __init__(self, inner: CardConnection, typed: list[str | int], seen: list[bytes]) -> None:
        self._inner, self._typed, self._seen = inner, typed, seen

    @property
    def reader_kind(self) -> str:
        return self._inner.reader_kind

    def transmit(self, command: CommandAPDU) -> ResponseAPDU:
        self._seen.append(command.encode())
        return self._inner.transmit(command)

    def check_present(self) -> None:
        self._inner.check_present()

    def pin_pad(self) -> PINPad | None:
        return PINPad(verify_control_code=0x42330006, min_length=4, max_length=8)

    def verify_on_pin_pad(self, control_code: int, structure: bytes, *, seconds: float) -> ResponseAPDU:
        assert control_code == 0x42330006
        assert seconds > 0
        typed = self._typed.pop(0)
        if isinstance(typed, int):
            return ResponseAPDU.decode(typed.to_bytes(2, "big"))
        reference = structure[-len(typed) - 2]  # P2 of the command in the structure, before Lc and the filler
        return self._inner.transmit(CommandAPDU(ins=VERIFY, p2=reference, data=typed.encode()))


class KeyedReaders:
    def __init__(self, desk: Desk, *typed: str | int) -> None:
        self._readers = desk.readers
        self._typed = list(typed)
        self.seen: list[bytes] = []

    @contextlib.contextmanager
    def connect(self) -> Iterator[CardConnection]:
        with self._readers.connect() as inner:
            yield KeyedConnection(inner, self._typed, self.seen)


def _keyed(desk: Desk, tmp_path: Path, *typed: str | int) -> tuple[Person, KeyedReaders]:
    readers = KeyedReaders(desk, *typed)
    app = create_agent(
        cards=APDUCards(readers),
        trust=desk.broker.trust(),
        state=AgentState(tmp_path / "keyed"),
        clock=lambda: NOW,
        hold_seconds=20,
        deadline_seconds=5,
        uses_pin_pad=True,
    )
    return _person(app), readers


def test_pin_typed_on_the_reader_never_comes_to_this_machine(desk: Desk, tmp_path: Path) -> None:
    person, readers = _keyed(desk, tmp_path, "0001", "1234")
    person.open_request(desk.broker.request())
    assert person.sees("elsewhere-form")
    assert not person.sees("pin")
    person.press("elsewhere")
    assert person.text("tries-left") == "2"
    person.press("elsewhere")
    assert desk.broker.open(person.field("answer-form", "answer"))["pin_entry"] == "pinpad"
    assert not [command for command in readers.seen if b"1234" in command or b"0000" in command]
    assert desk.tries == 3


@pytest.mark.parametrize(("status", "code"), [(0x6400, "AGENT-014"), (0x6401, "AGENT-015")])
def test_nothing_typed_on_the_reader_or_its_cancel_key_costs_no_try(
    desk: Desk, tmp_path: Path, status: int, code: str
) -> None:
    person, _ = _keyed(desk, tmp_path, status)
    person.open_request(desk.broker.request())
    person.press("elsewhere")
    assert person.text("error-code") == code
    assert desk.tries == 3
    assert desk.readers.held == 0
