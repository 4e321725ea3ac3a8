"""Every fault of card, reader and service against one program that is never restarted: the campaign's short form.

The full form is `python -m tests.campaigns.faults`.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from cardreader.cardfile import CardFile
from cardreader.faults import FaultKind
from tests.campaigns import faults
from tests.campaigns.faults import WRONG_PIN, Bench, Row, bench
from tests.cardreader.conftest import CardMaker
from tests.pcscd import SKIP_PREFIX, missing_piece

KILLS = 3  # the full form kills a hundred times
RIGS = 3
MAX_COMMANDS = 9  # of one cold login with short identifiers


@pytest.fixture(scope="module")
def rig(card_maker: CardMaker) -> Iterator[Bench]:
    missing = missing_piece()
    if missing is not None:
        pytest.skip(SKIP_PREFIX + missing)
    with bench(card_maker()) as running:
        yield running


def test_a_card_taken_away_at_any_command_ends_at_once_and_only_verify_leaves_a_doubt(
    rig: Bench, card_maker: CardMaker
) -> None:
    with ThreadPoolExecutor(RIGS) as pool:  # they mostly wait for the daemon's next look at its reader
        shares = pool.map(lambda first: pulled(card_maker(), first), range(1, RIGS + 1))
        rows = sorted(itertools.chain.from_iterable(shares), key=lambda row: (row.outcome == "signed", row.commands))
    assert all(row.keeps_promises for row in rows), rows
    broken, whole = rows[:-RIGS], rows[-RIGS:]
    assert {row.outcome for row in whole} == {"signed"}
    assert {row.commands for row in whole} == {len(broken)}
    assert len(broken) <= MAX_COMMANDS
    assert [row.commands for row in broken] == list(range(1, len(broken) + 1))
    outcomes = [row.outcome for row in broken]
    verify = outcomes.index("PINOutcomeUnknown")
    assert {*outcomes[:verify], *outcomes[verify + 1 :]} == {"CardRemoved"}
    assert all(row.tries_lost == 0 for row in rows)
    wrong = faults.pulled_once(rig, verify + 1, WRONG_PIN)
    assert wrong.keeps_promises, wrong
    assert (wrong.outcome, wrong.tries_lost) == ("PINOutcomeUnknown", 1)


def pulled(card: CardFile, first: int) -> list[Row]:
    """Every third command, with a daemon and a client of its own."""
    with bench(card) as own:
        return list(faults.pulled(own, first=first, step=RIGS))


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        (FaultKind.EMPTY, "CardTimeout"),
        (FaultKind.HUGE, "TransportFault"),
        (FaultKind.SLOW, "CardTimeout"),
    ],
)
def test_a_reply_that_is_none_ends_in_its_own_error_and_costs_no_try(rig: Bench, kind: FaultKind, outcome: str) -> None:
    row = faults.reply(rig, kind, 2)
    assert row.keeps_promises, row
    assert (row.outcome, row.tries_lost) == (outcome, 0)


def test_a_killed_service_costs_one_touch_and_the_next_one_finds_the_new_service(rig: Bench) -> None:
    chance = random.Random(7)
    rows = [faults.killed(rig, chance.uniform(0.0, 0.9)) for _ in range(KILLS)]
    assert all(row.keeps_promises for row in rows), rows
    assert {row.outcome for row in rows} <= {"ServiceNotRunning", "PINOutcomeUnknown"}


def test_no_service_and_no_reader_are_told_apart_and_mended_without_a_restart(rig: Bench) -> None:
    rows: dict[str, Row] = {row.outcome: row for row in (faults.gone(rig), faults.unplugged(rig))}
    assert set(rows) == {"ServiceNotRunning", "NoReader"}
    assert all(row.keeps_promises for row in rows.values()), rows


def test_a_service_that_stops_answering_is_left_at_the_deadline(rig: Bench) -> None:
    row = faults.frozen(rig)
    assert row.keeps_promises, row
    assert row.outcome == "CardTimeout"


def test_a_reader_that_another_program_holds_is_busy_and_its_reset_does_no_harm(rig: Bench) -> None:
    row = faults.held_by_another(rig)
    assert row.keeps_promises, row
    assert row.outcome == "ReaderBusy"


def test_another_program_cannot_reset_the_card_under_a_login(rig: Bench) -> None:
    row = faults.reset_under_way(rig)
    assert row.keeps_promises, row
    assert row.outcome == "signed"
    assert "Sharing violation" in row.fault
