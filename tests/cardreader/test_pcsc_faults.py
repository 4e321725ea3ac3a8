"""What the real daemon does when card, reader or service fail, and what we make of it; each with the counters after."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cardreader import cardfile
from cardreader.softcard import PrivatePCSCD
from tests.cardreader.conftest import CardMaker
from tests.pcscd import SKIP_PREFIX, for_child, missing_piece

# A process of its own, because the PC/SC library remembers the first socket that it was told of.
CLIENT = """
from cardreader.apdu import converse
from cardreader.errors import CardError
from cardreader.jpki_ap import read_card
from cardreader.pcsc import PCSCReaders
try:
    with PCSCReaders(deadline=1.0, card_wait=1.5).connect() as connection:
        print(converse(read_card(), connection.transmit).tries_left)
except CardError as error:
    print(type(error).__name__)
"""


class FaultyPCSCD(PrivatePCSCD):
    program = "tests.cardreader.faulty_softcard"


@pytest.fixture
def run_dir() -> Iterator[Path]:
    missing = missing_piece()
    if missing is not None:
        pytest.skip(SKIP_PREFIX + missing)
    with tempfile.TemporaryDirectory(prefix="pcscd-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def faulty() -> Iterator[FaultyPCSCD]:
    missing = missing_piece()
    if missing is not None:
        pytest.skip(SKIP_PREFIX + missing)
    with tempfile.TemporaryDirectory(prefix="pcscd-") as folder, FaultyPCSCD(Path(folder), save=False) as daemon:
        yield daemon


def outcome(environment: dict[str, str]) -> str:
    """What a client of that daemon ends in: an error's name, or the tries it read."""
    client = subprocess.run(
        [sys.executable, "-c", CLIENT],
        env=for_child(environment),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert client.stderr == ""
    return client.stdout.strip()


@pytest.mark.parametrize(
    ("fault", "errors"),
    [
        ("twice", {"SeveralCards"}),
        ("beside", {"3"}),
    ],
)
def test_of_cards_in_two_readers_the_one_with_the_application_is_meant_and_two_of_them_are_refused(
    faulty: FaultyPCSCD, card_maker: CardMaker, tmp_path: Path, fault: str, errors: set[str]
) -> None:
    if fault in ("twice", "beside") and faulty.isolation != "private":
        pytest.skip("the second slot's port is known only in a private network")
    card = replace(card_maker(), name=fault)
    cardfile.save(card, tmp_path / "card.json")
    faulty.insert(tmp_path / "card.json")
    assert outcome(faulty.environment) in errors
    assert faulty.status().auth_tries == 3
    faulty.remove()


def test_a_daemon_without_readers_is_named(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULT", "no-reader")
    with FaultyPCSCD(run_dir, save=False) as daemon:
        assert outcome(daemon.environment) == "NoReader"


def test_a_missing_service_is_named(run_dir: Path) -> None:
    assert outcome({**os.environ, "PCSCLITE_CSOCK_NAME": str(run_dir / "nothing")}) == "ServiceNotRunning"
