"""Where the test door stays shut: in production, and beside any anchor of real cards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from broker.app import mount
from broker.errors import SettingsError
from broker.settings import read
from broker.web import WebSettings
from sandbox import approver, door
from sandbox.broker import DOOR_CARDS, BrokerHouse, open_ports, set_up
from sandbox.generate import World


@pytest.fixture
def house(world: World, tmp_path: Path) -> BrokerHouse:
    for name in ("ca", "cards"):
        (tmp_path / name).symlink_to(world.root / name)
    return BrokerHouse(root=tmp_path, issuer="http://localhost:8000", agent_origins=("http://127.0.0.1:24780",), port=1)


def test_the_door_stays_shut_beside_an_anchor_of_real_cards(house: BrokerHouse, world: World) -> None:
    set_up(house, [])
    settings = read({**house.environment(), "BROKER_EMBEDDED_JOBS": "false"})
    ports = open_ports(settings)
    real = world.authorities()["foreign-auth-1"].certificate.public_bytes(Encoding.DER)
    assert "O=JPKI," in f"{x509.load_der_x509_certificate(real).subject.rfc4514_string()},"
    for anchors in ((real,), (*ports.policy.anchors, real)):
        beside = replace(ports, policy=replace(ports.policy, anchors=anchors))
        with pytest.raises(SettingsError, match="test door"):
            mount(settings, beside, trial_door=door.blueprint(world.cards))
    app = mount(settings, ports, trial_door=door.blueprint(world.cards))
    assert [rule.rule for rule in app.url_map.iter_rules() if rule.rule == door.PATH] == [door.PATH]
    without = mount(settings, ports)
    assert not [rule for rule in without.url_map.iter_rules() if rule.rule == door.PATH]


@pytest.mark.parametrize("name", ["BROKER_TRIAL_DOOR", "BROKER_TEST_DOOR", f"BROKER_{DOOR_CARDS}"])
def test_no_setting_of_the_broker_opens_it(house: BrokerHouse, name: str) -> None:
    house.folder.mkdir()
    (house.folder / "passphrase").write_text("a passphrase", encoding="utf-8")
    with pytest.raises(SettingsError, match=f"unknown setting: {name}"):
        read({**house.environment(), name: "true"})
    assert WebSettings(secure=True).trial_door == ""


def test_a_house_without_a_door_names_no_cards(house: BrokerHouse) -> None:
    assert DOOR_CARDS not in house.environment()
    assert replace(house, door=True).environment()[DOOR_CARDS] == str(house.root / "cards")


def test_ciba_is_on_beside_the_door_and_nowhere_else(house: BrokerHouse) -> None:
    set_up(house, [])
    settings = read({**house.environment(), "BROKER_EMBEDDED_JOBS": "false"})
    assert open_ports(settings).policy.approver_channel == ""
    assert open_ports(settings, approves=True).policy.approver_channel == approver.CHANNEL
    with pytest.raises(SettingsError, match="unknown setting"):
        read({**house.environment(), "BROKER_APPROVER_CHANNEL": approver.CHANNEL})
