"""Readings above the words that people stumble over (ふりがな), on pages whose reader asked for them."""

from __future__ import annotations

import re
from typing import Final

READINGS: Final = {
    "利用者証明用": "りようしゃしょうめいよう",
    "電子証明書": "でんししょうめいしょ",
    "暗証番号": "あんしょうばんごう",
    "市区町村": "しくちょうそん",
    "個人番号": "こじんばんごう",
    "署名用": "しょめいよう",
    "有効期限": "ゆうこうきげん",
    "失効": "しっこう",
    "窓口": "まどぐち",
    "同意": "どうい",
    "審査": "しんさ",
}
_WORDS: Final = re.compile("|".join(sorted(READINGS, key=len, reverse=True)))
_TAG: Final = re.compile(r"(<!--.*?-->|<[^>]*>)", re.DOTALL)
_PLAIN: Final = {"title", "script", "style", "textarea", "option", "pre", "ruby"}
"""Elements that cannot hold a `ruby` element, or whose text is not ours."""


def add(html: str) -> str:
    """The page with a `ruby` element around each such word. Markup must be well formed, with `>` in values escaped."""
    parts = _TAG.split(html)
    inside = ""
    for place, part in enumerate(parts):
        if place % 2:
            name = re.match(r"</?([a-z0-9]*)", part)
            element = name[1] if name else ""
            if inside and part.startswith("</") and element == inside:
                inside = ""
            elif not inside and element in _PLAIN and not part.startswith("</"):
                inside = element
        elif not inside:
            parts[place] = _WORDS.sub(_with_reading, part)
    return "".join(parts)


def _with_reading(word: re.Match[str]) -> str:
    return f"<ruby>{word[0]}<rp>（</rp><rt>{READINGS[word[0]]}</rt><rp>）</rp></ruby>"
