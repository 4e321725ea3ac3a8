"""What a software card can be told to do wrong, so that the way to it can be tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

MAX_SECONDS = 600.0
HUGE_REPLY = 60_000  # bytes


class FaultKind(Enum):
    """What goes wrong at a command."""

    REMOVED = "removed"  # taken out before it answers
    SLOW = "slow"  # answers after some seconds
    SHORT = "short"  # answers one byte
    EMPTY = "empty"  # answers nothing, which the virtual reader never hands on
    HUGE = "huge"  # answers 60 kB
    STATUS = "status"  # does not obey and answers a status word
    POWER_LOST = "power_lost"  # the field broke down for a moment: it forgets its session, then answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. `at` is the command since power-up, from 0, `ins` its instruction; None is any.

    `times` is how often it happens, None without end. Raises ValueError where a field is out of its range.
    """

    kind: FaultKind
    at: int | None = None
    ins: int | None = None
    seconds: float = 30.0
    status: int = 0x6F00
    times: int | None = 1

    def __post_init__(self) -> None:
        numbers = (self.at or 0, self.ins or 0, self.status, 1 if self.times is None else self.times)
        if not all(0 <= number <= 0xFFFF for number in numbers) or not 0 <= self.seconds <= MAX_SECONDS:
            raise ValueError("a fault's numbers are within 16 bits, its seconds within ten minutes")

    def strikes(self, index: int, command: bytes) -> bool:
        """Whether it happens at this command, the `index`-th since power-up."""
        instruction = command[1] if len(command) > 1 else None
        return self.at in (None, index) and self.ins in (None, instruction)

    def document(self) -> dict[str, object]:
        """As the tray's protocol writes it; `parse` reads it."""
        return {
            "kind": self.kind.value,
            "at": self.at,
            "ins": self.ins,
            "seconds": self.seconds,
            "status": self.status,
            "times": self.times,
        }


def parse(document: Mapping[str, object]) -> Fault:
    """A fault from the tray's protocol; only `kind` must be there. Raises ValueError for anything else."""
    known: dict[str, object] = dict(document)
    seconds = known.pop("seconds", 30.0)
    kind = FaultKind(known.pop("kind", None))
    if type(seconds) not in (int, float) or set(known) - {"at", "ins", "status", "times"}:
        raise ValueError("a fault has kind, at, ins, seconds, status and times")
    numbers: dict[str, int | None] = {}
    for name, value in known.items():
        if not (type(value) is int or (value is None and name != "status")):
            raise ValueError(f"{name} is a number")
        numbers[name] = value
    return Fault(kind=kind, seconds=float(str(seconds)), **numbers)  # type: ignore[arg-type]  # status is never None
