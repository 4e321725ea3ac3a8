"""Does a text hold what could be a 個人番号 (My Number)? None may ever be stored, shown or passed on (design 4.22).

The twelfth digit checks the other eleven (order of the Ministry of Internal Affairs no. 85 of 2014, art. 5), so of
twelve digits by chance one in eleven passes. A run is twelve digits and no more: a 法人番号 has thirteen.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_RUN: Final = re.compile(r"(?<![0-9])(?=([0-9](?:[ .\-]?[0-9]){11})(?![0-9]))")  # runs may overlap
_BARE: Final = re.compile(r"[0-9](?:[ .\-]?[0-9]){11}")
_DASHES: Final = re.compile(r"[\u00ad\u2010-\u2015\u2212\u30fb\u30fc\uff0d\uff65\uff70_/,]")
_WEIGHTS: Final = (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)


def check_digit(eleven: str) -> int:
    """The twelfth digit that belongs to `eleven` digits."""
    remainder = sum(int(digit) * weight for digit, weight in zip(eleven, _WEIGHTS, strict=True)) % 11
    return 0 if remainder <= 1 else 11 - remainder


def holds_one(text: str) -> bool:
    """Whether twelve digits with their right check digit stand in `text`, however they are spelt or grouped."""
    return any(check_digit(digits[:11]) == int(digits[11]) for digits in _runs(text))


def is_bare(text: str) -> bool:
    """Whether `text` is twelve digits and nothing else: nobody could tell it from a 個人番号 later on."""
    return _BARE.fullmatch(_plain(text).strip()) is not None


def _plain(text: str) -> str:
    """Digits of every script as ASCII, dashes of every kind as one, invisible characters gone."""
    characters = []
    for character in unicodedata.normalize("NFKC", text):
        digit = unicodedata.decimal(character, None)
        if digit is not None:
            characters.append(str(digit))
        elif unicodedata.category(character) == "Zs":
            characters.append(" ")
        elif unicodedata.category(character) not in {"Cf", "Mn", "Me"}:
            characters.append("-" if _DASHES.fullmatch(character) else character)
    return re.sub(r"([ .\-])[ .\-]+", r"\1", "".join(characters))


def _runs(text: str) -> list[str]:
    return ["".join(filter(str.isdigit, found.group(1))) for found in _RUN.finditer(_plain(text))]
