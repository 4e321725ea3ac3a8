"""Random words that people read off one screen or sheet and type or say again: short, in groups, hard to mistake."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Final

ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""RFC 8628 §6.1: no vowels (no words), nothing that looks like a digit, one case."""


def mint(entropy: Callable[[int], bytes], *, length: int) -> str:
    """`length` letters as they are compared, without hyphens; the bias of the remainder is below 2^-64."""
    number = int.from_bytes(entropy(length * 5 // 8 + 10), "big")
    letters = []
    for _ in range(length):
        number, letter = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[letter])
    return "".join(letters)


def shown(letters: str, *, group: int) -> str:
    """As they are shown, XXXX-XXXX."""
    return "-".join(letters[start : start + group] for start in range(0, len(letters), group))


def read(text: str, *, length: int, longest: int = 64) -> str | None:
    """What a person meant: full-width and lower-case letters, spaces and any hyphens are forgiven (RFC 8628 §6.1).

    None where it cannot be `length` letters, or is longer than `longest` characters.
    """
    if len(text) > longest:
        return None
    wide = unicodedata.normalize("NFKC", text).upper()
    # Japanese keyboards write the long-vowel mark and the minus sign where others write a hyphen.
    letters = "".join(
        letter for letter in wide if unicodedata.category(letter) not in {"Pd", "Zs"} and letter not in "\u30fc\u2212"
    )
    return letters if len(letters) == length and not set(letters) - set(ALPHABET) else None
