"""Lists of HPKI authorities: fetched from their configured places, kept while they are fresh, and none is made up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.app import read_anchors, read_healthcare
from broker.errors import OutboundFailed, SettingsError
from broker.jpki.certificate import issuer_key_hash
from broker.network.crl import BREAKER, Source
from broker.network.foreign_lists import REFRESH_AFTER, ForeignLists
from broker.network.outbound import OutboundGuard
from broker.settings import Settings
from sandbox.generate import World, generate

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Place:
    """Stands in for the network only."""

    address = "https://lists.example/one.crl"
    seconds = 3.0

    def __init__(self) -> None:
        self.asked = 0
        self.list: bytes | None = b"first"

    def chunks(self, *, limit: int) -> Iterator[bytes]:
        self.asked += 1
        if self.list is None:
            raise OutboundFailed("nobody answers")
        yield self.list


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def test_a_list_is_kept_while_it_is_fresh_and_the_last_one_stays_when_none_comes() -> None:
    place, clock = Place(), Clock()
    lists = ForeignLists([Source("one", b"k" * 32, place)], clock)
    assert lists.current() == lists.current() == (b"first",)
    assert place.asked == 1
    clock.now += REFRESH_AFTER
    place.list = b"second"
    assert lists.current() == (b"second",)
    clock.now += REFRESH_AFTER
    place.list = None
    assert lists.current() == lists.current() == (b"second",)
    assert place.asked == 3, "a place that is silent is left alone for a while"
    clock.now += BREAKER
    place.list = b"third"
    assert lists.current() == (b"third",)


def test_a_place_that_answers_is_asked_as_often_as_lists_are_wanted() -> None:
    place, clock = Place(), Clock()
    lists = ForeignLists([Source("one", b"k" * 32, place)], clock, refresh_after=timedelta(seconds=3))
    assert lists.current() == (b"first",)
    place.list = b"second"
    clock.now += timedelta(seconds=3)
    assert lists.current() == (b"second",)


def test_what_never_came_is_left_out() -> None:
    place, clock = Place(), Clock()
    place.list = None
    lists = ForeignLists([Source("one", b"k" * 32, place)], clock)
    assert lists.current() == ()
    clock.now -= timedelta(days=1)  # a clock that went back asks again
    place.list = b"now"
    assert lists.current() == (b"now",)


# --- the settings ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return generate(tmp_path_factory.mktemp("world"), datetime.now(UTC))


@pytest.fixture
def settings(world: World) -> Settings:
    return Settings(
        issuer="http://localhost:8000",
        database_url="sqlite:///x.db",
        key_directory=Path("keys"),
        key_passphrase="x",
        anchors=world.anchors,
        crl_sources=world.crl_sources,
        hpki_anchors=str(world.healthcare_anchors),
        hpki_authorities=str(world.healthcare_authorities),
        hpki_crl_sources=str(world.healthcare_sources),
    )


def read(settings: Settings, world: World) -> Any:
    return read_healthcare(settings, OutboundGuard(allow_loopback_http=True), beside=read_anchors(world.anchors))


def test_the_sandboxs_authorities_are_read_and_named_to_the_agent(settings: Settings, world: World) -> None:
    found = read(settings, world)
    assert found.issuer_hashes == tuple(issuer_key_hash(issuer) for issuer in found.issuers)
    assert (len(found.anchors), len(found.issuers)) == (1, 1)
    assert read(replace(settings, hpki_authorities=""), world) is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"hpki_anchors": ""}, "hpki_anchors"),
        ({"hpki_crl_sources": ""}, "hpki_crl_sources"),
        ({"hpki_authorities": "/nowhere.pem"}, "hpki_authorities"),
        ({"hpki_anchors": "/nowhere.pem"}, "hpki_anchors"),
    ],
)
def test_half_a_setting_stops_the_start_by_name(
    settings: Settings, world: World, changes: dict[str, str], named: str
) -> None:
    with pytest.raises(SettingsError, match=named):
        read(replace(settings, **changes), world)  # type: ignore[arg-type]  # texts all of them


def test_every_authority_needs_a_list_and_no_other_row_is_taken(
    settings: Settings, world: World, tmp_path: Path
) -> None:
    rows = json.loads(world.healthcare_sources.read_bytes())
    for given, named in (
        (rows[:1], "no list"),
        ([], "no list"),
        ([*rows, {**rows[0], "issuer_key_hash": "0" * 64, "url": "http://127.0.0.1:1/x"}], "source 3"),
        (
            [*rows, {"type": "ocsp", "issuer_key_hash": rows[0]["issuer_key_hash"], "url": "https://x.example/"}],
            "source 3",
        ),
        ([{**rows[0], "adress": "x"}], "source 1"),
    ):
        path = tmp_path / "sources.json"
        path.write_text(json.dumps(given))
        with pytest.raises(SettingsError, match=named):
            read(replace(settings, hpki_crl_sources=str(path)), world)


def test_a_test_root_never_stands_beside_another_hierarchys(settings: Settings, world: World) -> None:
    with pytest.raises(SettingsError, match="never mix"):
        read(replace(settings, hpki_anchors=str(world.seal_anchors)), world)
