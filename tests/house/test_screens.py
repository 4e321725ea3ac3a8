"""The pictures of the screens: every one is listed, in both languages, and small."""

from __future__ import annotations

from tests.screens import FOLDER, PAGE, SCREENS, page

MOST = 150_000
"""Octets of a picture."""


def test_the_page_of_screens_is_what_the_list_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_screen_has_a_picture_in_each_language_and_every_picture_is_listed() -> None:
    there = {path.name for path in FOLDER.glob("*.png")}
    wanted = {f"{name}.{language}.png" for name in SCREENS for language in ("ja", "en")} - {"help-furigana.en.png"}
    assert there == wanted


def test_pictures_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in FOLDER.glob("*.png")}
    assert {name: size for name, size in sizes.items() if size > MOST or size < 1_000} == {}
