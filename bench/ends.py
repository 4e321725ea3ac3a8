"""How soon an end is felt: a card that is pulled at a kiosk, and a consent that its resident takes back.

Part of `python -m bench`. The broker, the card daemon, its virtual reader and the kiosk's own loop are the real ones;
for the kiosk's browser stands a program that sleeps, so that what is counted is ours. While somebody withdraws at /me
the service asks for them without a pause, on a connection of its own, as the worst service would.
"""

from __future__ import annotations

import io
import os
import queue
import shlex
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from bench.client import Attempt, LoginClient, Unexpected, registration
from bench.servers import Servers
from broker.flows import kiosks
from broker.settings import read
from cardreader import cardfile
from cardreader.agent.device import DeviceKey, device_key
from cardreader.agent.journal import configure
from cardreader.agent.kiosk import Kiosk, tell_ended
from cardreader.agent.request import SignRequest, verify_request
from cardreader.agent.trust import load_trust
from cardreader.emulator import SoftwareCard
from cardreader.pcsc import PCSCReaders
from cardreader.softcard import CannotStart, PrivatePCSCD, why_not
from cardreader.transport import Readers
from cardreader.tray import SoftwareReaders, Tray
from cardreader.webclient import Form
from sandbox.broker import open_ports, set_up

PULLED_MS: Final = 1000.0
"""Promised of a card that is pulled (R4)."""
_CLIENT: Final = "bench-ends"
_PATIENCE: Final = 20.0
"""Seconds after which a figure is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One kind of end: milliseconds of each from the act to its effect, and what was still answered after it."""

    name: str
    promise: str
    milliseconds: Sequence[float]
    asked_after: int
    served_after: int
    missing: str = ""
    """Why nothing was measured."""

    @property
    def held(self) -> bool:
        """Nothing may be served once the end was answered; the milliseconds are shown and judge nobody's machine."""
        return self.served_after == 0

    def line(self) -> str:
        """Its row of the table."""
        if self.missing:
            return f"| {self.name} | {self.promise} | not measured: {self.missing} | | |"
        median, worst = statistics.median(self.milliseconds), max(self.milliseconds)
        return (
            f"| {self.name} | {self.promise} | {median:.0f} | {worst:.0f} | {self.served_after} of {self.asked_after} |"
        )


def text(ends: Sequence[End]) -> str:
    """A Markdown table."""
    head = ("| what ends | promised | median ms | worst ms | still served |", "|---|---|---:|---:|---:|")
    return "\n".join([*head, *(end.line() for end in ends)])


def measure(servers: Servers, *, resident: str, times: int) -> list[End]:
    """Both, `times` each, with a client of their own. Raises Unexpected."""
    key = ec.generate_private_key(ec.SECP256R1())
    members = {
        **registration(key),
        "client_id": _CLIENT,
        "grant_types": ["authorization_code", "refresh_token"],
        "scope": "openid offline_access",
    }
    set_up(servers.house, [members])
    house = _House(servers, servers.world.card(resident), key)
    return [_withdrawals(house, times), _pulls(house, times)]


class _House:
    """The broker, and the card and the key that come to it."""

    def __init__(self, servers: Servers, card: Path, key: ec.EllipticCurvePrivateKey) -> None:
        self.servers = servers
        self.card = card
        self.trust = load_trust(servers.trust, sandbox=True)
        self._pin = cardfile.load(card).auth.pin
        self._key = key

    def client(self, readers: Readers, *, scope: str, device: DeviceKey | None = None) -> LoginClient:
        """One connection to the broker."""
        return LoginClient(
            broker=self.servers.broker,
            trust=self.trust,
            readers=readers,
            pin=self._pin,
            key=self._key,
            client_id=_CLIENT,
            scope=scope,
            device=device,
        )


# --- a consent that is taken back ------------------------------------------------------------------------------------


def _withdrawals(house: _House, times: int) -> End:
    tray = Tray()
    tray.insert_card(SoftwareCard(cardfile.load(house.card)))
    readers, scope = SoftwareReaders(tray), "openid offline_access"
    browser, service = house.client(readers, scope=scope), house.client(readers, scope=scope)
    spent, asked, served = [], 0, 0
    try:
        for _ in range(times):
            attempt = Attempt()
            browser.authorize(attempt, prompt="consent")
            browser.sign(attempt, browser.login_page(attempt))
            browser.card_answer(attempt)
            browser.continue_(attempt)
            browser.token(attempt)
            forms = browser.page(attempt, "/me/services").forms
            mine = next((form for name, form in forms.items() if _is_withdrawal(name, form)), None)
            if mine is None or not attempt.refresh_token:
                raise Unexpected("no consent that could be taken back, or no refresh token")
            tokens = Attempt(access_token=attempt.access_token, refresh_token=attempt.refresh_token)
            asking = _Asking(service, tokens)
            asking.begin()
            began = time.perf_counter()
            browser.press(attempt, mine)
            answered = time.perf_counter()
            refused = asking.end()
            late = [status for at, status in asking.answers if at >= answered]
            late += [service.refresh(tokens), service.ask_userinfo(tokens)]
            spent.append((refused - began) * 1000)
            asked, served = asked + len(late), served + late.count(200)
    finally:
        browser.close()
        service.close()
    return End(
        name="a consent is withdrawn at /me: the service's next request is refused",
        promise="the next request",
        milliseconds=spent,
        asked_after=asked,
        served_after=served,
    )


def _is_withdrawal(name: str, form: Form) -> bool:
    return name.startswith("withdraw-") and form.fields.get("client_id") == _CLIENT


class _Asking:
    """A service that asks for userinfo again and again, until it is refused."""

    def __init__(self, service: LoginClient, tokens: Attempt) -> None:
        self.answers: list[tuple[float, int]] = []
        """When each request went out, and what came of it."""
        self._service = service
        self._tokens = tokens
        self._known = threading.Event()
        self._refused_at = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        """Return once the first request was served. Raises Unexpected."""
        self._thread.start()
        if not self._known.wait(_PATIENCE):
            raise Unexpected("userinfo is not served before the withdrawal")

    def end(self) -> float:
        """When the first refusal was in the service's hands. Raises Unexpected."""
        self._thread.join(_PATIENCE)
        if not self._refused_at:
            raise Unexpected("a withdrawal was never felt")
        return self._refused_at

    def _run(self) -> None:
        until = time.perf_counter() + _PATIENCE
        while time.perf_counter() < until:
            sent = time.perf_counter()
            status = self._service.ask_userinfo(self._tokens)
            self.answers.append((sent, status))
            if status != 200:
                self._refused_at = time.perf_counter()
                return
            self._known.set()


# --- a card that is pulled -------------------------------------------------------------------------------------------


def _pulls(house: _House, times: int) -> End:
    name = "a card is pulled from a kiosk's reader: the broker has ended the session"
    promise = f"{PULLED_MS:.0f} ms"
    missing = why_not()
    spent: list[float] = []
    served = 0
    if missing is None:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            try:
                spent, served = _pulled(house, Path(folder), times)
            except CannotStart as reason:
                missing = str(reason)
    return End(
        name=name,
        promise=promise,
        milliseconds=spent,
        asked_after=len(spent),
        served_after=served,
        missing=missing or "",
    )


def _pulled(house: _House, folder: Path, times: int) -> tuple[list[float], int]:
    """Milliseconds, and how many tokens of an ended session were still good. Raises CannotStart, Unexpected."""
    device = device_key(folder / "kiosk")
    start_url = f"{house.servers.broker}/healthz"
    ports = open_ports(read(house.servers.house.environment()))
    kiosks.enrol("bench", device.public, start_url=start_url, allows=frozenset(), ports=ports)
    begun = folder / "begun"
    browser = folder / "browser"
    browser.write_text(f"#!/bin/sh\necho >> {shlex.quote(str(begun))}\nexec sleep 300\n", encoding="utf-8")
    browser.chmod(0o700)
    told: queue.Queue[tuple[int | None, float]] = queue.Queue()

    def tell(url: str) -> int | None:
        status = tell_ended(url)
        told.put((status, time.perf_counter()))
        return status

    configure(io.StringIO())  # the kiosk's log is no figure
    spent, served = [], 0
    with PrivatePCSCD(folder / "run", save=False) as daemon:
        os.environ["PCSCLITE_CSOCK_NAME"] = str(daemon.socket_path)  # read once; this process uses no other daemon
        readers = PCSCReaders()
        with readers.watch() as watch:
            kiosk = Kiosk(browser=str(browser), url=start_url, watch=watch, tell=tell)
            running = threading.Thread(target=kiosk.run)
            running.start()
            try:
                for number in range(1, times + 1):
                    _await_browser(begun, number)
                    daemon.insert(house.card)
                    client, attempt = house.client(readers, scope="openid", device=device), Attempt()
                    try:
                        kiosk.on_answer(_log_in(client, attempt, house))
                        began = time.perf_counter()
                        daemon.remove()
                        status, at = told.get(timeout=_PATIENCE)
                        if status != 204:
                            raise Unexpected(f"the end of a session at a kiosk: status {status}")
                        spent.append((at - began) * 1000)
                        served += client.ask_userinfo(attempt) == 200
                    finally:
                        client.close()
            except queue.Empty:
                raise Unexpected("the broker was never told") from None
            finally:
                kiosk.stop()
                running.join(_PATIENCE)
    return spent, served


def _log_in(client: LoginClient, attempt: Attempt, house: _House) -> SignRequest:
    """A whole login with the card in the reader; answers what the card was asked."""
    client.authorize(attempt)
    request = client.login_page(attempt)
    client.sign(attempt, request)
    client.card_answer(attempt)
    client.continue_(attempt)
    client.token(attempt)
    client.userinfo(attempt)
    return verify_request(request, trust=house.trust, origin=house.servers.broker, now=datetime.now(UTC))


def _await_browser(begun: Path, number: int) -> None:
    """The session of the person after the last one has begun. Raises Unexpected."""
    until = time.monotonic() + _PATIENCE
    while not begun.exists() or len(begun.read_bytes()) < number:
        if time.monotonic() > until:
            raise Unexpected("the kiosk began no new session")
        time.sleep(0.01)
