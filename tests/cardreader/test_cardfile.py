"""Card files: read strictly, written in one step, for the owner alone."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardreader import cardfile
from cardreader.emulator import SoftwareCard
from cardreader.errors import CardFileInvalid
from tests.cardreader.conftest import CardMaker


def test_a_card_survives_its_file(card_maker: CardMaker, tmp_path: Path) -> None:
    card = card_maker(tries=2, sign=False)
    cardfile.save(card, tmp_path / "card.json")
    assert cardfile.load(tmp_path / "card.json") == card
    assert stat.S_IMODE((tmp_path / "card.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["card.json"]


def test_pins_and_keys_are_not_shown(card_maker: CardMaker) -> None:
    shown = repr(card_maker())
    assert "1234" not in shown
    assert "ABC123" not in shown
    assert "PRIVATE KEY" not in shown


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("version", 2),
        ("name", 1),
        ("kind", "paper"),
        ("atr", "3B"),
        ("atr", "zz"),
        ("token_label", "x" * 33),
        ("token_label", "ＪＰＫＩ"),
        ("blocked_status", "9000"),
        ("auth", None),
        ("auth.tries", 4),
        ("auth.tries", -1),
        ("auth.tries", True),
        ("auth.tries_max", 16),
        ("auth.pin", ""),
        ("auth.pin", "１２３４"),
        ("auth.certificate", "not base64"),
        ("sign", []),
        ("surplus", 1),
    ],
)
def test_a_file_with_one_wrong_member_is_refused(card_maker: CardMaker, member: str, value: object) -> None:
    document = json.loads(cardfile.serialize(card_maker()))
    *outer, name = member.split(".")
    (document[outer[0]] if outer else document)[name] = value
    with pytest.raises(CardFileInvalid):
        cardfile.parse(json.dumps(document).encode())


@settings(max_examples=40)  # most of a run is hypothesis growing the documents
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["version", "name", "auth", "x"]), inner),
        max_leaves=10,
    )
)
def test_any_json_is_a_card_or_refused(document: object) -> None:
    with pytest.raises(CardFileInvalid):
        cardfile.parse(json.dumps(document).encode())


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 50_000])
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(CardFileInvalid, match="not JSON"):
        cardfile.parse(raw)


def test_a_missing_or_huge_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CardFileInvalid, match="absent"):
        cardfile.load(tmp_path / "absent.json")
    (tmp_path / "huge.json").write_bytes(b" " * (cardfile.MAX_SIZE + 1))
    with pytest.raises(CardFileInvalid, match="larger"):
        cardfile.load(tmp_path / "huge.json")


def test_a_key_that_is_not_rsa_2048_is_refused(card_maker: CardMaker) -> None:
    document = json.loads(cardfile.serialize(card_maker()))
    document["auth"]["private_key"] = "-----BEGIN PRIVATE KEY-----\n"
    with pytest.raises(CardFileInvalid, match="private_key"):
        SoftwareCard(cardfile.parse(json.dumps(document).encode()))
