"""Opening an account over the real thing: what stands in a resident's certificate arrives at the bank unchanged."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cardreader.cardfile import load, save
from sandbox.launcher import Running
from sandbox.residents import RESIDENTS_FILE, Resident, load_residents

pytestmark = pytest.mark.timeout(180)

ROOT = Path(__file__).parents[2]
SCOPE = "openid name address birthdate gender age_over_20"
RESIDENTS = load_residents(RESIDENTS_FILE.read_bytes()).residents
PARTIAL = {"month": "%Y", "year": "%Y"}
REFUSED = {  # resident: where it ends, and the code of the page or the card
    "mirai": "card",
    "nashi": "card",
    "kigen": "card",
    "shikko": "callback",
    "lock": "card",
    "nokori": "card",
    "hikkoshi": "callback",
    "yoso": "card",
    "jukiko": "card",
    "isha": "card",
}


def open_account(running: Running, resident: str, *, scope: str = SCOPE) -> tuple[int, dict[str, Any]]:
    """What `python -m sandbox login` prints of it, and its exit status."""
    command = [sys.executable, "-m", "sandbox", "login", "--client", "bank", "--resident", resident, "--json"]
    command += ["--scope", scope, "--root", str(running.root)]
    command += ["--broker", running.addresses.broker, "--bank", running.addresses.bank]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, dict(json.loads(done.stdout))


def on_the_card(resident: Resident) -> dict[str, Any]:
    """The claims that the resident's own data make."""
    holder = resident.holder
    told: dict[str, Any] = {
        "name": holder.name,
        "address": {"formatted": holder.address} | ({} if holder.address.startswith("国外転出") else {"country": "JP"}),
        "gender": {1: "male", 2: "female"}[resident.sex],
        "birthdate": resident.birth.strftime(PARTIAL.get(resident.birth_known, "%Y-%m-%d")),
    }
    return told | ({"age_over_20": True} if resident.birth_known == "day" else {})


@pytest.mark.parametrize(
    "resident", [each for each in RESIDENTS if each.name not in REFUSED], ids=lambda each: each.name
)
def test_what_is_on_the_card_is_at_the_bank_in_id_token_and_userinfo(running: Running, resident: Resident) -> None:
    status, told = open_account(running, resident.name)
    assert status == 0, told
    wanted = on_the_card(resident)
    assert {name: told["claims"].get(name) for name in wanted} == wanted
    flagged = {
        name: [place for place, flag in enumerate(flags) if flag == "1"]
        for name, flags in (("name", resident.holder.name_flags), ("address", resident.holder.address_flags))
        if "1" in flags
    }
    assert told["userinfo"] == wanted | ({"jpki_substituted": flagged} if flagged else {})
    assert "null" not in json.dumps(told["claims"]) + json.dumps(told["userinfo"])


@pytest.mark.parametrize(("resident", "step"), REFUSED.items())
def test_who_has_no_living_signing_certificate_is_refused_and_nothing_arrives(
    running: Running, resident: str, step: str
) -> None:
    if resident == "nokori":  # the tray of another journey has given the tries back
        path = running.world.card(resident)
        card = load(path)
        save(replace(card, auth=replace(card.auth, tries=1)), path)
    status, told = open_account(running, resident)
    assert status == 1
    assert (told["accepted"], told["step"]) == (False, step), told
    assert told["code"]


def test_a_moved_resident_still_logs_in_without_a_name(running: Running) -> None:
    _, refused = open_account(running, "hikkoshi")
    assert refused["code"] == "AUTH-042"
    status, told = open_account(running, "hikkoshi", scope="openid")
    assert (status, told["userinfo"]) == (0, {})
