"""`broker delegation verify --principal-anchors`: a principal's own signature, read at a desk without a network."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from broker.__main__ import main
from broker.delegation import bundle as bundles
from broker.delegation import grant_document as grants
from broker.delegation import record as records
from broker.delegation.grant import Method
from broker.delegation.record import Evidence, Proof
from sandbox import registrar
from sandbox.registrar import Corporation, Registrar
from tests.broker.delegation.officer import DAY, HELD, Operator
from tests.broker.delegation.workshop import AT

pytest.importorskip("typst", reason="missing: typst")
PRINCIPAL = HELD.principal
COMPANY = Corporation(
    name=PRINCIPAL.name,
    corporate_number=PRINCIPAL.corporate_number,
    address=PRINCIPAL.address,
    representative=PRINCIPAL.representative,
)
ASKED = ("--as-of", DAY.isoformat(), "--act", "bid", "--entity", "mlit-01")
Verify = Callable[..., Result]


def signed(data: bytes, issuer: Registrar, folder: Path) -> bytes:
    """The corporation's own tool at work."""
    if shutil.which("openssl") is None:
        pytest.skip("missing: openssl (Debian package openssl)")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    registrar.hand_out(folder, "desk", issuer.issue(COMPANY, key.public_key(), today=AT.date()), key)
    (folder / "grant.json").write_bytes(data)
    command = ["openssl", "cms", "-sign", "-cades", "-binary", "-md", "sha256", "-in", "grant.json"]
    command += ["-signer", "desk.cert.pem", "-inkey", "desk.key.pem", "-outform", "DER", "-out", "grant.p7s"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=30)
    return (folder / "grant.p7s").read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A power of 委任者記録ファイル方式 as it comes to a desk, what the officer trusts, and a stranger's root."""
    desk = tmp_path_factory.mktemp("desk")
    keys = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
    issuer, stranger = (registrar.establish(key, today=AT.date()) for key in keys)
    operator = Operator(tmp_path_factory.mktemp("operator"))
    grant = grants.write(replace(HELD, method=Method.PRINCIPAL_FILE))
    signature = signed(grant, issuer, desk)
    shows = Evidence(shows=Proof.PRINCIPAL_SIGNATURE, sha256=hashlib.sha256(signature).hexdigest(), at=HELD.begins)
    plain = records.read(operator.record(HELD, 4711))
    record = replace(
        plain, grant_bytes=grant, grant=grants.read(grant), signature=signature, evidence=(*plain.evidence, shows)
    )
    papers = operator.issue_record(records.write(record))
    seen = operator.epoch(at=DAY - timedelta(minutes=1))
    (desk / "poa.zip").write_bytes(bundles.write(operator.bundle(papers, epochs=(seen,))))
    (desk / "anchors.pem").write_bytes(
        b"".join(x509.load_der_x509_certificate(each).public_bytes(Encoding.PEM) for each in operator.workshop.anchors)
    )
    (desk / "log.policy").write_bytes(operator.policy_lines)
    (desk / "status.jwks").write_text(json.dumps({"keys": [operator.status_jwk]}))
    (desk / "root.pem").write_bytes(issuer.certificate.public_bytes(Encoding.PEM))
    (desk / "stranger.pem").write_bytes(stranger.certificate.public_bytes(Encoding.PEM))
    operator.engine.dispose()
    return desk


@pytest.fixture
def verify(folder: Path) -> Verify:
    trusted = {"--anchors": "anchors.pem", "--log-policy": "log.policy", "--status-keys": "status.jwks"}
    trusting = [word for option, name in trusted.items() for word in (option, str(folder / name))]

    def invoke(principals: str, *words: str) -> Result:
        named = ["--principal-anchors", str(folder / principals)] if principals else []
        return CliRunner().invoke(
            main, ["delegation", "verify", str(folder / "poa.zip"), *ASKED, *trusting, *named, *words]
        )

    return invoke


def line_of(done: Result) -> dict[str, str]:
    (line,) = [each for each in json.loads(done.output)["checks"] if each["check"] == "principal"]
    return dict(line)


@pytest.mark.parametrize(
    ("principals", "result", "verdict", "status"),
    [
        ("root.pem", "passed", "valid", 0),
        ("stranger.pem", "failed", "cannot_tell", 14),
        ("", "unknown", "valid", 0),  # seal and register speak; the line says that this was not shown
    ],
)
def test_the_verdict_rests_on_the_authorities_that_were_named(
    verify: Verify, principals: str, result: str, verdict: str, status: int
) -> None:
    done = verify(principals, "--json")
    assert done.exit_code == status, done.output
    told = json.loads(done.output)
    assert told["verdict"] == verdict
    assert [each["code"] for each in told["reasons"]] == ([] if status == 0 else ["principal_unknown"])
    line = line_of(done)
    assert line["result"] == result
    assert line["evidence"].startswith(f"CAdES, {COMPANY.name} {COMPANY.corporate_number[1:]}")


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_people_read_whose_certificate_it_is(verify: Verify, lang: str) -> None:
    done = verify("root.pem", "--lang", lang)
    assert done.exit_code == 0, done.output
    words = {"ja": "委任者自身の署名: 確認できた", "en": "The principal's own signature: confirmed"}[lang]
    (line,) = [each for each in done.output.splitlines() if words in each]
    assert COMPANY.name in line
