"""What is made to cost much is refused with 400 or 413, and cheaply; nothing makes a 500 or a redirect elsewhere."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterable, Iterator
from datetime import timedelta

import pytest
from werkzeug.test import TestResponse

from broker.flows.client_administration import invite
from broker.oidc.client import SecurityProfile
from broker.web.endpoint import FORM, MAX_BODY
from broker.web.routes import ROUTES
from tests.broker.web.bombs import JWT_BEARER, Bomb, bombs, bombs_behind_authentication, signer
from tests.broker.web.hostile import leads_elsewhere
from tests.broker.web.house import REDIRECT_URI, Documents, House

MOST = 10 * 2**20
"""Octets that Python may hold at once for one request."""


def may_be_taken(bomb: Bomb) -> bool:
    """A token that is none is inactive, and as good as revoked (RFC 7662 §2.2, RFC 7009 §2.2); an empty parameter is
    none (RFC 6749 §3.1), and what nobody knows in `claims` is ignored (OIDC Core §5.5).
    """
    if bomb.path == "/par":
        return bomb.name.startswith("claims: document") or bomb.name.endswith("document: nothing")
    return bomb.path in {"/introspect", "/revoke"}


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


def detonate(house: House, sent: Iterable[Bomb]) -> tuple[list[str], int]:
    """What was answered wrongly, and how many there were."""
    wrong: list[str] = []
    count = 0
    for bomb in sent:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        response = send(house, bomb)
        used = tracemalloc.get_traced_memory()[1] - before
        count += 1
        accepted = bomb.method == "POST" and bomb.path in ROUTES and response.status_code < 400
        if (
            (accepted and not may_be_taken(bomb))
            or response.status_code >= 500
            or used > MOST
            or leads_elsewhere(response, house)
        ):
            wrong.append(f"{bomb.method} {bomb.path} {bomb.name}: {response.status_code}, {used} octets")
    return wrong, count


def nothing_was_fetched(house: House) -> bool:
    assert isinstance(house.ports.documents, Documents)
    return house.ports.documents.asked == []


def test_every_bomb_is_refused_with_little_work(house: House, watched: None) -> None:
    sent = bombs(ROUTES, client_id="bank", redirect_uri=REDIRECT_URI, sign=signer(house.keys["bank"]))
    wrong, count = detonate(house, sent)
    assert not wrong, "\n".join(wrong)
    assert count > 1500
    assert nothing_was_fetched(house)


def test_who_has_proved_who_they_are_cannot_make_it_costly_either(house: House, watched: None) -> None:
    invitation, _ = invite(
        profile=SecurityProfile.OIDC, vetted=False, uses=100, lifetime=timedelta(hours=1), ports=house.ports
    )
    sent = bombs_behind_authentication(
        asked=house.parameters(),
        proof=lambda: {"client_assertion_type": JWT_BEARER, "client_assertion": house.assertion()},
        invitation=invitation,
        sign=signer(house.keys["bank"]),
    )
    wrong, count = detonate(house, sent)
    assert not wrong, "\n".join(wrong)
    assert count > 500
    assert nothing_was_fetched(house)


@pytest.mark.parametrize("path", [path for path, (methods, _) in ROUTES.items() if "POST" in methods])
def test_a_body_that_is_too_large_is_413_before_it_is_read(house: House, path: str) -> None:
    class Unread(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            raise AssertionError("it was read")

    form = {"Content-Type": FORM}
    response = house.browser().post(path, base_url=house.issuer, headers=form, input_stream=Unread(bytes(MAX_BODY + 1)))
    assert response.status_code == 413
    assert response.get_json()["error"] == "invalid_request"
