"""Children of a loaded mother: what a busy machine delays, and what ends them."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from broker import nursery
from broker.nursery import Nursery


@pytest.fixture
def nursed() -> Iterator[Nursery]:
    made = Nursery("tests.broker.nursed", places=1)
    yield made
    made.close()


def test_loading_is_nobodys_time(nursed: Nursery) -> None:
    """The mother needs a second before she can answer; who asks has a tenth of it to wait for a place."""
    done = nursed.run(b"abc", patience=0.1)
    assert (done.status, done.output) == (0, b"cba")


def test_a_child_ends_by_its_processor_time_and_its_mother_goes_on(nursed: Nursery) -> None:
    assert nursed.run(b"spin", patience=0.1).status == -signal.SIGKILL
    assert nursed.run(b"abc", patience=0.1).output == b"cba"
    assert len(nursed._idle) == 1


def test_a_child_that_stands_still_is_ended(nursed: Nursery) -> None:
    assert nursed.run(b"stand still", patience=0.1).status is None
    assert nursed.run(b"abc", patience=0.1).output == b"cba"


def test_a_child_says_by_its_status_what_it_found(nursed: Nursery) -> None:
    assert nursed.run(b"refuse", patience=0.1).status == 7


def test_a_mother_that_was_killed_has_a_successor(nursed: Nursery) -> None:
    nursed.run(b"abc", patience=0.1)
    (mother,) = nursed._idle
    mother.kill()
    mother.wait()
    assert nursed.run(b"abc", patience=0.1).output == b"cba"


def test_loading_without_end_is_ended(monkeypatch: pytest.MonkeyPatch, nursed: Nursery) -> None:
    monkeypatch.setattr(nursery, "LOADING_SECONDS", 0.05)
    assert nursed.run(b"abc", patience=0.1).status is None
    assert nursed._idle == []


def test_without_a_place_nothing_is_asked(nursed: Nursery) -> None:
    nursed._room.acquire()
    assert nursed.run(b"abc", patience=0.05).status is None
    assert nursed._idle == []
