"""Japanese first, English equal: which one this visitor reads."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flask import Flask, request, session
from flask_babel import Babel
from flask_babel import gettext as _translate

LANGUAGES: Final = ("ja", "en")


class CatalogueMissing(Exception):
    """The English catalogue is not compiled: half of the visitors would meet a page they cannot read."""


def install(app: Flask, folder: Path) -> None:
    """Join Flask-Babel and the service's translations in `folder` to the app. Raises CatalogueMissing, saying what to
    type.
    """
    if not (folder / "en" / "LC_MESSAGES" / "messages.mo").is_file():
        raise CatalogueMissing(f"compile the catalogues first: pybabel compile -d {folder}")
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = str(folder)
    app.config["BABEL_DEFAULT_LOCALE"] = LANGUAGES[0]
    Babel(app, locale_selector=current)


def current() -> str:
    """What the visitor chose by the switch (`?lang=`), else what the browser asks for, else Japanese."""
    chosen = request.args.get("lang", session.get("language"))
    if chosen in LANGUAGES:
        return str(chosen)
    return request.accept_languages.best_match(LANGUAGES) or LANGUAGES[0]


def gettext(text: str) -> str:
    """The text in the visitor's language; the Japanese text is its own key."""
    return str(_translate(text))
