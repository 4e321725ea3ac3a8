"""What is over stays over, and one host in 2099 shuts nobody out."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import ClockBehind
from broker.jpki.clock import STEP, TOLERANCE, certain, check_clock
from tests.broker.jpki.jpki_authority import DAY, NOW

SECOND = timedelta(seconds=1)


def test_clock_before_the_mark_judges_nothing() -> None:
    check_clock(NOW, mark=None)
    check_clock(NOW, mark=NOW + TOLERANCE)
    for back in (SECOND, timedelta(minutes=5), DAY, 400 * DAY):
        with pytest.raises(ClockBehind):
            check_clock(NOW, mark=NOW + TOLERANCE + back)


@given(st.integers(-3000, 60_000), st.integers(-9000, 9000))
def test_what_is_certain_is_neither_ahead_of_the_host_nor_of_its_witness(days: int, minutes: int) -> None:
    now = NOW + days * DAY
    witness = now + timedelta(minutes=minutes)
    moment = certain(now, witness=witness)
    assert moment <= now
    assert moment <= witness + STEP
    assert moment in (now, witness + STEP)


def test_host_in_2099_raises_the_mark_by_a_step_at_most() -> None:
    assert certain(NOW.replace(year=2099), witness=NOW) == NOW + timedelta(minutes=5)
