"""The register below its address: files for strangers, kept for ever or for seconds, and nothing unpublished."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from broker.audit.leaf import Happening, Leaf
from broker.audit.monitor import look
from broker.audit.tiles import Tile, read_bundle, tiles_of
from broker.flows.register import append, log_key, origin_at, witness
from tests.broker.web.house import House
from tests.registerhouse import Neighbours, officers_policy, register_of, witness_service


def fill(house: House, count: int) -> None:
    origin = origin_at(house.issuer, house.clock())
    with house.ports.store.transaction() as tx:
        leaves = [
            Leaf(event=Happening.ISSUE, commit=number.to_bytes(32, "big"), at=house.clock()) for number in range(count)
        ]
        append(tx, house.ports.keys, origin=origin, leaves=leaves)


def test_a_stranger_can_fetch_the_log_and_check_it_by_a_policy_of_his_own(house: House, tmp_path: Path) -> None:
    origin, browser = origin_at(house.issuer, house.clock()), house.browser()
    key, _signer = log_key(house.ports.keys, origin)
    neighbours = Neighbours({"https://w.example": witness_service(tmp_path, "w.example", key, clock=house.clock)})
    register = register_of(neighbours)
    policy = officers_policy(key, register)
    base = f"/register-log/{house.clock().year}"

    def fetch(path: str) -> bytes:
        answer = browser.get(f"{base}/{path}", base_url=house.issuer)
        assert answer.status_code == 200
        return answer.data

    assert browser.get(f"{base}/checkpoint", base_url=house.issuer).status_code == 404
    known, size = None, 0
    for count in (3, 300):
        fill(house, count)
        size += count
        assert witness(replace(house.ports, register=register), register, origin=origin)["published"] == 1
        found = look(known, fetch("checkpoint"), policy=policy, read=lambda tile: fetch(tile.path))
        known = found.watched
        assert (known.size, known.odd) == (size, 0)
    for tile in tiles_of(size):
        data = fetch(tile.path)
        assert len(data) == 32 * tile.width or len(read_bundle(data, width=tile.width)) == tile.width


@pytest.fixture
def published(house: House) -> House:
    fill(house, 300)
    register = register_of(Neighbours())
    witness(replace(house.ports, register=register), register, origin=origin_at(house.issuer, house.clock()))
    return house


def test_files_say_how_long_they_may_be_kept_and_who_may_read_them(published: House) -> None:
    year = published.clock().year
    for path, kind, caching in (
        ("checkpoint", "text/plain; charset=utf-8", "public, max-age=2"),
        ("tile/0/000", "application/octet-stream", "public, max-age=31536000, immutable"),
        ("tile/entries/001.p/44", "application/octet-stream", "public, max-age=31536000, immutable"),
    ):
        answer = published.browser().get(f"/register-log/{year}/{path}", base_url=published.issuer)
        assert answer.status_code == 200
        assert (answer.headers["Content-Type"], answer.headers["Cache-Control"]) == (kind, caching)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "2026/tile/0/001",
        "2026/tile/0/001.p/45",
        "2026/tile/0/000.p/256",
        "2026/tile/0/000.p/0",
        "2026/tile/0/0",
        "2026/tile/2/000.p/1",
        "2026/tile/entries/002.p/1",
        "2026/tile/7/x999/x999/x999/x999/x999/999",
        "2026/tile/0/../../checkpoint",
        "2025/checkpoint",
        "2025/tile/0/000",
        "26/checkpoint",
        "2026/",
        "2026",
        "",
    ],
)
def test_what_was_not_published_is_not_there(published: House, path: str) -> None:
    year = str(published.clock().year)
    answer = published.browser().get(f"/register-log/{path.replace('2026', year)}", base_url=published.issuer)
    assert answer.status_code == 404
    assert answer.get_json()["error"] == "invalid_request"


def test_an_entry_that_nobody_witnessed_yet_is_shown_to_nobody(published: House) -> None:
    fill(published, 1)
    year = published.clock().year
    for path in ("tile/entries/001.p/45", "tile/0/001.p/45"):
        answer = published.browser().get(f"/register-log/{year}/{path}", base_url=published.issuer)
        assert answer.status_code == 404
    assert Tile(level=0, number=1, width=45).path == "tile/0/001.p/45"
