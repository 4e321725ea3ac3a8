"""Requests take turns, and nothing can stand still over it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from broker.web.turn import Turn


def test_whoever_comes_while_one_runs_waits_for_its_end() -> None:
    turn, order = Turn(patience=600), list[str]()
    waiting = threading.Event()

    def second() -> bool:
        waiting.set()
        with turn.taken() as alone:
            order.append("second")
            return alone

    with ThreadPoolExecutor(1) as pool:
        with turn.taken():
            other = pool.submit(second)
            waiting.wait()
            order.append("first")
        assert other.result()
    assert order == ["first", "second"]


def test_whoever_has_waited_long_enough_goes_on_beside_one_that_waits_for_it() -> None:
    turn, reached = Turn(), threading.Event()

    def second() -> bool:
        with turn.taken() as alone:
            reached.set()
            return alone

    with ThreadPoolExecutor(1) as pool, turn.taken():
        other = pool.submit(second)
        assert reached.wait(60), "the second never ran: the first holds the turn until it has"
    assert other.result() is False


def test_a_turn_is_given_back_by_a_request_that_failed() -> None:
    turn = Turn()
    try:
        with turn.taken():
            raise ValueError("a fault of ours")
    except ValueError:
        pass
    with turn.taken() as alone:
        assert alone


def test_one_that_went_on_beside_takes_no_turn_from_the_other() -> None:
    turn = Turn()
    with turn.taken() as first, turn.taken() as beside:
        assert (first, beside) == (True, False)
    with turn.taken() as again, turn.taken() as other:
        assert (again, other) == (True, False)
