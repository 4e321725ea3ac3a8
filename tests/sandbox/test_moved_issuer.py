"""The sandbox begins anew under another issuer (another port, https), as often as it likes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from broker.jose import public_jwk
from broker.keys.live import open_keys
from broker.settings import read
from sandbox.broker import BrokerHouse, open_ports, set_up
from sandbox.generate import World

CLIENT = {
    "client_id": "bank",
    "client_name": "Bank",
    "redirect_uris": ["http://127.0.0.2:8001/callback"],
    "jwks": {"keys": [public_jwk(ec.generate_private_key(ec.SECP256R1()))]},
}


def test_keys_and_database_are_made_anew_when_the_issuer_moves(world: World, tmp_path: Path) -> None:
    for name in ("ca", "cards"):
        (tmp_path / name).symlink_to(world.root / name)
    here = BrokerHouse(root=tmp_path, issuer="http://localhost:8000", agent_origins=("http://127.0.0.1:24780",), port=1)
    there = replace(here, issuer="http://localhost:8005")
    roots = [set_up(house, [CLIENT])["agent_root"] for house in (here, here, there, here)]
    assert roots[0] == roots[1]
    assert len({str(root) for root in roots}) == 3
    settings = read(here.environment())
    assert open_keys(settings.key_directory, settings.key_passphrase).issuer == here.issuer
    with open_ports(settings).store.transaction() as tx:
        assert [client.client_id for client in tx.clients.all()] == ["bank"]
