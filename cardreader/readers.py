"""Readers and the cards in them, as states and events: which reader is meant, and what changed between two looks.

Pure: the looking is done by cardreader.pcsc.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from cardreader.errors import CardAbsent, NoReader


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderState:
    """One reader at one look. `is_mute`: a card is there that does not answer to power. `in_use`: a program holds it.

    `events` counts insertions and removals since the service started, so that a card swapped between two looks shows.
    """

    name: str
    has_card: bool
    is_mute: bool = False
    in_use: bool = False
    atr: bytes = field(default=b"", repr=False)
    events: int = 0


class Happening(Enum):
    """What can happen to a reader, or to the service as a whole."""

    READER_ADDED = "reader added"
    READER_REMOVED = "reader removed"
    CARD_INSERTED = "card inserted"
    CARD_REMOVED = "card removed"
    SERVICE_LOST = "service lost"
    SERVICE_FOUND = "service found"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderEvent:
    """One thing that happened. `reader` is empty for the service's own events."""

    happening: Happening
    reader: str = ""


Look = Mapping[str, ReaderState]


def readers_with_card(states: Sequence[ReaderState], *, wanted: str | None = None) -> tuple[ReaderState, ...]:
    """The readers that hold a card, in the service's order; at least one.

    `wanted` narrows them to the reader of that name, or to those whose name contains it (capitals do not matter).
    Raises NoReader where there is none, or none of that name; CardAbsent where none holds a card.
    """
    if not states:
        raise NoReader("the service lists no reader")
    meant = _named(states, wanted)
    if not meant:
        raise NoReader("no reader of the wanted name")
    holding = tuple(state for state in meant if state.has_card)
    if not holding:
        raise CardAbsent("no reader holds a card")
    return holding


def changes(before: Look | None, after: Look | None) -> tuple[ReaderEvent, ...]:
    """What happened between two looks; None is a service that did not answer. Removals come before insertions.

    A card exchanged for another between the looks is a removal and an insertion.
    """
    if after is None:
        if before is None:
            return ()
        gone = changes(before, {})
        return (*gone, ReaderEvent(happening=Happening.SERVICE_LOST))
    found = (ReaderEvent(happening=Happening.SERVICE_FOUND),) if before is None else ()
    past = before or {}
    removed: list[ReaderEvent] = []
    inserted: list[ReaderEvent] = []
    for name, old in past.items():
        new = after.get(name)
        if old.has_card and (new is None or not new.has_card or _was_swapped(old, new)):
            removed.append(ReaderEvent(happening=Happening.CARD_REMOVED, reader=name))
        if new is None:
            removed.append(ReaderEvent(happening=Happening.READER_REMOVED, reader=name))
    for name, new in after.items():
        before_it = past.get(name)
        if before_it is None:
            inserted.append(ReaderEvent(happening=Happening.READER_ADDED, reader=name))
        if new.has_card and (before_it is None or not before_it.has_card or _was_swapped(before_it, new)):
            inserted.append(ReaderEvent(happening=Happening.CARD_INSERTED, reader=name))
    return (*found, *removed, *inserted)


def _named(states: Sequence[ReaderState], wanted: str | None) -> list[ReaderState]:
    if wanted is None:
        return list(states)
    exact = [state for state in states if state.name == wanted]
    return exact or [state for state in states if wanted.casefold() in state.name.casefold()]


def _was_swapped(old: ReaderState, new: ReaderState) -> bool:
    return old.has_card and new.has_card and old.events != new.events
