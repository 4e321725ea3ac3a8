"""A call that hangs is left at the deadline, and nobody waits for it again."""

from __future__ import annotations

import threading
import time

import pytest

from cardreader.deadline import DeadlineThread
from cardreader.errors import CardAbsent, CardTimeout, ServiceNotRunning, TransportFault
from cardreader.pcsc import PCSCReaders


def test_results_come_back_in_order_and_in_one_thread() -> None:
    worker = DeadlineThread(1.0)
    names = {worker.run(lambda: threading.current_thread().name) for _ in range(3)}
    assert names == {"pcsc"}
    worker.finish(lambda: None)
    assert until(lambda: worker.is_finished)


def test_a_call_past_its_deadline_is_a_timeout_and_its_thread_closes_when_it_comes_back() -> None:
    worker, back, closed = DeadlineThread(0.05), threading.Event(), threading.Event()
    began = time.monotonic()
    with pytest.raises(CardTimeout):
        worker.run(lambda: back.wait(10))
    with pytest.raises(TransportFault):
        worker.run(lambda: True)
    worker.finish(closed.set)
    assert time.monotonic() - began < 9
    assert worker.is_hanging
    assert not closed.is_set()
    back.set()
    assert closed.wait(2)
    assert until(lambda: worker.is_finished and not worker.is_hanging)


def test_a_call_that_waits_on_purpose_is_given_its_time() -> None:
    worker = DeadlineThread(0.05)
    assert worker.run(lambda: threading.Event().wait(0.1), extra=1.0) is False
    worker.finish(lambda: None)


def test_a_card_error_ends_the_connection_and_a_mistake_of_ours_reaches_the_caller() -> None:
    worker = DeadlineThread(1.0)
    with pytest.raises(ZeroDivisionError):
        worker.run(lambda: 1 // 0)
    with pytest.raises(CardAbsent):
        worker.run(fail)
    with pytest.raises(TransportFault, match="failed before"):
        worker.run(lambda: True)
    worker.finish(fail)
    with pytest.raises(TransportFault, match="closed"):
        worker.run(lambda: True)


def test_a_fifth_call_is_refused_while_four_have_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    back = threading.Event()

    def hang(_: object) -> None:
        back.wait(10)
        raise ServiceNotRunning("too late")

    monkeypatch.setattr("cardreader.pcsc._Session.establish", hang)
    readers = PCSCReaders(deadline=0.05)
    for _ in range(4):
        with pytest.raises(CardTimeout, match="no answer"):
            readers.look()
    with pytest.raises(CardTimeout, match="have not come back"):
        readers.look()
    back.set()
    assert until(lambda: not any(thread.name == "pcsc" for thread in threading.enumerate()))
    with pytest.raises(ServiceNotRunning):
        readers.look()


def fail() -> None:
    raise CardAbsent("none")


def until(condition: object) -> bool:
    assert callable(condition)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return False
