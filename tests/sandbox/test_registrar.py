"""The sandbox's broker believes the sandbox's registrar, by way of the launcher's settings and real HTTP."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from werkzeug.serving import make_server

from broker.delegation import corporate_number
from broker.errors import CertificateError, RevocationUnknown
from broker.flows.ports import Ports
from broker.jpki import corporation, detached
from broker.settings import read
from sandbox import registrar
from sandbox.broker import BrokerHouse, open_ports, set_up
from sandbox.generate import World
from sandbox.residents import RESIDENTS_FILE, Resident, load_residents
from sandbox.trouble import Trouble, write_trouble
from sandbox.world.app import create_world

pytest.importorskip("pyhanko_certvalidator", reason="missing: pyhanko-certvalidator")


@pytest.fixture
def ports(own_world: World, catalogues: None) -> Iterator[Ports]:
    server = make_server("127.0.0.1", 0, create_world(own_world.root, None), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    house = BrokerHouse(
        root=own_world.root,
        issuer="http://localhost:8000",
        agent_origins=("http://127.0.0.1:24780",),
        port=8000,
        world=f"http://127.0.0.1:{server.server_port}",
    )
    set_up(house, [])
    yield open_ports(read(house.environment()))
    server.shutdown()
    thread.join()
    server.server_close()


def representative() -> Resident:
    (found,) = (each for each in load_residents(RESIDENTS_FILE.read_bytes()).residents if each.company_number)
    return found


def signed(world: World, name: str, data: bytes, folder: Path) -> bytes:
    """As docs/mandates.md says."""
    if shutil.which("openssl") is None:
        pytest.skip("missing: openssl (Debian package openssl)")
    (folder / "grant.json").write_bytes(data)
    command = ["openssl", "cms", "-sign", "-cades", "-binary", "-md", "sha256", "-in", "grant.json"]
    command += ["-signer", str(world.corporations / f"{name}.cert.pem")]
    command += ["-inkey", str(world.corporations / f"{name}.key.pem"), "-outform", "DER", "-out", "grant.p7s"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=30)
    return (folder / "grant.p7s").read_bytes()


def test_a_representative_signs_with_the_files_of_the_sandbox_and_the_broker_believes_it(
    own_world: World, ports: Ports, tmp_path: Path
) -> None:
    who = representative()
    found = detached.verify(signed(own_world, who.name, b"{}", tmp_path), b"{}")
    assert ports.corporations is not None, "the page of a draft offers it"
    proved = ports.corporations.judge(found.certificate, others=found.others, at=ports.clock())
    assert proved.certificate.der == found.certificate
    stated = corporation.registered(found.certificate)
    assert stated is not None
    assert who.company_number is not None
    assert stated.is_number(who.company_number)
    corporate_number.check(who.company_number)
    assert (stated.name, stated.representative, stated.title) == (who.company, who.label, who.company_role)


def test_without_the_list_nothing_is_believed_and_another_root_never_is(own_world: World, ports: Ports) -> None:
    assert ports.corporations is not None
    who = representative()
    path = own_world.corporations / f"{who.name}.cert.pem"
    der = x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
    write_trouble(own_world.root, Trouble(crl="unavailable"))
    with pytest.raises(RevocationUnknown):
        ports.corporations.judge(der, others=(), at=ports.clock())
    write_trouble(own_world.root, Trouble())
    here = registrar.load(own_world.root / "ca")
    key, today = here.private_key, ports.clock().date()
    other = registrar.establish(own_world.authorities()["auth-1"].private_key, today=today)
    forged = other.issue(registrar.corporation_of(who), key.public_key(), today=today).public_bytes(Encoding.DER)
    with pytest.raises(CertificateError):
        ports.corporations.judge(forged, others=(other.der,), at=ports.clock())
    assert ports.corporations.judge(der, others=(), at=ports.clock() + timedelta(minutes=1))


def test_a_company_is_registered_whole_or_not_at_all() -> None:
    who = representative()
    with pytest.raises(ValueError, match="registered company"):
        replace(who, company_address=None)
    with pytest.raises(ValueError, match="no registered company"):
        registrar.corporation_of(replace(who, company_number=None))
