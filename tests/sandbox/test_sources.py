"""The broker's sources against the outside world as served: what the residents' certificates are is told."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from werkzeug.serving import make_server

from broker.accounts.lifecycle import CertificateName
from broker.app import read_anchors
from broker.errors import SettingsError
from broker.flows.ports import Ports
from broker.flows.revocation_ports import Evidence
from broker.jpki.certificate import TrustedCertificate
from broker.jpki.path import validate_path
from broker.jpki.profile import USER_AUTHENTICATION
from broker.jpki.verdict import RevocationStatus
from broker.network import ocsp
from broker.network.configuration import RevocationPolicy, read_sources
from broker.network.crl import REFRESH_AFTER
from broker.network.ocsp import OCSPSource
from broker.network.outbound import OutboundGuard
from broker.settings import read
from sandbox import broker as door
from sandbox.broker import BrokerHouse, open_ports, set_up
from sandbox.ca import AIA_OCSP
from sandbox.generate import World
from sandbox.world import create_world
from sandbox.world.platform import TOKEN
from sandbox.world.registry import Registry
from tests.sandbox.conftest import leaf


def now() -> datetime:
    return datetime.now(UTC)  # the stand-in's responses carry producedAt by the machine's clock


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine's responder is late, not silent."""
    monkeypatch.setattr(ocsp, "SECONDS", 60.0)


@pytest.fixture
def address(own_world: World) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, create_world(own_world.root, None, clock=now), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def trusted(world: World, anchors: tuple[bytes, ...], resident: str) -> TrustedCertificate:
    certificate = leaf(world, resident)
    return validate_path(certificate.public_bytes(Encoding.DER), anchors=anchors, at=now(), profile=USER_AUTHENTICATION)


def test_the_configured_responder_is_asked_and_the_certificates_own_address_never(
    own_world: World, address: str
) -> None:
    anchors = read_anchors(own_world.root / "ca" / "anchors.pem")
    hashes = sorted({row["issuer_key_hash"] for row in json.loads(own_world.crl_sources.read_bytes())})
    rows = [{"type": "ocsp", "issuer_key_hash": each, "url": f"{address}/ocsp/auth"} for each in hashes]
    path = own_world.root / "sources.json"
    path.write_text(json.dumps({"policy": "ocsp", "source": rows}))
    resolved: list[str] = []

    def resolver(host: str, _port: int) -> list[str]:
        resolved.append(host)
        return []

    guard = OutboundGuard(allow_loopback_http=True, resolve=resolver)
    sources = read_sources(path, guard, anchors=anchors)
    assert sources.policy is RevocationPolicy.OCSP
    assert len(sources.responders) == len(anchors)
    source = OCSPSource(sources.responders, guard, now, os.urandom)
    states = {
        name: source.judge(trusted(own_world, anchors, name), at=now(), max_age=timedelta(hours=30)).verdict.status
        for name in ("hanako", "taro", "shikko")  # the last two have one serial, under two generations
    }
    assert states == {
        "hanako": RevocationStatus.GOOD,
        "taro": RevocationStatus.GOOD,
        "shikko": RevocationStatus.REVOKED,
    }
    trap = leaf(own_world, "hanako").extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert [each.access_location.value for each in trap] == [AIA_OCSP]
    assert not resolved


def broker(
    world: World, address: str, *, policy: str, responder: str = "/ocsp/auth", mapping: str = "", **platform: bool
) -> Ports:
    """The sandbox's broker over a file of sources that names every kind the world answers for."""
    house = BrokerHouse(
        root=world.root, issuer="http://localhost:8000", agent_origins=("http://127.0.0.1:24780",), port=8000
    )
    given = {"BROKER_CORRESPONDENCE_URL": mapping}
    set_up(house, [])
    rows: list[dict[str, str | bool]] = json.loads(world.crl_sources.read_bytes())
    rows = [row | {"url": address + urlsplit(str(row["url"])).path} for row in rows]
    for kind in ("auth", "phone-auth", "sign"):
        hashes = {row["issuer_key_hash"] for row in rows if f"/crl/{kind}/" in str(row["url"])}
        url = address + responder.replace("/auth", f"/{kind}")
        rows += [{"type": "ocsp", "issuer_key_hash": each, "url": url} for each in sorted(hashes)]
    rows.append({"type": "platform", "url": f"{address}/platform", "token_file": "token", **platform})
    (world.root / "token").write_text(TOKEN)
    path = world.root / "sources.json"
    path.write_text(json.dumps({"policy": policy, "source": rows}))
    return open_ports(read(house.environment() | {"BROKER_CRL_SOURCES": str(path)} | given))


def test_what_the_office_enters_takes_effect_in_seconds_here_and_at_the_next_list_in_production(
    own_world: World, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert timedelta(seconds=5) >= door.REFRESH_AFTER
    assert timedelta(hours=1) == REFRESH_AFTER
    monkeypatch.setattr(door, "REFRESH_AFTER", timedelta())  # no test waits for a clock
    here = broker(own_world, address, policy="crl")
    monkeypatch.setattr(door, "REFRESH_AFTER", REFRESH_AFTER)
    as_production = broker(own_world, address, policy="crl")
    for ports in (as_production, here):
        assert judged(own_world, ports, "hanako").verdict.status is RevocationStatus.GOOD
    Registry(own_world.root).revoke("hanako", now=now())
    assert judged(own_world, as_production, "hanako").verdict.status is RevocationStatus.GOOD
    assert judged(own_world, here, "hanako").verdict.status is RevocationStatus.REVOKED


def test_an_operator_tells_of_revocations_and_of_renewals_where_its_source_says_so(
    own_world: World, address: str
) -> None:
    silent = broker(own_world, address, policy="platform")
    assert (silent.notices, silent.correspondence) == (None, None)
    ports = broker(own_world, address, policy="platform", notices=True, replacements=True)
    assert ports.notices is not None
    assert ports.correspondence is not None
    name = ports.notices.register(trusted(own_world, ports.policy.anchors, "hanako"))
    Registry(own_world.root).revoke("hanako", now=now())
    assert [notice.registration for notice in ports.notices.notices(after=0)] == [name]
    koshin = trusted(own_world, ports.policy.anchors, "koshin")
    old = ports.correspondence.predecessor(
        CertificateName(issuer_key_hash=koshin.issuer_key_hash, serial=koshin.serial)
    )
    assert old is not None
    assert old.serial == leaf(own_world, "koshinold").serial_number
    assert ports.correspondence.predecessor(old) is None
    with pytest.raises(SettingsError, match="correspondence_url"):
        broker(own_world, address, policy="crl", mapping="http://127.0.0.1:1/mapping", replacements=True)


def judged(world: World, ports: Ports, resident: str) -> Evidence:
    certificate = trusted(world, ports.policy.anchors, resident)
    return ports.revocation.judge(certificate, at=now(), max_age=ports.policy.crl_max_age)


@pytest.mark.parametrize(
    ("policy", "source", "where"),
    [
        ("crl", "crl", "/crl/auth/"),
        ("ocsp", "ocsp", "/ocsp/auth"),
        ("ocsp-then-crl", "ocsp", "/ocsp/auth"),
        ("platform", "platform", "/platform"),
    ],
)
def test_a_broker_of_each_policy_tells_the_living_from_the_revoked(
    own_world: World, address: str, policy: str, source: str, where: str
) -> None:
    ports = broker(own_world, address, policy=policy)
    for resident, expected in (("taro", RevocationStatus.GOOD), ("shikko", RevocationStatus.REVOKED)):
        evidence = judged(own_world, ports, resident)
        assert (evidence.verdict.status, evidence.verdict.source) == (expected, source), evidence.verdict.reason
        assert where in evidence.address


def test_where_the_responder_is_silent_the_list_decides_or_nothing_does(own_world: World, address: str) -> None:
    both = broker(own_world, address, policy="ocsp-then-crl", responder="/nowhere")
    assert judged(own_world, both, "taro").verdict.source == "crl"
    assert judged(own_world, both, "shikko").verdict.status is RevocationStatus.REVOKED
    alone = broker(own_world, address, policy="ocsp", responder="/nowhere")
    assert judged(own_world, alone, "taro").verdict.status is RevocationStatus.UNKNOWN
