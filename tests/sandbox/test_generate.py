"""Making the world: once, privately, and again only for a reason that is told."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cardreader import cardfile
from sandbox import ledger
from sandbox.generate import World, generate
from sandbox.residents import RESIDENTS_FILE, load_residents
from sandbox.residentspage import page
from tests.sandbox.conftest import NOW, leaf


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_second_start_changes_no_file(own_world: World) -> None:
    before = contents(own_world.root)
    again = generate(own_world.root, NOW + timedelta(days=3))
    assert again.made_because is None
    assert contents(own_world.root) == before


def test_the_world_is_made_anew_when_the_residents_file_changed(own_world: World) -> None:
    before = leaf(own_world, "hanako")
    changed = RESIDENTS_FILE.read_bytes() + b"\n# changed\n"
    again = generate(own_world.root, NOW, residents=changed)
    assert again.made_because == "the residents' file changed"
    assert leaf(again, "hanako") != before


def test_the_world_is_made_anew_before_a_certificate_ends_and_when_a_file_is_missing(own_world: World) -> None:
    usable = json.loads((own_world.root / "ca" / "generation.json").read_bytes())["usable_until"]
    late = datetime.fromisoformat(usable) - timedelta(days=29)
    assert generate(own_world.root, late).made_because == "a certificate ends within 30 days"
    own_world.card("taro").unlink()
    assert generate(own_world.root, late).made_because == "a file is missing: cards/taro.json"


def test_a_half_made_world_is_made_anew(own_world: World) -> None:
    (own_world.root / "ca" / "generation.json").unlink()
    assert generate(own_world.root, NOW).made_because == "there is none yet"


def test_another_address_rewrites_the_list_of_sources_only(own_world: World) -> None:
    before = contents(own_world.root)
    assert generate(own_world.root, NOW, url="http://127.0.0.1:9010").made_because is None
    after = contents(own_world.root)
    assert {name for name in after if after[name] != before.get(name)} == {
        "ca/crl-sources.json",
        "ca/hpki-crl-sources.json",
    }
    rows = json.loads(own_world.crl_sources.read_bytes())
    assert all(row["url"].startswith("http://127.0.0.1:9010/crl/") for row in rows)


def test_every_file_is_for_its_owner_only(world: World) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in world.root.rglob("*") if path.is_file()}
    assert len(modes) > 40
    assert set(modes.values()) == {0o600}


def test_every_card_file_is_read_by_the_card_side(world: World) -> None:
    rows = json.loads((world.cards / "index.json").read_bytes())
    cards = {row["name"]: cardfile.load(world.card(row["name"])) for row in rows}
    assert len(cards) >= 19
    assert cards["hanako"].auth.pin == "1234"
    assert cards["hanako"].sign is not None
    assert cards["hanako"].sign.pin == "ABC123"
    assert (cards["nokori"].auth.tries, cards["lock"].auth.tries) == (1, 0)
    assert cards["jukiko"].token_label == "JPKIAPICCTOKEN"
    assert cards["nashi"].auth.certificate is None
    assert all(row["demonstrates"]["ja"] and row["demonstrates"]["en"] for row in rows)


def test_states_follow_from_the_books(world: World) -> None:
    books = ledger.read(world.ledger)
    expired = books.current("kigen", "auth")
    assert expired is not None
    assert expired.not_after < NOW
    moved_auth, moved_sign = books.current("hikkoshi", "auth"), books.current("hikkoshi", "sign")
    assert moved_auth is not None
    assert moved_auth.reason is None
    assert moved_sign is not None
    assert moved_sign.reason == "affiliationChanged"
    for kind in ("auth", "sign"):
        old = next(e for e in books.entries if e.resident == "koshin" and e.kind == kind and not e.current)
        assert old.reason == "superseded"
        assert books.successor(old.authority, old.serial) == next(
            e for e in books.entries if e.resident == "koshin" and e.kind == kind and e.current
        )


def test_the_residents_try_long_names_rare_characters_and_flags() -> None:
    residents = {r.name: r for r in load_residents(RESIDENTS_FILE.read_bytes()).residents}
    assert len(residents["nagai"].label) > 75
    assert any(ord(character) > 0xFFFF for character in residents["yoshiko"].label)
    assert "1" in residents["yoshiko"].holder.name_flags
    assert residents["alex"].label.isascii()
    assert residents["alex"].holder.birth.startswith("0")


def test_a_bad_residents_file_is_refused_by_the_resident_at_fault(tmp_path: Path) -> None:
    source = RESIDENTS_FILE.read_bytes().replace(b'pin = "2345"', b'pin = "23456"')
    with pytest.raises(ValueError, match="taro: the 利用者証明用 PIN has four digits"):
        generate(tmp_path, NOW, residents=source)
    assert not (tmp_path / "cards").exists()


def test_a_time_without_zone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="aware"):
        generate(tmp_path, NOW.replace(tzinfo=None))


def test_the_page_of_residents_is_the_one_the_file_makes() -> None:
    text = (Path(__file__).parents[2] / "docs" / "residents.md").read_text(encoding="utf-8")
    residents = load_residents(RESIDENTS_FILE.read_bytes()).residents
    assert text == page(residents)
    assert all(f"`{resident.name}`" in text for resident in residents)
    assert all(f"`{card}`" in text for card in ("hanakoandroid", "taroiphone", "koshinold"))
