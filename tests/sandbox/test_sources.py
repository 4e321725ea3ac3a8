"""The broker's sources against the outside world as served: what the residents' certificates are is told."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from werkzeug.serving import make_server

from broker.app import read_anchors
from broker.jpki.certificate import TrustedCertificate
from broker.jpki.path import validate_path
from broker.jpki.profile import USER_AUTHENTICATION
from broker.jpki.verdict import RevocationStatus
from broker.network.configuration import RevocationPolicy, read_sources
from broker.network.ocsp import OCSPSource
from broker.network.outbound import OutboundGuard
from sandbox.ca import AIA_OCSP
from sandbox.generate import World
from sandbox.world import create_world
from tests.sandbox.conftest import leaf


def now() -> datetime:
    return datetime.now(UTC)  # the stand-in's responses carry producedAt by the machine's clock


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
