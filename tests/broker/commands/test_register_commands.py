"""`broker register` as its operator uses it: which key officers write down, witnessing at once, and a static copy."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from broker.__main__ import main
from broker.app import read_register
from broker.audit.leaf import Happening, Leaf
from broker.audit.note import ED25519, read_key
from broker.errors import SettingsError
from broker.flows.register import append, origin_at, witness_all
from broker.network.outbound import OutboundGuard
from broker.settings import read
from sandbox.broker import BrokerHouse, open_ports, set_up
from sandbox.generate import generate
from tests.registerhouse import Neighbours, register_of


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> BrokerHouse:
    root = tmp_path_factory.mktemp("sandbox")
    generate(root, datetime.now(UTC))
    house = BrokerHouse(root=root, issuer="http://localhost:8000", agent_origins=("http://127.0.0.1:24780",), port=8000)
    set_up(house, [])
    return house


def register(house: BrokerHouse, *words: object) -> Result:
    return CliRunner().invoke(main, ["register", *map(str, words)], env=house.environment())


def test_an_operator_publishes_copies_and_watches_his_own_log(house: BrokerHouse, tmp_path: Path) -> None:
    ports = replace(open_ports(read(house.environment())), register=register_of(Neighbours()))
    origin = origin_at(house.issuer, ports.clock())
    assert register(house, "export", tmp_path / "log").exit_code == 1  # nothing is published
    sizes = []
    for count in (3, 300):
        with ports.store.transaction() as tx:
            leaves = [Leaf(event=Happening.ISSUE, commit=n.to_bytes(32, "big"), at=ports.clock()) for n in range(count)]
            append(tx, ports.keys, origin=origin, leaves=leaves)
        assert witness_all(ports)["published"] == 1
        shown = json.loads(register(house, "show", "--json").output)
        assert (shown["origin"], shown["size"]) == (origin, shown["published"])
        assert read_key(shown["key"], type=ED25519).name == origin
        assert register(house, "export", tmp_path / "log").exit_code == 0
        policy, state = tmp_path / "policy", tmp_path / "state"
        told = register(house, "show").output.splitlines()[0]
        policy.write_text(f"{told}\nquorum none\n")
        watched = register(house, "monitor", tmp_path / "log", "--policy", policy, "--state", state, "--json")
        assert watched.exit_code == 0, watched.output
        sizes.append(json.loads(watched.output)["size"])
    assert sizes == [3, 303]
    assert json.loads(register(house, "witness").output) == {"published": 0, "waiting": 0, "contradicted": 0}


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("quorum none", "proves nothing"),
        ("quorum", "line 1"),
        (f"witness w {'w+6f9ee5fe+BAAA'} https://w.example\nquorum w", "line 1"),
    ],
)
def test_a_production_register_wants_a_quorum_that_proves_something(
    house: BrokerHouse, tmp_path: Path, policy: str, said: str
) -> None:
    path = tmp_path / "policy"
    path.write_text(policy)
    settings = read({**house.environment(), "BROKER_REGISTER_POLICY": str(path)})
    with pytest.raises(SettingsError, match=said):
        read_register(settings, OutboundGuard())
    assert read_register(read(house.environment()), OutboundGuard()) is None
