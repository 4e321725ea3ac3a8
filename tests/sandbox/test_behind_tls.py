"""What the sandbox's broker is told when it stands behind its front, and what of that it refuses."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from broker.errors import SettingsError
from broker.settings import read
from sandbox.broker import OUTBOUND_CA, BehindTLS, BrokerHouse, mtls_paths, open_ports, set_up
from sandbox.generate import World
from sandbox.tls import provide
from sandbox.tlsfront import HEADER

ISSUER = "https://localhost:8443"


@pytest.fixture
def house(world: World, tmp_path: Path) -> BrokerHouse:
    for name in ("ca", "cards"):
        (tmp_path / name).symlink_to(world.root / name)
    files = provide(tmp_path / "tls", datetime.now(UTC))
    files.also_trust(())
    made = BrokerHouse(
        root=tmp_path,
        issuer=ISSUER,
        agent_origins=("http://127.0.0.1:24780",),
        port=1,
        front=BehindTLS(files=files, mtls_origin="https://localhost:8444"),
    )
    set_up(made, [])
    return made


def test_clients_are_vouched_for_by_their_own_authority_and_by_no_other(house: BrokerHouse) -> None:
    assert house.front is not None
    policy = open_ports(read(house.environment())).policy
    authority = x509.load_pem_x509_certificate(house.front.files.client_authority.read_bytes())
    assert policy.client_anchors == (authority.public_bytes(Encoding.DER),)
    assert policy.mtls_origin == "https://localhost:8444"
    assert house.environment()["BROKER_CLIENT_CERTIFICATE_HEADER"] == HEADER
    assert house.environment()[OUTBOUND_CA] == str(house.front.files.outbound)


def test_the_authority_of_residents_cards_vouches_for_no_client(house: BrokerHouse) -> None:
    given = {**house.environment(), "BROKER_CLIENT_CA": str(house.anchors)}
    with pytest.raises(SettingsError, match="client_ca: an authority of residents"):
        open_ports(read(given))


def test_a_client_authority_that_cannot_be_read_stops_the_start(house: BrokerHouse, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", encoding="ascii")
    for path in (broken, tmp_path / "nowhere.pem"):
        with pytest.raises(SettingsError, match="client_ca"):
            open_ports(read({**house.environment(), "BROKER_CLIENT_CA": str(path)}))


def test_over_http_nothing_of_it_is_told(house: BrokerHouse) -> None:
    plain = replace(house, front=None).environment()
    names = ("BROKER_CLIENT_CERTIFICATE_HEADER", "BROKER_CLIENT_CA", "BROKER_MTLS_ORIGIN", OUTBOUND_CA)
    assert not set(names) & set(plain)


def test_certificates_are_asked_for_at_endpoints_for_programs_alone() -> None:
    paths = mtls_paths(ISSUER)
    assert {"/token", "/par", "/userinfo", "/introspect", "/revoke", "/backchannel_authentication"} <= set(paths)
    assert not {"/authorize", "/logout", "/register", "/jwks"} & set(paths)
