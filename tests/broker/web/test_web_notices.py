"""A platform operator's notices over the whole broker: what it tells between logins is remembered, and counted."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from broker.errors import RevocationUnknown
from broker.flows.jobs import JOBS
from broker.flows.notice import Notice
from broker.flows.notices import take_notices
from broker.jpki.certificate import TrustedCertificate
from broker.network.configuration import Platform
from broker.network.outbound import OutboundGuard
from broker.network.platform import PlatformOperator
from sandbox.world import create_world
from sandbox.world.platform import TOKEN
from sandbox.world.registry import Registry
from tests.broker.web.house import House, Page

NOTHING = {"taken": 0, "revoked": 0, "unknown": 0, "failed": 0}


class Desk:
    """The sandbox's platform operator on a port of its own, told the time by the house."""

    def __init__(self, root: Path) -> None:
        self.house: House | None = None
        self.server = make_server("127.0.0.1", 0, create_world(root, None, clock=self.now), threaded=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.adapter = PlatformOperator(
            Platform(url=f"http://127.0.0.1:{self.server.server_port}/platform", token=TOKEN, notices=True),
            OutboundGuard(allow_loopback_http=True),
            self.now,
            os.urandom,
        )

    def now(self) -> Any:
        assert self.house is not None
        return self.house.clock()


@pytest.fixture
def told(make_house: Callable[..., House]) -> Iterator[House]:
    root = make_house().world.root
    desk = Desk(root)
    desk.house = make_house(notices=desk.adapter)
    books = desk.house.world.ledger.read_bytes()
    yield desk.house
    desk.house.world.ledger.write_bytes(books)  # the world is shared by all tests
    desk.server.shutdown()
    desk.server.server_close()


def recorded(house: House) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(house.database)) as connection:
        rows = connection.execute("SELECT detail FROM audit WHERE event = 'notices_taken' ORDER BY id").fetchall()
    return [json.loads(detail) for (detail,) in rows]


def registrations(house: House) -> int:
    with closing(sqlite3.connect(house.database)) as connection:
        count: int = connection.execute("SELECT count(*) FROM registrations").fetchone()[0]
    return count


def refusal(house: House, card: str) -> str:
    return Page(house.answer(house.login_page(house.browser()), card).text).texts["error-code"]


def test_r12_a_revocation_that_was_told_is_remembered_though_no_list_knows_it(told: House) -> None:
    assert told.login(told.browser(), "hanako")["code"]
    assert take_notices(told.ports) == NOTHING
    before = told.world.ledger.read_bytes()
    Registry(told.world.root).revoke("hanako", now=told.clock())
    assert take_notices(told.ports) == {**NOTHING, "taken": 1, "revoked": 1}
    assert take_notices(told.ports) == NOTHING
    told.world.ledger.write_bytes(before)
    assert refusal(told, "hanako") == "AUTH-014"
    assert [row["taken"] for row in recorded(told)] == [0, 1, 0, 0]


def test_who_renewed_is_told_so_and_not_that_a_certificate_was_revoked(told: House) -> None:
    card = told.world.card("hanako")
    old = card.read_bytes()
    assert told.login(told.browser(), "hanako")["code"]
    Registry(told.world.root).enter("renewal", "hanako", now=told.clock())
    try:
        assert take_notices(told.ports)["revoked"] == 1
    finally:
        card.write_bytes(old)
    assert refusal(told, "hanako") == refusal(told, "hanako") == "AUTH-016"


def test_only_a_certificate_that_was_proved_is_registered_and_only_once(told: House) -> None:
    refusal(told, "shikko")
    for _ in range(2):
        assert told.login(told.browser(), "taro")["code"]
    assert registrations(told) == 1


class Odd:
    """An operator that is silent, or tells of what was never registered."""

    address = "https://platform.example"

    def __init__(self) -> None:
        self.silent = True

    def register(self, certificate: TrustedCertificate) -> str:
        if self.silent:
            raise RevocationUnknown("silent")
        return "a-name"

    def notices(self, *, after: int) -> tuple[Notice, ...]:
        if self.silent:
            raise RevocationUnknown("silent")
        now = datetime.now(UTC)
        told = (Notice(number=1, registration="of-nobody", revoked_at=now, reason="keyCompromise"),)
        return told[after:]


def test_a_silent_operator_stops_no_login_and_no_job_and_is_written_down(make_house: Callable[..., House]) -> None:
    operator = Odd()
    house = make_house(notices=operator)
    assert house.login(house.browser(), "hanako")["code"]
    assert take_notices(house.ports) == {**NOTHING, "failed": 1}
    assert recorded(house) == [{**NOTHING, "failed": 1, "source": operator.address, "cause": "silent"}]
    operator.silent = False
    assert registrations(house) == 0
    assert house.login(house.browser(), "hanako")["code"]
    assert registrations(house) == 1
    assert take_notices(house.ports) == {**NOTHING, "taken": 1, "unknown": 1}
    assert take_notices(house.ports) == NOTHING


def test_without_an_operator_nothing_is_taken_and_nothing_written(house: House) -> None:
    assert take_notices(house.ports) == NOTHING
    assert recorded(house) == []
    assert "take-notices" in {job.name for job in JOBS}
