"""`cardreader login`: from a service's address to its code, typed on a real terminal, without a browser."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cardreader.tray import TrayClient
from sandbox.broker import introduce
from sandbox.launcher import Running
from tests.journeys.person import PIN, Person, card_pin
from tests.journeys.test_consultation import DOCTOR, Clinic

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True, kw_only=True)
class Typed:
    """What the terminal showed, and how the command ended."""

    status: int
    shown: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(next(line for line in self.shown.splitlines() if line.startswith("{")))
        return found


Terminal = Callable[..., Typed]


@pytest.fixture
def terminal(running: Running, tmp_path: Path) -> Terminal:
    """Run the command on a terminal of its own; `answers` are (text to wait for, what to type)."""

    def run(url: str, *options: str, answers: Sequence[tuple[str, str]] = (("4桁", PIN),)) -> Typed:
        trust = running.root / "agent" / "trust.json"
        command = [sys.executable, "-m", "cardreader", "login", url, "--sandbox", "--trust", str(trust)]
        command += ["--state", str(tmp_path / "state"), "--timeout", "20", *options]
        environment = {**os.environ, **running.card.environment, "LC_ALL": "C.UTF-8"}
        child, master = pty.fork()
        if child == 0:
            os.execve(command[0], command, environment)  # noqa: S606  # no shell is wanted
        return _converse(child, master, list(answers))

    return run


def _converse(child: int, master: int, answers: list[tuple[str, str]]) -> Typed:
    shown, fresh, until = b"", b"", time.monotonic() + 30
    with contextlib.suppress(OSError):
        while time.monotonic() < until:
            if not select.select([master], [], [], 0.2)[0]:
                continue
            chunk = os.read(master, 4096)
            shown, fresh = shown + chunk, fresh + chunk
            if answers and f"{answers[0][0]}".encode() in fresh and fresh.rstrip().endswith((b":", b"]:")):
                time.sleep(0.2)
                os.write(master, answers.pop(0)[1].encode() + b"\n")
                fresh = b""
    if time.monotonic() >= until:
        os.kill(child, signal.SIGKILL)
    _, state = os.waitpid(child, 0)
    os.close(master)
    return Typed(status=os.waitstatus_to_exitcode(state), shown=shown.decode("utf-8", "replace"))


def authorization_url(person: Person) -> str:
    """What the bank's button leads to: the address that another browser would open."""
    page = person.press(person.web.get(f"{person.addresses.bank}/"), "login-form", follow=False)
    assert page.status in (302, 303)
    return page.headers["location"]


def test_a_code_that_the_service_takes_comes_out_of_a_terminal(
    person: Person, tray: TrayClient, terminal: Terminal
) -> None:
    done = terminal(authorization_url(person), "--json", "--yes", "--show-code")
    assert done.status == 0, done.shown
    assert done.document["logged_in"] is True
    assert done.document["error"] is None
    assert PIN not in done.shown
    arrived = person.web.get(done.document["redirect"])
    assert {"greeting", "link-form"} & (set(arrived.elements.texts) | set(arrived.elements.forms))
    assert tray.status().auth_tries == 3


def test_the_code_is_shown_only_when_asked_for_and_the_phrase_always(
    person: Person, tray: TrayClient, terminal: Terminal, running: Running
) -> None:
    phrase = json.loads((running.root / "agent" / "trust.json").read_text(encoding="utf-8"))["phrase"]
    done = terminal(authorization_url(person), "--yes")
    assert done.status == 0, done.shown
    assert "logged in" in done.shown
    assert "code=" not in done.shown
    assert phrase in done.shown
    assert tray.status().auth_tries == 3


def test_a_wrong_pin_is_typed_again_only_by_a_yes(person: Person, tray: TrayClient, terminal: Terminal) -> None:
    answers = [("4桁", "9876"), ("once more", "y"), ("4桁", PIN)]
    done = terminal(authorization_url(person), "--yes", answers=answers)
    assert done.status == 0, done.shown
    assert "2 tries left" in done.shown
    refused = terminal(authorization_url(person), "--json", answers=[("4桁", "9876"), ("once more", "")])
    assert (refused.status, refused.document["code"]) == (3, "CARD-017")
    assert tray.status().auth_tries == 2


def test_who_types_nothing_goes_back_and_the_service_is_told(
    person: Person, tray: TrayClient, terminal: Terminal
) -> None:
    done = terminal(authorization_url(person), "--json", answers=[("4桁", "")])
    assert (done.status, done.document["error"]) == (4, "access_denied")
    assert tray.status().auth_tries == 3


def test_before_the_last_try_the_terminal_stops(person: Person, tray: TrayClient, terminal: Terminal) -> None:
    wrong = [("4桁", "9876"), ("once more", "y"), ("4桁", "9876"), ("once more", "")]
    assert terminal(authorization_url(person), answers=wrong).status == 3
    assert tray.status().auth_tries == 1
    done = terminal(authorization_url(person), "--json", answers=[("Only one try", "")])
    assert (done.status, done.document["code"]) == (3, "AGENT-016")
    assert tray.status().auth_tries == 1


def test_a_doctors_licence_is_shown_from_a_terminal(running: Running, tray: TrayClient, terminal: Terminal) -> None:
    clinic = Clinic(issuer=running.addresses.broker, client_id=f"shinryo-{uuid.uuid4().hex[:8]}")
    assert introduce(running.root, clinic.registration())
    tray.insert(running.world.card(DOCTOR))
    pin = card_pin(running, DOCTOR)
    done = terminal(clinic.address("hpki", clinic.order()), "--json", "--show-code", answers=[("HPKI", pin)])
    assert done.status == 0, done.shown
    assert pin not in done.shown
    said, _ = clinic.told(parse_qs(urlsplit(done.document["redirect"]).query)["code"][0])
    assert said["acr"] == "urn:jpki-broker:acr:hpki"
    assert said["verified_claims"]["claims"]["hcrole"] == ["Medical Doctor"]


def test_what_stops_a_login_has_a_status_of_its_own(
    person: Person, tray: TrayClient, terminal: Terminal, catalogue: dict[str, str]
) -> None:
    tray.remove()
    done = terminal(authorization_url(person), "--json", answers=[])
    assert (done.status, done.document["code"]) == (3, catalogue["CardAbsent"])
    stranger = terminal("https://login.example.jp/authorize?client_id=x", "--json", answers=[])
    assert (stranger.status, stranger.document["code"]) == (3, catalogue["SiteUnknown"])
    broken = terminal(f"{person.addresses.broker}/authorize?client_id=nobody", "--json", answers=[])
    assert broken.status == 1
    assert broken.document["code"].startswith(("OAUTH-", "BROKER-", "AUTH-"))
    assert terminal("not an address", answers=[]).status == 2
