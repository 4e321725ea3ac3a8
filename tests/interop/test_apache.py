"""Debian's mod_auth_openidc under Apache: a page that only who logged in with the card gets to see."""

from __future__ import annotations

import re

import pytest

from bench.servers import Servers
from cardreader.webclient import Page, origin_of
from tests.interop import apache
from tests.interop.resident import Arrival, Resident


@pytest.fixture(autouse=True)
def _apache() -> None:
    reason = apache.missing()
    if reason is not None:
        pytest.skip(reason)


@pytest.mark.parametrize("method", ["client_secret_basic", "private_key_jwt"])
def test_a_login_through_apache_to_a_protected_page_and_out_again(servers: Servers, method: str) -> None:
    with (
        apache.running(servers, method=method) as server,
        Resident(servers, also=frozenset({server.origin})) as resident,
    ):
        login = resident.go(server.protected)
        assert isinstance(login, Page)
        assert origin_of(login.url) == servers.broker, server.log.read_text(encoding="utf-8")
        page = resident.go(resident.log_in(login).url)
        assert isinstance(page, Page)
        assert (page.status, page.url) == (200, server.protected), server.log.read_text(encoding="utf-8")
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}(@.*)?", page.headers["x-user"])
        assert page.headers["x-acr"] == "aal3"
        again = resident.go(server.protected)
        assert isinstance(again, Page)
        assert again.headers["x-user"] == page.headers["x-user"]

        left = resident.go(server.logout)
        assert isinstance(left, Page)
        assert left.url.partition("?")[0] == server.left
        out = resident.go(server.protected)
        assert not isinstance(out, Arrival)
        assert out.form("card-form") is not None  # both sessions are gone: the card is asked for again
