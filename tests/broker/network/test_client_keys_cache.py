"""Published keys are fetched when they are needed, and kept as long as they may be."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier, Event
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import broker.network.client_keys as cache
from broker.errors import InvalidToken, OutboundFailed
from broker.ids import ClientID, SectorID
from broker.jose import public_jwk
from broker.network.client_keys import PublishedKeys
from broker.oidc.client import AuthMethod, Client, SecurityProfile

URI = "https://rp.example/jwks"
CLIENT = Client(
    client_id=ClientID("rp"),
    name="rp",
    vetted=False,
    profile=SecurityProfile.OIDC,
    sector=SectorID("rp"),
    redirect_uris=("https://rp.example/cb",),
    jwks_uri=URI,
)


def keys(*kids: str) -> dict[str, Any]:
    key = public_jwk(ec.generate_private_key(ec.SECP256R1()))
    return {"keys": [{**key, "kid": kid} for kid in kids]}


class Server:
    """What stands at the address, and the time; nothing stands for silence."""

    def __init__(self, jwks: dict[str, Any] | None) -> None:
        self.jwks = jwks
        self.asked = 0
        self.now = datetime(2026, 11, 21, tzinfo=UTC)
        self.keys = PublishedKeys(self, lambda: self.now)

    def fetch(self, url: str, *, limit: int) -> bytes:
        assert (url[: len(URI)], limit) == (URI, 64 * 1024)
        self.asked += 1
        if self.jwks is None:
            raise OutboundFailed("silent")
        return json.dumps(self.jwks).encode()

    def step(self, **units: int) -> None:
        self.now += timedelta(**units)


def test_a_set_is_asked_for_once_and_then_kept_for_five_minutes() -> None:
    server = Server(keys("one"))
    for _ in range(3):
        assert server.keys.of(CLIENT, kid="one") == server.jwks
    assert server.asked == 1
    server.step(minutes=5)
    server.jwks = keys("two")
    assert server.keys.of(CLIENT) == server.jwks
    assert server.asked == 2


def test_n19_an_unknown_kid_asks_anew_once_a_minute() -> None:
    server = Server(keys("one"))
    server.keys.of(CLIENT, kid="one")
    server.jwks = keys("two")
    server.step(seconds=59)
    assert server.keys.of(CLIENT, kid="two") != server.jwks
    server.step(seconds=1)
    assert server.keys.of(CLIENT, kid="two") == server.jwks
    for _ in range(10):
        server.keys.of(CLIENT, kid="nobody's")
    assert server.asked == 2


def test_a_silent_server_is_not_asked_at_every_request_and_its_last_set_serves_for_an_hour() -> None:
    server = Server(keys("one"))
    known = server.keys.of(CLIENT)
    server.jwks = None
    server.step(minutes=5)
    for _ in range(3):
        assert server.keys.of(CLIENT) == known
    assert server.asked == 2
    server.step(minutes=55)
    with pytest.raises(InvalidToken):
        server.keys.of(CLIENT)


def test_a_server_that_never_answered_is_asked_again_after_ten_seconds() -> None:
    server = Server(None)
    for _ in range(2):
        with pytest.raises(InvalidToken):
            server.keys.of(CLIENT)
    assert server.asked == 1
    server.step(seconds=10)
    server.jwks = keys("one")
    assert server.keys.of(CLIENT) == server.jwks


def test_registered_keys_ask_nobody_and_no_keys_are_refused() -> None:
    server = Server(None)
    registered = keys("mine")
    assert server.keys.of(replace(CLIENT, jwks=registered, jwks_uri=None), kid="else") == registered
    with pytest.raises(InvalidToken):
        server.keys.of(replace(CLIENT, auth_method=AuthMethod.NONE, application_type="native", jwks_uri=None))
    assert server.asked == 0


def test_the_set_unused_longest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_SETS", 2)
    server = Server(keys("one"))
    a, b, c = (replace(CLIENT, jwks_uri=f"{URI}/{name}") for name in "abc")
    for client in (a, b, a, c, a):
        server.keys.of(client)
    assert server.asked == 3
    server.keys.of(b)
    assert server.asked == 4


def test_while_one_asks_again_the_others_use_what_is_there() -> None:
    begun, answer = Event(), Event()

    class Slow(Server):
        def fetch(self, url: str, *, limit: int) -> bytes:
            if self.asked:
                begun.set()
                assert answer.wait(10)
                self.jwks = keys("two")
            return super().fetch(url, limit=limit)

    server = Slow(keys("one"))
    known = server.keys.of(CLIENT)
    server.step(minutes=5)
    with ThreadPoolExecutor(2) as pool:
        asking = pool.submit(server.keys.of, CLIENT)
        assert begun.wait(10)
        assert server.keys.of(CLIENT) == known
        answer.set()
        assert asking.result(10)["keys"][0]["kid"] == "two"


def test_eight_who_have_nothing_ask_once() -> None:
    server = Server(keys("one"))
    barrier = Barrier(8)

    def ask(_: int) -> Any:
        barrier.wait(10)
        return server.keys.of(CLIENT)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [server.jwks] * 8
    assert server.asked == 1


def test_who_comes_while_the_first_is_still_asking_waits_for_the_same_answer() -> None:
    begun, answer = Event(), Event()

    class Slow(Server):
        def fetch(self, url: str, *, limit: int) -> bytes:
            begun.set()
            assert answer.wait(10)
            return super().fetch(url, limit=limit)

    server = Slow(keys("one"))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(server.keys.of, CLIENT)
        assert begun.wait(10)
        late = pool.submit(server.keys.of, CLIENT)
        finished, _ = wait([late], timeout=0.2)
        assert not finished, "refused while the answer is on its way"
        answer.set()
        assert first.result(10) == late.result(10) == server.jwks
    assert server.asked == 1


def test_who_waited_for_a_silent_server_does_not_ask_it_again() -> None:
    begun, answer = Event(), Event()

    class Silent(Server):
        def fetch(self, url: str, *, limit: int) -> bytes:
            begun.set()
            assert answer.wait(10)
            self.step(seconds=11)  # longer than the pause between two tries
            return super().fetch(url, limit=limit)

    server = Silent(None)
    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(server.keys.of, CLIENT)]
        assert begun.wait(10)
        asking += [pool.submit(server.keys.of, CLIENT) for _ in range(2)]
        answer.set()
        assert [type(each.exception(10)) for each in asking] == [InvalidToken] * 3
    assert server.asked == 1
