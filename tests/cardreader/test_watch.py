"""Insertions, removals and services that come and go, as a program that only waits is told of them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cardreader.pcsc import PCSCReaders
from cardreader.readers import Happening
from cardreader.softcard import PrivatePCSCD
from tests.cardreader.conftest import CardMaker, ThroughPCSCD
from tests.pcscd import SKIP_PREFIX, for_child, missing_piece

WATCHER = """
from cardreader.pcsc import PCSCReaders
with PCSCReaders(deadline=1.0).watch() as watch:
    print("up" if watch.readers else "down", flush=True)
    while True:
        for event in watch.wait(5.0):
            print(event.happening.name, flush=True)
"""


def test_a_card_put_in_and_taken_out_is_told_with_its_reader(
    through_pcscd: ThroughPCSCD, card_maker: CardMaker
) -> None:
    with PCSCReaders().watch() as watch:
        assert watch.readers is not None
        assert watch.wait(0.0) == ()
        through_pcscd.insert(card_maker())
        (event,) = watch.wait(2.0)
        assert event.happening is Happening.CARD_INSERTED
        assert event.reader == watch.readers[0].name
        assert watch.readers[0].atr.hex() == "3be000ff8131fe4514"
        removal = threading.Timer(0.2, through_pcscd.remove)
        removal.start()
        (event,) = watch.wait(30.0)
        assert event.happening is Happening.CARD_REMOVED
        removal.join()


def test_a_card_that_is_held_is_seen_to_go_all_the_same(through_pcscd: ThroughPCSCD, card_maker: CardMaker) -> None:
    through_pcscd.insert(card_maker())
    with PCSCReaders().watch() as watch, through_pcscd.readers.connect():
        watch.wait(0.0)
        assert watch.readers is not None
        assert watch.readers[0].in_use
        through_pcscd.remove()
        assert [event.happening for event in watch.wait(2.0)] == [Happening.CARD_REMOVED]


def test_nothing_happens_within_the_time_given(through_pcscd: ThroughPCSCD) -> None:
    through_pcscd.remove()
    with PCSCReaders().watch() as watch:
        began = time.monotonic()
        assert watch.wait(0.3) == ()
        assert time.monotonic() - began > 0.25


def test_a_wait_is_cancelled_by_another_thread_and_stays_so(through_pcscd: ThroughPCSCD) -> None:
    through_pcscd.remove()
    with PCSCReaders().watch() as watch:
        threading.Timer(0.2, watch.cancel).start()
        began = time.monotonic()
        assert watch.wait(30.0) == ()
        assert time.monotonic() - began < 25
        assert watch.wait(30.0) == ()


@pytest.fixture
def run_dir() -> Iterator[Path]:
    missing = missing_piece()
    if missing is not None:
        pytest.skip(SKIP_PREFIX + missing)
    with tempfile.TemporaryDirectory(prefix="watch-") as folder:
        yield Path(folder)


def test_a_service_that_ends_and_comes_back_is_followed_by_the_same_watch(run_dir: Path) -> None:
    with PrivatePCSCD(run_dir, save=False) as daemon:
        watcher = subprocess.Popen(
            [sys.executable, "-c", WATCHER],
            env=for_child({**os.environ, "PCSCLITE_CSOCK_NAME": str(daemon.socket_path)}),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "up\n"
    try:
        assert lines(watcher, until="SERVICE_LOST")[-1] == "SERVICE_LOST"
        with PrivatePCSCD(run_dir, save=False):
            found = lines(watcher, until="READER_ADDED")
            assert found[0] == "SERVICE_FOUND"
            assert found[-1] == "READER_ADDED"
    finally:
        watcher.kill()
        watcher.wait()
        watcher.stdout.close()


def lines(program: subprocess.Popen[str], *, until: str) -> list[str]:
    """What it prints up to and with this line, within ten seconds."""
    read: list[str] = []
    assert program.stdout is not None
    overdue = threading.Timer(10, program.kill)
    overdue.start()
    while not read or read[-1] != until:
        line = program.stdout.readline()
        assert line, read
        read.append(line.strip())
    overdue.cancel()
    return read
