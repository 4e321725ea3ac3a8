"""What is made to cost much is refused with 400 or 413, and cheaply; nothing makes a 500 or a redirect elsewhere."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator

import pytest
from werkzeug.test import TestResponse

from broker.web.endpoint import FORM, MAX_BODY
from broker.web.routes import ROUTES
from tests.broker.web.bombs import Bomb, bombs, signer
from tests.broker.web.hostile import leads_elsewhere
from tests.broker.web.house import REDIRECT_URI, Documents, House

MOST = 10 * 2**20
"""Octets that Python may hold at once for one request."""


@pytest.fixture(scope="module")
def watched() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def send(house: House, bomb: Bomb) -> TestResponse:
    return house.browser().open(
        bomb.path,
        method=bomb.method,
        query_string=bomb.query,
        headers=list(bomb.headers),
        data=bomb.body,
        base_url=house.issuer,
    )


def test_every_bomb_is_refused_with_little_work(house: House, watched: None) -> None:
    documents = house.ports.documents
    assert isinstance(documents, Documents)
    wrong: list[str] = []
    count = 0
    for bomb in bombs(ROUTES, client_id="bank", redirect_uri=REDIRECT_URI, sign=signer(house.keys["bank"])):
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        response = send(house, bomb)
        used = tracemalloc.get_traced_memory()[1] - before
        count += 1
        accepted = bomb.method == "POST" and bomb.path in ROUTES and response.status_code < 400
        if accepted or response.status_code >= 500 or used > MOST or leads_elsewhere(response, house):
            wrong.append(f"{bomb.method} {bomb.path} {bomb.name}: {response.status_code}, {used} octets")
    assert wrong == []
    assert count > 1500
    assert documents.asked == []


@pytest.mark.parametrize("path", [path for path, (methods, _) in ROUTES.items() if "POST" in methods])
def test_a_body_that_is_too_large_is_413_before_it_is_read(house: House, path: str) -> None:
    class Unread(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            raise AssertionError("it was read")

    form = {"Content-Type": FORM}
    response = house.browser().post(path, base_url=house.issuer, headers=form, input_stream=Unread(bytes(MAX_BODY + 1)))
    assert response.status_code == 413
    assert response.get_json()["error"] == "invalid_request"
