"""What may be done in the name of an account at all, whatever its certificates say (design 4.13)."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from broker import letters


class State(StrEnum):
    """Nothing is issued for an account that is not OPEN: at login, refresh, use of a token, or link."""

    OPEN = "open"
    STOPPED = "stopped"
    """By the desk, or by a recovery code, because a card was lost; two operators open it again."""
    DELETED = "deleted"
    """Nothing is left of it but the tombstone that gives its certificates the same pseudonyms again."""


_SUPPORT_LENGTH: Final = 10
_RECOVERY_LENGTH: Final = 16
RECOVERY_CODES: Final = 8
"""Codes of one sheet; a new sheet ends the old one."""


def mint_support_number(entropy: Callable[[int], bytes]) -> str:
    """By which residents name their account to the desk; knowing one opens nothing.

    Letters, so that nobody takes it for an Individual Number.
    """
    return letters.mint(entropy, length=_SUPPORT_LENGTH)


def shown_support_number(number: str) -> str:
    """XXXXX-XXXXX."""
    return letters.shown(number, group=5)


def read_support_number(text: str) -> str | None:
    """As it was shown, however it was typed or told; None where it cannot be one."""
    return letters.read(text, length=_SUPPORT_LENGTH)


def mint_recovery_code(entropy: Callable[[int], bytes]) -> str:
    """69 random bits, for one use: it stops, ends or withdraws, and never opens anything (design 4.13)."""
    return letters.mint(entropy, length=_RECOVERY_LENGTH)


def shown_recovery_code(code: str) -> str:
    """XXXX-XXXX-XXXX-XXXX."""
    return letters.shown(code, group=4)


def read_recovery_code(text: str) -> str | None:
    """As it was shown, however it was typed; None where it cannot be one."""
    return letters.read(text, length=_RECOVERY_LENGTH)
