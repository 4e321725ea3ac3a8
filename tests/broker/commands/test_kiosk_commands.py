"""`broker kiosk`: operators enrol terminals that everybody uses, see them, and stop them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from broker.__main__ import main
from cardreader.agent.device import device_key
from sandbox.broker import BrokerHouse, set_up
from sandbox.generate import generate


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> BrokerHouse:
    root: Path = tmp_path_factory.mktemp("sandbox")
    generate(root, datetime.now(UTC))
    house = BrokerHouse(root=root, issuer="http://localhost:8000", agent_origins=("http://127.0.0.1:24780",), port=8000)
    set_up(house, [])
    return house


def run(house: BrokerHouse, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["kiosk", *arguments], env=house.environment())


def enrol(house: BrokerHouse, folder: Path, *more: str) -> Result:
    key = folder / "key.json"
    key.write_text(json.dumps(device_key(folder).public), encoding="utf-8")
    return run(house, "enrol", "--name", "駅前", "--key", str(key), "--start-url", "https://clinic.example/", *more)


def test_a_kiosk_is_enrolled_listed_and_stopped(house: BrokerHouse, tmp_path: Path) -> None:
    made = enrol(house, tmp_path, "--allow", "link", "--allow", "proof")
    assert made.exit_code == 0, made.output
    told = json.loads(made.output)
    assert told["agent_start_url"] == f"http://localhost:8000/kiosk/{told['kiosk_id']}"
    listed = {row["kiosk_id"]: row for row in json.loads(run(house, "list", "--json").output)}
    assert listed[told["kiosk_id"]]["allows"] == "link proof"
    assert listed[told["kiosk_id"]]["stopped_at"] is None
    assert told["kiosk_id"] in run(house, "list").output
    again = enrol(house, tmp_path)
    assert (again.exit_code, "another kiosk" in again.output) == (1, True)
    stopped = run(house, "stop", told["kiosk_id"])
    assert (stopped.exit_code, stopped.output) == (0, "stopped; 0 sessions ended\n")
    assert run(house, "stop", told["kiosk_id"]).exit_code == 1
    listed = {row["kiosk_id"]: row for row in json.loads(run(house, "list", "--json").output)}
    assert listed[told["kiosk_id"]]["stopped_at"] is not None


@pytest.mark.parametrize("content", ["", "[]", "{", "{}", "x" * 5000])
def test_a_file_that_is_no_key_is_refused(house: BrokerHouse, tmp_path: Path, content: str) -> None:
    key = tmp_path / "key.json"
    key.write_text(content, encoding="utf-8")
    refused = run(house, "enrol", "--name", "駅前", "--key", str(key), "--start-url", "https://clinic.example/")
    assert refused.exit_code == 1
    assert refused.output.startswith("broker: ")
