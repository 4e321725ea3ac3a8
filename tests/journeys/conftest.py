"""The whole sandbox, started once for all journeys on ports of its own, and a person in front of it."""

from __future__ import annotations

import socket
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright

from cardreader.tray import TrayClient
from sandbox import tlsfront
from sandbox.launcher import Addresses, Running, sandbox
from tests.browser import CHROMIUM, launched
from tests.journeys.person import Person

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """The whole browser, with what it has around its pages."""
    yield from launched(playwright, CHROMIUM)


def free_ports(count: int) -> list[int]:
    """Ports that nobody held a moment ago, on every loopback host alike."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def free_addresses() -> Addresses:
    broker, bank, bidding, clinic, television, membership, world, agent, witness, tls, mtls = free_ports(11)
    return Addresses(
        broker_port=broker,
        bank_port=bank,
        bidding_port=bidding,
        clinic_port=clinic,
        television_port=television,
        membership_port=membership,
        world_port=world,
        agent_port=agent,
        witness_port=witness,
        tls_port=tls,
        mtls_port=mtls,
    )


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The sandbox over the real PC/SC daemon; without one the journeys that need it skip by name."""
    with sandbox(tmp_path_factory.mktemp("s"), addresses=free_addresses(), workers=2) as up:
        if up.card.kind != "pcscd":
            pytest.skip(f"missing: a private pcscd ({up.card.why})")
        yield up
        up.check()


@pytest.fixture
def tray(running: Running) -> Iterator[TrayClient]:
    """The reader's tray, with hanako's fresh card in it before and after."""
    assert running.card.tray is not None
    client = TrayClient(running.card.tray)
    client.insert(running.world.card("hanako"))
    client.reset_pin()
    yield client
    client.insert(running.world.card("hanako"))
    client.reset_pin()


@pytest.fixture
def person(running: Running) -> Iterator[Person]:
    """Somebody with an empty browser that speaks HTTP as a browser does, without pictures or scripts."""
    with Person(running.addresses) as somebody:
        yield somebody


@pytest.fixture(scope="session")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The sandbox under an https issuer, with the software card in the agent."""
    if tlsfront.program() is None:
        pytest.skip("missing: nginx")
    addresses = replace(free_addresses(), tls=True)
    with sandbox(tmp_path_factory.mktemp("s"), addresses=addresses, reader="software", workers=1) as up:
        yield up
        up.check()


@pytest.fixture
def visitor(secure: Running) -> Iterator[Person]:
    """The same somebody, who trusts the sandbox's authority."""
    with Person(secure.addresses, authorities=secure.authorities) as somebody:
        yield somebody


@pytest.fixture(scope="session")
def catalogue() -> dict[str, str]:
    """Error codes by the exception they answer, of card side and broker."""
    rows = [
        row
        for package in ("broker", "cardreader")
        for row in tomllib.loads((ROOT / package / "errors.toml").read_text(encoding="utf-8"))["error"]
    ]
    return {row["exception"]: row["code"] for row in rows}


@pytest.fixture
def logs(running: Running) -> Path:
    return running.root / "logs"
