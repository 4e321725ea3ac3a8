"""Which reader is meant, and what happened between two looks: plain rules over plain values."""

from __future__ import annotations

import pytest

from cardreader.apdu import converse
from cardreader.errors import CardAbsent, NoReader
from cardreader.jpki_ap import read_card
from cardreader.pcsc import PCSCReaders
from cardreader.readers import Happening, ReaderEvent, ReaderState, changes, readers_with_card
from tests.cardreader.conftest import CardMaker, ThroughPCSCD

DESK = ReaderState(name="SONY FeliCa RC-S300/P 00 00", has_card=True, events=1)
EMPTY = ReaderState(name="ACS ACR39U 01 00", has_card=False)


def look(*states: ReaderState) -> dict[str, ReaderState]:
    return {state.name: state for state in states}


def names(events: tuple[ReaderEvent, ...]) -> list[tuple[Happening, str]]:
    return [(event.happening, event.reader) for event in events]


def test_the_reader_that_holds_a_card_is_meant_beside_an_empty_one() -> None:
    assert readers_with_card([EMPTY, DESK]) == (DESK,)


def test_a_wanted_reader_is_found_by_part_of_its_name_whatever_its_capitals() -> None:
    other = ReaderState(name="Gemalto PC Twin 02 00", has_card=True)
    assert readers_with_card([DESK, other], wanted="felica") == (DESK,)


def test_an_exact_name_wins_over_a_name_that_contains_it() -> None:
    short, long = ReaderState(name="Reader", has_card=True), ReaderState(name="Reader 2", has_card=True)
    assert readers_with_card([long, short], wanted="Reader") == (short,)


def test_no_reader_another_name_and_no_card_are_three_answers() -> None:
    with pytest.raises(NoReader, match="lists no reader"):
        readers_with_card([])
    with pytest.raises(NoReader, match="wanted name"):
        readers_with_card([DESK], wanted="Gemalto")
    with pytest.raises(CardAbsent):
        readers_with_card([EMPTY, DESK], wanted="ACS")


def test_insertion_and_removal_are_told_with_their_reader() -> None:
    filled = ReaderState(name=EMPTY.name, has_card=True, events=1)
    assert names(changes(look(EMPTY), look(filled))) == [(Happening.CARD_INSERTED, EMPTY.name)]
    assert names(changes(look(filled), look(EMPTY))) == [(Happening.CARD_REMOVED, EMPTY.name)]
    assert changes(look(filled), look(filled)) == ()


def test_a_card_swapped_between_two_looks_was_removed_first() -> None:
    swapped = ReaderState(name=DESK.name, has_card=True, events=3)
    assert names(changes(look(DESK), look(swapped))) == [
        (Happening.CARD_REMOVED, DESK.name),
        (Happening.CARD_INSERTED, DESK.name),
    ]


def test_a_reader_pulled_out_takes_its_card_along() -> None:
    assert names(changes(look(DESK), look())) == [
        (Happening.CARD_REMOVED, DESK.name),
        (Happening.READER_REMOVED, DESK.name),
    ]
    assert names(changes(look(), look(DESK))) == [
        (Happening.READER_ADDED, DESK.name),
        (Happening.CARD_INSERTED, DESK.name),
    ]


def test_a_service_that_ends_takes_every_card_along_and_comes_back_with_them() -> None:
    lost = names(changes(look(DESK), None))
    assert lost[0] == (Happening.CARD_REMOVED, DESK.name)
    assert lost[-1] == (Happening.SERVICE_LOST, "")
    assert changes(None, None) == ()
    found = names(changes(None, look(DESK)))
    assert found[0] == (Happening.SERVICE_FOUND, "")
    assert found[-1] == (Happening.CARD_INSERTED, DESK.name)


def test_a_reader_chosen_by_name_is_the_only_one_asked(through_pcscd: ThroughPCSCD, card_maker: CardMaker) -> None:
    through_pcscd.insert(card_maker())
    with PCSCReaders(reader="software card 00 00").connect() as connection:
        assert converse(read_card(), connection.transmit).tries_left == 3
    with pytest.raises(CardAbsent), PCSCReaders(reader="00 01", card_wait=0.0).connect():
        pass
    with pytest.raises(NoReader, match="wanted name"), PCSCReaders(reader="RC-S380").connect():
        pass


def test_a_plain_reader_offers_no_keys_of_its_own(through_pcscd: ThroughPCSCD, card_maker: CardMaker) -> None:
    through_pcscd.insert(card_maker())
    with PCSCReaders().connect() as connection:
        assert connection.pin_pad() is None
        assert converse(read_card(), connection.transmit).tries_left == 3
