"""What may be shown of words that others wrote."""

from __future__ import annotations

import unicodedata


def displayable(text: str, *, at_most: int = 60) -> str:
    """`text` without control, bidirectional and invisible characters, in one line, shortened with an ellipsis."""
    visible = "".join(
        " " if unicodedata.category(character) in ("Zs", "Zl", "Zp", "Cc") else character
        for character in text
        if unicodedata.category(character) not in ("Cf", "Cs", "Co", "Cn")
    )
    line = " ".join(visible.split())
    return line if len(line) <= at_most else line[: at_most - 1] + "…"
