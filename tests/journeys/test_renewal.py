"""Certificates follow one another over the real thing: the person stays the same, or nothing begins (R19)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cardreader.webclient import Form, WebClient
from sandbox.launcher import Running
from sandbox.login import LoginFailed, login

pytestmark = pytest.mark.timeout(180)


def at_the_office(running: Running, path: str, **fields: str) -> None:
    """Send a form of the outside world's own pages."""
    world = running.addresses.world
    browser = WebClient(origins=frozenset({world}), timeout=20)
    try:
        page = browser.submit(Form(action=f"{world}{path}", method="post", fields=fields), origin=world)
        assert page.status == 200
        assert "problem" not in page.elements.texts
    finally:
        browser.close()


def sub(running: Running, resident: str) -> str:
    result = login(
        broker=running.addresses.broker,
        bank=running.addresses.bank,
        resident_card=running.world.card(resident),
        trust=running.root / "agent" / "trust.json",
    )
    return str(result.claims["sub"])


@contextmanager
def trouble(running: Running, **services: str) -> Iterator[None]:
    at_the_office(running, "/trouble", **{"crl": "none", "ocsp": "none", "mapping": "none", **services})
    try:
        yield
    finally:
        at_the_office(running, "/trouble", crl="none", ocsp="none", mapping="none")


def test_a_resident_who_renews_at_the_office_is_the_same_to_the_bank(running: Running) -> None:
    before = sub(running, "kaigai")
    card = running.world.card("kaigai").read_bytes()
    at_the_office(running, "/office/event", card="kaigai", event="renewal", lang="ja")
    renewed = running.world.card("kaigai").read_bytes()
    assert json.loads(renewed)["auth"]["certificate"] != json.loads(card)["auth"]["certificate"]
    assert sub(running, "kaigai") == before
    at_the_office(running, "/office/event", card="kaigai", event="reissue", lang="ja")
    assert sub(running, "kaigai") == before


def test_while_the_mapping_is_silent_the_known_log_in_and_the_new_wait(
    running: Running, catalogue: dict[str, str]
) -> None:
    known = sub(running, "alex")
    at_the_office(running, "/office/event", card="yoshiko", event="reissue", lang="ja")  # a certificate nobody has seen
    with trouble(running, mapping="unavailable"):
        assert sub(running, "alex") == known
        with pytest.raises(LoginFailed) as refused:
            sub(running, "yoshiko")
        assert refused.value.code == catalogue["CorrespondenceUnknown"]
    assert sub(running, "yoshiko") != known


def test_a_person_who_moved_logs_in_as_before(running: Running) -> None:
    before = sub(running, "daihyo")
    at_the_office(running, "/office/event", card="daihyo", event="move", lang="en")
    assert sub(running, "daihyo") == before
