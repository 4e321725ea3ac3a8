"""Mutated transcripts: only CardError escapes, with few commands and within 16 MB for each input.

The full form, `python -m tests.campaigns.hostile_card`, holds each to 50 ms of processor time as well.
"""

from __future__ import annotations

import contextlib
import itertools
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardreader.emulator import SoftwareCard
from cardreader.errors import CardError
from cardreader.tlv import object_length
from tests.campaigns.hostile_card import CONVERSATIONS, MAX_BYTES, listen, mutations, transcript
from tests.cardreader.conftest import CardMaker

SEED = 20261120


@pytest.fixture(scope="module")
def seeds(card_maker: CardMaker) -> list[bytes]:
    card = SoftwareCard(card_maker())
    return [transcript(card, number) for number in range(len(CONVERSATIONS))]


def test_the_unmutated_transcripts_end_well(seeds: list[bytes]) -> None:
    outcomes = [listen(seed).outcome for seed in seeds]
    announced = 4  # an RSA card cannot sign as a P-384 card
    assert [outcome for number, outcome in enumerate(outcomes) if number != announced] == ["returned"] * 6


def test_mutated_transcripts_raise_nothing_else_and_ask_little_of_the_card(seeds: list[bytes]) -> None:
    heard = [listen(data) for data in itertools.islice(mutations(seeds, seed=SEED), 3000)]
    assert max(one.commands for one in heard) <= 100
    assert len({one.outcome for one in heard}) >= 10  # the mutations reach many ends


def test_mutated_transcripts_take_little_memory(seeds: list[bytes]) -> None:
    tracemalloc.start()
    try:
        for data in itertools.islice(mutations(seeds, seed=SEED + 1), 300):
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            listen(data)
            assert tracemalloc.get_traced_memory()[1] - before <= MAX_BYTES
    finally:
        tracemalloc.stop()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_bytes_in_any_place_of_a_transcript_raise_nothing_else(seeds: list[bytes], data: st.DataObject) -> None:
    seed = bytearray(data.draw(st.sampled_from(seeds)))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(seed) - 1))
        seed[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=8))
        seed = seed or bytearray(1)
    assert listen(bytes(seed)).commands <= 100


@settings(max_examples=250)
@given(st.binary(max_size=8), st.integers(0, 70_000))
def test_a_der_length_is_bounded_or_refused(head: bytes, at_most: int) -> None:
    with contextlib.suppress(CardError):
        assert 2 <= object_length(head, at_most=at_most) <= at_most
