"""docs/residents.md, written from residents.toml: `python -m sandbox.residentspage` prints it, a test compares."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sandbox.cards import index_document
from sandbox.residents import RESIDENTS_FILE, Resident, load_residents

_HEAD: Final = """# Residents of the sandbox

All people, places and companies are invented. Each row is a card file, `.sandbox/cards/NAME.json`: put it on the reader
on the card tray page, or log in with `python -m sandbox login --resident NAME`. This page is written by
`python -m sandbox.residentspage` from `sandbox/residents.toml`; a change there makes new certificates when it starts.

What happens in a life (renewal, reissue, move, death, hold) is entered on the card tray page under "At the municipal
office", or with `python -m sandbox world event EVENT NAME`; what goes wrong in the outside world is chosen on its page
`/trouble`, or with `python -m sandbox world trouble`.

| Name | Who | PIN | Signature password | What it shows | 見どころ |
|---|---|---|---|---|---|
"""


def page(residents: Iterable[Resident]) -> str:
    """The Markdown text."""
    return _HEAD + "".join(_line(row) for row in index_document(residents))


def _line(row: dict[str, Any]) -> str:
    who = row["label"] if row["label"] == row["label_en"] else f"{row['label']} ({row['label_en']})"
    password = f"`{row['sign_password']}`" if row["sign_password"] else "–"
    shows = row["demonstrates"]
    return f"| `{row['name']}` | {who} | `{row['pin']}` | {password} | {shows['en']} | {shows['ja']} |\n"


if __name__ == "__main__":
    print(page(load_residents(RESIDENTS_FILE.read_bytes()).residents), end="")
