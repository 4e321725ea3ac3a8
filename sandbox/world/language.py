"""Which of the two languages a page is shown in. No cookie remembers it: addresses and forms carry it along."""

from __future__ import annotations

from typing import Final

from flask import request

LANGUAGES: Final = ("ja", "en")


def language() -> str:
    """`ja` or `en`: what the address or the form says, else what the browser asks for, else Japanese."""
    chosen = request.values.get("lang")
    if chosen in LANGUAGES:
        return chosen
    return request.accept_languages.best_match(LANGUAGES) or "ja"
