"""The file of procuring entities: read whole, or refused by what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.delegation import entity
from broker.errors import PolicyInvalid

ONE = '[[entity]]\ncode = "100001"\nname = "架空県"\n'


def test_entities_are_known_by_code_and_named_in_both_languages() -> None:
    known = entity.read(f'{ONE}name_en = "Kakuu Prefecture"\n{ONE.replace("100001", "100002")}'.encode())
    assert list(known) == ["100001", "100002"]
    assert (known["100001"].into("ja"), known["100001"].into("en")) == ("架空県", "Kakuu Prefecture")
    assert known["100002"].into("en") == "架空県", "in Japanese where there is no other"


def test_the_sandbox_has_some() -> None:
    path = Path(__file__).parents[3] / "sandbox" / "procuring-entities.toml"
    assert {"100001", "100002"} <= entity.read(path.read_bytes()).keys()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "1 to"),
        ("entity = 1", "1 to"),
        ("[[entity]", "procuring entities"),
        (f'{ONE}\nother = "x"', "entity 1"),
        (f'title = "x"\n{ONE}', "nothing else"),
        ('[[entity]]\ncode = "100001"\n', "code, name"),
        (ONE.replace("架空県", ""), "texts of"),
        (ONE.replace("架空県", "架空\\u202e県"), "texts of"),
        (ONE.replace('"架空県"', "5"), "texts of"),
        (ONE.replace("100001", "1 1"), "code of"),
        (ONE.replace("100001", "*"), "code of"),
        (ONE + ONE, "twice"),
    ],
)
def test_a_file_that_is_not_in_order_is_refused(text: str, words: str) -> None:
    with pytest.raises(PolicyInvalid, match=words):
        entity.read(text.encode())


def test_what_is_no_text_or_too_long_is_refused() -> None:
    for data in (b"\xff\xfe", b"#" * (entity.MAX_FILE + 1)):
        with pytest.raises(PolicyInvalid):
            entity.read(data)
