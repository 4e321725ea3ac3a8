"""`broker keys`: make, show, rotate, renew, as an operator does it; a running broker follows without a restart."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from broker.__main__ import main
from broker.flows.ports import JWKS_MAX_AGE, KeyUse
from broker.keys.live import LiveKeys, open_keys
from tests.softhsm import new_token

PASSPHRASE = "correct horse"


class Office:
    """An operator's desk: settings in the environment, the agent-root in a file beside them."""

    def __init__(self, folder: Path, token: str = "") -> None:
        self.folder = folder
        self.environment = {
            "BROKER_ISSUER": "https://op.example",
            "BROKER_DATABASE_URL": f"sqlite:///{folder / 'broker.db'}",
            "BROKER_KEY_DIRECTORY": str(folder / "keys"),
            "BROKER_KEY_PASSPHRASE": PASSPHRASE,
            "BROKER_KEY_TOKEN": token,
            "BROKER_ANCHORS": str(folder / "anchors.pem"),
            "BROKER_CRL_SOURCES": str(folder / "sources.toml"),
        }
        (folder / "root.passphrase").write_text("offline\n")
        self.root = (
            *("--agent-root", str(folder / "root.json")),
            *("--agent-root-passphrase-file", str(folder / "root.passphrase")),
        )

    def keys(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["keys", *arguments], env=self.environment)

    def shown(self) -> list[dict[str, str]]:
        done = self.keys("show", "--json")
        assert done.exit_code == 0, done.output
        rows: list[dict[str, str]] = json.loads(done.output)["keys"]
        return rows

    def open(self) -> LiveKeys:
        return open_keys(self.folder / "keys", PASSPHRASE)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    office = Office(tmp_path)
    made = office.keys("create", *office.root)
    assert made.exit_code == 0, made.output
    return office


def test_show_tells_each_key_s_place_in_its_life_and_nothing_private(office: Office) -> None:
    rows = office.shown()
    assert {row["use"] for row in rows} == {use.value for use in KeyUse}
    assert {row["state"] for row in rows} == {"current"}
    done = office.keys("show")
    assert all(row["kid"] in done.output for row in rows)
    assert "statement of request keys: to" in done.output
    assert "PRIVATE" not in done.output


def test_rotate_publishes_now_and_signs_after_what_the_jwk_set_may_be_kept(office: Office) -> None:
    done = office.keys("rotate", "--use", "id-token", "--json")
    assert done.exit_code == 0, done.output
    (made,) = json.loads(done.output)
    wait = datetime.fromisoformat(made["begins"]) - datetime.now(UTC)
    assert JWKS_MAX_AGE * 0.5 < wait <= JWKS_MAX_AGE * 1.5
    states = {row["kid"]: row["state"] for row in office.shown() if row["use"] == "id-token"}
    assert states.pop(made["kid"]) == "waiting"
    assert list(states.values()) == ["current"]
    assert made["kid"] in {jwk["kid"] for jwk in office.open().jwks(KeyUse.ID_TOKEN)["keys"]}


def test_a_first_key_of_an_algorithm_is_made_for_what_it_serves(office: Office) -> None:
    assert office.keys("rotate", "--algorithm", "RS256").exit_code == 0
    assert {row["use"] for row in office.shown() if row["alg"] == "RS256"} == {"id-token", "access-token"}
    assert office.keys("rotate", "--algorithm", "ECDH-ES").exit_code == 0
    assert len([row for row in office.shown() if row["alg"] == "ECDH-ES"]) == 2
    wrong = office.keys("rotate", "--use", "card-request", "--algorithm", "RS256", *office.root)
    assert wrong.exit_code == 3
    assert "card-request takes ES256" in wrong.output


def test_rotate_without_a_use_follows_what_it_may_and_says_what_it_left(office: Office) -> None:
    done = office.keys("rotate", "--json")
    assert done.exit_code == 0, done.output
    followed = {row["use"] for row in json.loads(done.stdout)}
    left = {line.split()[5] for line in done.stderr.splitlines() if line.startswith("left as it is: --use ")}
    assert left == {"card-request", "mandate-seal", "mandate-status", "register-log"}
    assert followed == {use.value for use in KeyUse} - left
    assert {row["use"] for row in office.shown() if row["state"] == "waiting"} == followed
    assert office.keys("rotate", "--use", "receipt").stderr == ""


def test_request_keys_follow_with_the_agent_root_and_not_without(office: Office) -> None:
    refused = office.keys("rotate", "--use", "all")
    assert refused.exit_code == 3
    assert "agent-root" in refused.output
    assert office.keys("rotate", "--use", "all", "--agent-root", office.root[1]).exit_code == 2
    assert {row["state"] for row in office.shown()} == {"current"}  # nothing was half done
    done = office.keys("rotate", "--use", "all", *office.root)
    assert done.exit_code == 0, done.output
    assert {row["use"] for row in office.shown() if row["state"] == "waiting"} == {use.value for use in KeyUse}
    renewed = office.keys("renew-statement", *office.root)
    assert (renewed.exit_code, renewed.output) == (0, "statement 3 made\n")


def test_keys_are_made_in_a_token_where_the_setting_names_one(office: Office, tmp_path: Path) -> None:
    nowhere = Office(tmp_path / "keys")
    assert "needs a token" in nowhere.keys("create", "--pkcs11", *nowhere.root).output
    (tmp_path / "hsm").mkdir()
    with_token = Office(tmp_path / "hsm", new_token())
    made = with_token.keys("create", "--pkcs11", "--algorithm", "RS256", *with_token.root)
    assert made.exit_code == 0, made.output
    assert {(row["use"], row["place"]) for row in with_token.shown()} == {
        ("id-token", "token"),
        ("access-token", "token"),
        ("card-request", "token"),
        ("receipt", "token"),
        ("request-encryption", "file"),
        ("mandate-seal", "token"),
        ("mandate-status", "token"),
        ("register-log", "token"),
    }
    assert office.keys("rotate", "--use", "id-token", "--pkcs11").exit_code == 3
