"""The sandbox's broker seals a record: key, certificate, lists and time stamp by way of real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from werkzeug.serving import make_server

from broker.__main__ import main
from broker.delegation.rendering import FONTS
from broker.delegation.verification import verify_document
from broker.errors import SealFailed, SettingsError
from broker.flows.ports import Ports
from broker.flows.sealed_documents import print_record, proved_until, seal_printed, template_hash
from broker.network.outbound import OutboundGuard
from broker.network.seal import read_seal
from broker.settings import read
from sandbox.broker import BrokerHouse, open_ports, set_up
from sandbox.generate import World
from sandbox.world.app import create_world

RECORD = json.dumps(
    {"v": 1, "type": "poa.business", "issued_at": "2026-11-20T12:00:00+09:00", "name": "山田花子"}, ensure_ascii=False
).encode()


@pytest.fixture
def address(own_world: World, catalogues: None) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, create_world(own_world.root, None), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ports(own_world: World, address: str) -> Ports:
    if not all(font.exists() for font in FONTS):
        pytest.skip("missing: fonts-ipaexfont-gothic, fonts-ipamj-mincho")
    house = BrokerHouse(
        root=own_world.root,
        issuer="http://localhost:8000",
        agent_origins=("http://127.0.0.1:24780",),
        port=8000,
        world=address,
    )
    set_up(house, [])
    return open_ports(read(house.environment()))


def anchors(world: World) -> list[bytes]:
    return [
        each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(world.seal_anchors.read_bytes())
    ]


def test_a_record_is_printed_and_sealed(own_world: World, ports: Ports) -> None:
    unsigned = print_record(RECORD, ports=ports)
    sealed = seal_printed(unsigned, ports=ports)
    now = datetime.now(UTC)
    verdict = verify_document(sealed, anchors=anchors(own_world), at=now)
    assert verdict.reasons == ()
    assert verdict.record == RECORD
    assert verdict.sealed_at is not None
    assert abs(verdict.sealed_at - now) < timedelta(minutes=1)
    three_years_on = verify_document(sealed, anchors=anchors(own_world), at=now + timedelta(days=3 * 365))
    assert three_years_on.accepted
    assert len(template_hash(ports=ports)) == 64


def test_the_archive_lists_what_ends_when_and_stamps_a_copy(
    ports: Ports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.commands.delegation.configured", lambda: ports)  # these may speak to the loopback
    sealed = seal_printed(print_record(RECORD, ports=ports), ports=ports)
    (tmp_path / "poa.pdf").write_bytes(sealed)
    (tmp_path / "odd.pdf").write_bytes(sealed[:-100])
    (tmp_path / "kept").mkdir()
    command = ["delegation", "archive", str(tmp_path / "odd.pdf"), str(tmp_path / "poa.pdf")]
    listed = CliRunner().invoke(main, command)
    assert listed.exit_code == 1
    assert "odd.pdf: it does not verify" in listed.stderr
    until = datetime.fromisoformat(listed.stdout.split("\t")[0])
    assert until == proved_until(sealed, ports=ports) > datetime.now(UTC) + timedelta(days=365)
    assert not list((tmp_path / "kept").iterdir())
    stamped = CliRunner().invoke(main, [*command[:2], command[3], "--within", "99999", "--out", str(tmp_path / "kept")])
    assert stamped.exit_code == 0, stamped.output
    copy = (tmp_path / "kept" / "poa.pdf").read_bytes()
    assert copy.startswith(sealed)
    assert len(copy) > len(sealed)
    assert proved_until(copy, ports=ports) == until  # the same authority has stamped it
    again = CliRunner().invoke(main, [*command[:2], command[3], "--within", "99999", "--out", str(tmp_path / "kept")])
    assert again.exit_code == 1  # what is there is not written over
    assert (tmp_path / "kept" / "poa.pdf").read_bytes() == copy
    assert (tmp_path / "poa.pdf").read_bytes() == sealed


def test_without_the_time_stamp_authority_nothing_is_sealed(own_world: World, ports: Ports) -> None:
    path = own_world.root / "broker" / "seal.toml"
    path.write_text(path.read_text().replace("/tsa", "/no-tsa"))
    elsewhere = read_seal(path, OutboundGuard(allow_loopback_http=True), ports.clock)
    with pytest.raises(SealFailed, match="cannot be had"):
        seal_printed(print_record(RECORD, ports=ports), ports=replace(ports, seal=elsewhere))


def test_without_a_seal_set_up_nothing_is_sealed(ports: Ports) -> None:
    with pytest.raises(SealFailed, match="no seal"):
        print_record(RECORD, ports=replace(ports, seal=None))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "missing"),
        ("]", "TOML"),
        ('certificates = "a"\nanchors = "b"\nlists = []\ntime_stamp_authority = "c"\nmore = 1', "more"),
        ('certificates = 1\nanchors = "b"\nlists = []\ntime_stamp_authority = "c"', "certificates"),
        ('certificates = "none.pem"\nanchors = "b"\nlists = []\ntime_stamp_authority = "c"', "none.pem"),
        ('certificates = "seal.toml"\nanchors = "b"\nlists = []\ntime_stamp_authority = "c"', "not PEM"),
        ('certificates = "a"\nanchors = "b"\nlists = "c"\ntime_stamp_authority = "c"', "lists"),
        ('certificates = "a"\nanchors = "b"\nlists = []\ntime_stamp_authority = 1', "time_stamp_authority"),
    ],
)
def test_an_odd_file_of_the_seal_stops_the_start(tmp_path: Path, text: str, wrong: str) -> None:
    path = tmp_path / "seal.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=wrong):
        read_seal(path, OutboundGuard(), lambda: datetime.now(UTC))
