"""Both languages complete, every error with its words, and pages that are light."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import cardreader.agent
from cardreader.agent import pages
from cardreader.agent.trust import TrustInvalid
from cardreader.errors import AgentError, catalogue, leaves
from tests.cardreader.agent.conftest import AGENT, TRANSLATIONS, Desk

PACKAGE = Path(cardreader.agent.__file__).parent
JAPANESE = re.compile(r"[\u3041-\u30ff\u4e00-\u9fff]")


def test_every_japanese_page_text_has_an_english_one_and_no_text_is_left_over() -> None:
    used = {
        message[0] if isinstance(message, tuple) else message
        for _, _, message, _, _ in extract_from_dir(
            PACKAGE, method_map=[("**.py", "python"), ("**/templates/**.html", "jinja2")]
        )
    }
    with (TRANSLATIONS / "en/LC_MESSAGES/messages.po").open("rb") as file:
        entries = {
            (message.id[0] if isinstance(message.id, tuple) else message.id): message
            for message in read_po(file)
            if message.id
        }
    assert used == entries.keys()
    for entry in entries.values():
        texts = entry.string if isinstance(entry.string, tuple) else (entry.string,)
        assert all(texts), entry.id
        assert not any(JAPANESE.search(str(text)) for text in texts)
        assert not entry.fuzzy


def test_no_japanese_stands_in_a_template_outside_the_catalogue() -> None:
    for path in PACKAGE.glob("templates/*.html"):
        text = re.sub(r"{%.*?%}|{{.*?}}|{#.*?#}", "", path.read_text(encoding="utf-8"), flags=re.S)
        assert not JAPANESE.search(text), path.name


def test_every_agent_error_has_a_row_of_its_own_code() -> None:
    names = [error.__name__ for error in leaves(AgentError)]
    rows = [catalogue()[name] for name in names]
    assert all(re.fullmatch(r"AGENT-\d{3}", row.code) for row in rows)
    assert len({row.code for row in rows}) == len(rows) == 31
    assert not [row.code for row in catalogue().values() if row.code.startswith("AGENT-") and row not in rows]
    for row in rows:
        assert JAPANESE.search(row.ja.title)
        assert not JAPANESE.search(row.en.title + row.en.text + row.en.action)


def test_start_without_compiled_texts_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from flask import Flask

    monkeypatch.setattr(pages, "TRANSLATIONS", tmp_path)
    with pytest.raises(TrustInvalid, match="pybabel compile -d cardreader/agent/translations"):
        pages.speak(Flask("cardreader.agent.app"))


def test_pin_page_with_all_it_loads_weighs_at_most_16_kilobytes(desk: Desk) -> None:
    page = desk.person.open_request(desk.broker.request()).get_data()
    loads = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.decode())
    assert loads
    weight = len(page)
    for path in loads:
        with desk.person.client.get(path, base_url=AGENT) as response:
            weight += len(response.get_data())
    assert weight <= 16 * 1024
    assert not re.search(r'(?:href|src|action)="(?!/|http://localhost:8000/agent/cb/)', page.decode())
