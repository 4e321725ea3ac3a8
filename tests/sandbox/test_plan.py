"""Plan files: filled in once, kept, and refused by name where they cannot be used."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.plan import BROWSER, PlanInvalid, Surroundings, complete
from sandbox.tls import provide

SAMPLES = BROWSER.parent
PLANS = sorted(path for path in SAMPLES.glob("*.json") if path != BROWSER)

SUITES_BLANKS = "automated_ciba_approval_url"
"""The suite fills in this one itself."""


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    files = provide(tmp_path / "tls", datetime.now(UTC))
    return Surroundings(
        root=tmp_path,
        issuer="https://localhost:8443",
        mtls="https://localhost:8444",
        tls=files,
        suite="https://s.example",
    )


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_a_sample_leaves_no_blank_and_the_next_start_finds_the_same(path: Path, around: Surroundings) -> None:
    plan = complete(path, around)
    blanks = [text for name, value in plan.config.items() if name != SUITES_BLANKS for text in texts(value)]
    assert not [text for text in blanks if "{" in text]
    assert json.loads(plan.file.read_text(encoding="utf-8")) == plan.config
    assert plan.file.stat().st_mode & 0o777 == 0o600
    assert complete(path, around).config == plan.config
    named = [role for role in ("client", "client2") if "client_id" in plan.config[role]]
    assert {entry["client_id"] for entry in plan.clients["clients"]} >= {
        plan.config[role]["client_id"] for role in named
    }


def test_the_overrides_are_whole_instructions(around: Surroundings) -> None:
    overrides = complete(SAMPLES / "oidcc-basic.json", around).config["override"]
    assert overrides
    for module, override in overrides.items():
        assert override["browser"][0]["tasks"], module


def test_keys_stand_in_what_the_suite_is_given_and_secrets_differ_by_client(around: Surroundings) -> None:
    plan = complete(SAMPLES / "fapi2-pkjwt-dpop.json", around)
    keys = [plan.config[role]["jwks"]["keys"][0] for role in ("client", "client2")]
    assert all("d" in key and key["alg"] == "ES256" for key in keys)
    assert keys[0]["kid"] != keys[1]["kid"]
    basic = complete(SAMPLES / "oidcc-basic.json", around).config
    assert len({basic[role]["client_secret"] for role in ("client", "client2", "client_secret_post")}) == 3


def test_clients_with_certificates_are_refused_over_http(tmp_path: Path) -> None:
    with pytest.raises(PlanInvalid, match="TLS=1"):
        complete(SAMPLES / "fapi2-mtls.json", Surroundings(root=tmp_path, issuer="http://localhost:8000"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"config": []}', '{"config": {}, "registration": {}}', "{" * 9])
def test_what_is_no_plan_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PlanInvalid, match=r"mine\.json"):
        complete(path, Surroundings(root=tmp_path / "s", issuer="http://localhost:8000"))
