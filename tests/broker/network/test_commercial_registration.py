"""The registrar's list, from a server on this machine: fetched, kept a while, and never believed past its age."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from broker.app import read_registrar
from broker.errors import CertificateRevoked, CertificateUntrusted, RevocationUnknown, SettingsError
from broker.jpki.corporation import registered
from broker.network import commercial_registration as network
from broker.network.outbound import OutboundGuard
from broker.settings import read
from sandbox.registrar import Corporation, Registrar, establish
from tests.broker.test_settings import GOOD

pytest.importorskip("pyhanko_certvalidator", reason="missing: pyhanko-certvalidator")
NOON = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
GUARD = OutboundGuard(allow_loopback_http=True, total_seconds=2.0)
COMPANY = Corporation(
    name="株式会社見本", corporate_number="8490101999999", address="愛知県", representative="見本太郎"
)


class House:
    """The registrar, its list on a server, and a clock."""

    def __init__(self) -> None:
        root_key, self.key = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
        self.registrar: Registrar = establish(root_key, today=NOON.date())
        self.now, self.list, self.asked = NOON, self.registrar.crl(now=NOON), 0
        house = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                house.asked += 1
                self.send_response(200 if house.list else 503)
                self.send_header("Content-Length", str(len(house.list)))
                self.end_headers()
                self.wfile.write(house.list)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/registrar.crl"

    def source(self) -> network.Registrar:
        return network.Registrar(
            anchors=(self.registrar.der,),
            lists=(self.url,),
            max_age=timedelta(hours=30),
            guard=GUARD,
            clock=lambda: self.now,
        )


@pytest.fixture(scope="module")
def running() -> Iterator[House]:
    house = House()
    thread = threading.Thread(target=house.server.serve_forever)
    thread.start()
    yield house
    house.server.shutdown()
    thread.join()
    house.server.server_close()


def test_a_corporations_certificate_is_proved_by_a_list_that_is_fetched_and_kept(running: House) -> None:
    leaf = running.registrar.issue(COMPANY, running.key.public_key(), today=NOON.date())
    der, source = leaf.public_bytes(Encoding.DER), running.source()
    for _ in range(2):
        proved = source.judge(der, others=(running.registrar.der,), at=NOON)
    assert proved.certificate.profile == "COMMERCIAL_REGISTRATION"
    assert running.asked == 1
    stated = registered(der)
    assert stated is not None
    assert (stated.name, stated.representative) == (COMPANY.name, COMPANY.representative)
    assert stated.is_number(COMPANY.corporate_number)
    assert not stated.is_number("1" + COMPANY.corporate_number[1:-1] + "3")
    running.list = running.registrar.crl([leaf.serial_number], now=NOON)
    running.now = NOON + network.KEPT
    with pytest.raises(CertificateRevoked):
        source.judge(der, others=(), at=NOON)


def test_without_a_list_or_with_an_old_one_nothing_is_proved(running: House) -> None:
    running.now = NOON
    der = running.registrar.issue(COMPANY, running.key.public_key(), today=NOON.date()).public_bytes(Encoding.DER)
    running.list = b""
    with pytest.raises(RevocationUnknown):
        running.source().judge(der, others=(), at=NOON)
    running.list = running.registrar.crl(now=NOON - timedelta(days=3))
    with pytest.raises((RevocationUnknown, CertificateUntrusted)):
        running.source().judge(der, others=(), at=NOON)


def test_settings_that_do_not_fit_stop_the_start(running: House, tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(running.registrar.certificate.public_bytes(Encoding.PEM))
    settings = replace(
        read(GOOD),
        commercial_registration_anchors=str(roots),
        commercial_registration_lists=("https://r.example/c.crl",),
    )
    found = read_registrar(settings, OutboundGuard())
    assert found is not None
    assert found.anchors == (running.registrar.der,)
    assert read_registrar(replace(settings, commercial_registration_lists=()), OutboundGuard()) is None
    for changed in (
        {"commercial_registration_anchors": ""},
        {"commercial_registration_lists": ("http://r.example/c.crl",)},
        {"commercial_registration_lists": ("https://r.example/c.crl",) * 13},
        {"commercial_registration_anchors": str(tmp_path / "absent.pem")},
    ):
        with pytest.raises(SettingsError, match="commercial_registration"):
            read_registrar(replace(settings, **changed), OutboundGuard())  # type: ignore[arg-type]  # one of each kind
