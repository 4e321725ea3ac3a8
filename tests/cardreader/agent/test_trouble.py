"""Readers, cards and services in trouble, as a person meets it on the agent's pages; the next touch works each time."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cardreader import cardfile
from cardreader.softcard import PrivatePCSCD
from tests.cardreader.agent.conftest import ISSUER, Broker, Desk, Hierarchy, document, proof
from tests.cardreader.agent.conftest import _Forms as Forms
from tests.cardreader.conftest import CardMaker
from tests.cardreader.test_pcsc_faults import FaultyPCSCD
from tests.pcscd import SKIP_PREFIX, for_child, missing_piece

TODAY = datetime.now(UTC)
linux_only = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="missing: /proc/net/tcp (Linux)")


@dataclass(kw_only=True)
class AgentProcess:
    """An agent on the real card daemon. A process of its own: the PC/SC library remembers the first socket it had."""

    port: int
    broker: Broker
    page: Forms

    def open_request(self, *, with_document: bool = False) -> None:
        now = int(datetime.now(UTC).timestamp())
        statement = self.broker.statement(nbf=now - 60, exp=now + 86400)
        asked = proof(document(iat=now)) if with_document else {}
        self._post("/v1/sign", {"request": self.broker.request(iat=now, statement=statement, **asked)}, origin=ISSUER)

    def press(self, identifier: str, **fields: str) -> None:
        form = next(form for form in self.page.forms if identifier in form["ids"] or form["id"] == identifier)
        self._post(form["action"], {**form["fields"], **fields}, origin=f"http://127.0.0.1:{self.port}")

    def _post(self, path: str, fields: dict[str, Any], *, origin: str) -> None:
        headers = {"Origin": origin, "Content-Type": "application/x-www-form-urlencoded", "Accept-Language": "en"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", path, body=urllib.parse.urlencode(fields), headers=headers)
            self.page = Forms(connection.getresponse().read().decode())
        finally:
            connection.close()


AgentStarter = Callable[..., AgentProcess]


@pytest.fixture
def start_agent(broker: Broker, tmp_path: Path) -> Iterator[AgentStarter]:
    with contextlib.ExitStack() as stack:

        def start(environment: dict[str, str], pin_entry: str = "page") -> AgentProcess:
            trust = tmp_path / "trust.json"
            trust.write_text(json.dumps(broker.trust_document()), encoding="utf-8")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = int(probe.getsockname()[1])
            options = ["--trust", str(trust), "--state", str(tmp_path / "state"), "--port", str(port)]
            program = subprocess.Popen(
                [sys.executable, "-m", "cardreader", "agent", "--sandbox", "--pin-entry", pin_entry, *options],
                env=for_child(environment),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(program.wait, 10)
            stack.callback(program.terminate)
            until = time.monotonic() + 20
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    return AgentProcess(port=port, broker=broker, page=Forms(""))
                assert program.poll() is None
                assert time.monotonic() < until, "the agent does not listen"
                time.sleep(0.05)

        yield start


@pytest.fixture
def run_dir() -> Iterator[Path]:
    missing = missing_piece()
    if missing is not None:
        pytest.skip(SKIP_PREFIX + missing)
    with tempfile.TemporaryDirectory(prefix="pcscd-") as folder:
        yield Path(folder)


@pytest.fixture
def save(hierarchy: Hierarchy, card_maker: CardMaker, tmp_path: Path) -> Callable[[str], Path]:
    """A card of today under this name, as a file."""

    def make(name: str) -> Path:
        begins, ends = TODAY - timedelta(days=9), TODAY + timedelta(days=900)
        auth = hierarchy.certificate(begins=begins, ends=ends)
        signing = hierarchy.certificate(begins=begins, ends=ends, signing=True)
        path = tmp_path / f"{name}.json"
        cardfile.save(replace(card_maker(certificate=auth, sign_certificate=signing), name=name), path)
        return path

    return make


@linux_only
def test_a_service_that_does_not_run_is_named_and_found_once_it_does(
    start_agent: AgentStarter, run_dir: Path, save: Callable[[str], Path]
) -> None:
    agent = start_agent({**os.environ, "PCSCLITE_CSOCK_NAME": str(run_dir / "pcscd.comm")})
    agent.open_request()
    assert agent.page.ids["error-code"] == "CARD-001"
    with PrivatePCSCD(run_dir, save=False) as daemon:
        daemon.insert(save("sound"))
        agent.press("retry")
        assert agent.page.ids["tries-left"] == "3"
        agent.press("pin-submit", pin="1234")
        assert any("answer" in form["fields"] for form in agent.page.forms)


# A program that speaks as pinentry does, and types what each prompt asks for.
PINENTRY = """#!{python}
import sys
print("OK Pleased to meet you", flush=True)
for line in sys.stdin:
    if line.startswith("SETPROMPT"):
        typed = "abc123" if "署名用" in line else "1234"
    if line.startswith("GETPIN"):
        print("D " + typed, flush=True)
    print("OK", flush=True)
"""


@linux_only
def test_an_agent_with_pinentry_signs_a_document_on_the_real_card_service(
    start_agent: AgentStarter, run_dir: Path, save: Callable[[str], Path], tmp_path: Path
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "pinentry").write_text(PINENTRY.format(python=sys.executable), encoding="utf-8")
    (programs / "pinentry").chmod(0o700)
    with PrivatePCSCD(run_dir, save=False) as daemon:
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        agent = start_agent({**daemon.environment, "PATH": path, "LC_ALL": "C.UTF-8"}, pin_entry="pinentry")
        daemon.insert(save("signer"))
        agent.open_request(with_document=True)
        agent.press("elsewhere")
        assert agent.page.ids["tries-left"] == "5"
        agent.press("password")
        (form,) = agent.page.forms
        members = agent.broker.open(form["fields"]["answer"])
        assert (len(members["cms"]), members["pin_entry"], members["reader_kind"]) == (1, "pinentry", "pcsc")
        assert (daemon.status().auth_tries, daemon.status().sign_tries) == (3, 5)


@linux_only
def test_an_agent_that_has_only_its_page_signs_nothing_and_says_why(
    start_agent: AgentStarter, run_dir: Path, save: Callable[[str], Path]
) -> None:
    with PrivatePCSCD(run_dir, save=False) as daemon:
        headless = {name: value for name, value in daemon.environment.items() if not name.endswith("DISPLAY")}
        agent = start_agent(headless)
        daemon.insert(save("signer"))
        agent.open_request(with_document=True)
        assert agent.page.ids["error-code"] == "AGENT-022"
        agent.open_request()
        agent.press("pin-submit", pin="1234")
        assert any("answer" in form["fields"] for form in agent.page.forms)


@linux_only
def test_two_cards_are_refused_by_name_and_of_two_kinds_the_right_one_is_taken(
    start_agent: AgentStarter, run_dir: Path, save: Callable[[str], Path]
) -> None:
    with FaultyPCSCD(run_dir, save=False) as daemon:
        if daemon.isolation != "private":
            pytest.skip("the second slot's port is known only in a private network")
        agent = start_agent(daemon.environment)
        daemon.insert(save("twice"))
        agent.open_request()
        assert agent.page.ids["error-code"] == "CARD-004"
        assert daemon.status().auth_tries == 3
        daemon.remove()
        daemon.insert(save("beside"))  # another card lies in the other reader
        agent.press("retry")
        assert agent.page.ids["tries-left"] == "3"
        agent.press("pin-submit", pin="1234")
        assert any("answer" in form["fields"] for form in agent.page.forms)


def test_a_reader_unplugged_at_any_command_of_a_login_costs_no_try_and_the_next_touch_works(desk: Desk) -> None:
    """In process: the virtual reader of the real daemon stays for as long as the daemon runs."""
    seen, at = set(), 0
    while True:
        at += 1
        passed = 0

        def unplug(at: int = at) -> None:
            nonlocal passed
            passed += 1
            if passed == at:
                desk.tray.reader_present = False

        desk.readers.before_transmit = unplug
        desk.person.open_request(desk.broker.request())
        if not desk.person.sees("error-code"):
            desk.person.enter("1234")
        desk.readers.before_transmit = lambda: None
        if passed < at:
            break  # no such command: the login was over
        seen.add(desk.person.text("error-code"))
        assert desk.tray.status().auth_tries == 3
        desk.person.press("retry")
        assert desk.person.text("error-code") == "CARD-002"
        desk.tray.reader_present = True
        desk.person.press("retry")
        desk.person.enter("1234")
        assert desk.person.field("answer-form", "answer")
    assert at >= 9  # five commands, then the PIN: presence, VERIFY, signature
    assert seen == {"CARD-007", "CARD-019"}  # the second where the PIN was on its way
