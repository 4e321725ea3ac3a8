"""The sample that has a document signed does so at a running broker, and openssl accepts what it files."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bench.servers import Servers, running
from broker.__main__ import main
from tests.broker.pades.paper import paper
from tests.samples.sample import SAMPLES, Sample

TEXT = SAMPLES / "signing" / "contract.txt"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return Sample("signing/sign_documents.py", "127.0.0.5", tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def servers(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with running(tmp_path_factory.mktemp("samples"), workers=1, registrations=[sample.registration()]) as up:
        yield up


def evidence(sample: Sample, document: Path) -> int:
    receipt, keys = sample.state / "receipt.jwt", sample.state / "receipt-keys.json"
    words = ["evidence", "verify", str(receipt), "--keys", str(keys), "--document", str(document)]
    return CliRunner().invoke(main, words).exit_code


def anchors(servers: Servers, folder: Path) -> list[Path]:
    """Each 署名用 authority in a file of its own: of the generations under one name openssl tries the first."""
    files = []
    for number, der in enumerate(x509.load_pem_x509_certificates(servers.world.sign_anchors.read_bytes())):
        files.append(folder / f"ca-{number}.pem")
        files[-1].write_bytes(der.public_bytes(Encoding.PEM))
    return files


def openssl_accepts(signature: str, document: Path, authority: Path) -> bool:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("missing: openssl")
    command = [openssl, "cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", signature]
    command += ["-content", str(document), "-CAfile", str(authority), "-purpose", "any", "-out", "/dev/null"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_text_is_signed_and_judged_by_openssl(sample: Sample, servers: Servers, tmp_path: Path) -> None:
    status, told = sample.run(servers, "hanako", str(TEXT))
    assert status == 0, told
    filed = json.loads(told)
    assert filed["format"] == "cades"
    said = sample.checked_receipt()
    assert (said["kind"], said["sub"], said["signed"]["documents"][0]["form"]) == ("sign", filed["signer"], "cades")
    other = tmp_path / "other.txt"
    other.write_bytes(TEXT.read_bytes() + b".")
    assert (evidence(sample, TEXT), evidence(sample, other)) == (0, 12)
    authorities = anchors(servers, tmp_path)
    for document, accepted in ((TEXT, True), (other, False)):
        assert any(openssl_accepts(filed["file"], document, authority) for authority in authorities) is accepted


def test_a_pdf_comes_back_as_a_signed_pdf(sample: Sample, servers: Servers, tmp_path: Path) -> None:
    document = tmp_path / "契約書.pdf"
    document.write_bytes(paper())
    status, told = sample.run(servers, "taro", str(document))
    assert status == 0, told
    filed = json.loads(told)
    assert filed["format"] == "pades"
    assert Path(filed["file"]).read_bytes().startswith(paper())
    assert evidence(sample, document) == 0
