"""Signed documents, byte for byte as the published vectors say, and as OpenSSL judges them."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cardreader import cms
from cardreader.errors import SignatureMismatch

OPENSSL = shutil.which("openssl")
VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors/card-frame/cms.json").read_text(encoding="utf-8")
)
RS256 = cms.SCHEMES["RS256"]
documents = pytest.mark.parametrize("document", VECTORS["documents"], ids=lambda document: document["name"])


def _raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")


CERTIFICATE = _raw(VECTORS["certificate"])
ISSUED_AT = datetime.fromtimestamp(VECTORS["issued_at"], UTC)


@documents
def test_signed_document_is_the_published_one_byte_for_byte(document: dict[str, Any]) -> None:
    asked, signature = _raw(document["attributes"]), _raw(document["signature"])
    signed_at = None if document["form"] == "pades" else ISSUED_AT
    assert cms.document_attributes(digest=asked[-32:], signed_at=signed_at) == asked
    whole = cms.with_certificate(asked, certificate=CERTIFICATE)
    assert whole == _raw(document["attributes_signed"])
    cms.verify_attributes(whole, signature, certificate=CERTIFICATE)
    made = cms.signed_data(whole, signature, certificate=CERTIFICATE, ca_certificate=None, scheme=RS256)
    assert made == _raw(document["cms"])


@documents
def test_signature_does_not_hold_for_what_was_asked_alone(document: dict[str, Any]) -> None:
    with pytest.raises(SignatureMismatch):
        cms.verify_attributes(_raw(document["attributes"]), _raw(document["signature"]), certificate=CERTIFICATE)


@pytest.mark.skipif(OPENSSL is None, reason="missing: openssl")
@pytest.mark.parametrize("altered", [False, True])
def test_openssl_accepts_the_published_document_and_no_other(altered: bool, tmp_path: Path) -> None:
    document = VECTORS["documents"][0]
    (tmp_path / "leaf.der").write_bytes(CERTIFICATE)
    (tmp_path / "signed.p7s").write_bytes(_raw(document["cms"]))
    (tmp_path / "content").write_bytes(document["content"].encode() + b"." * altered)
    pem = tmp_path / "leaf.pem"
    subprocess.run([str(OPENSSL), "x509", "-inform", "DER", "-in", tmp_path / "leaf.der", "-out", pem], check=True)
    command = [str(OPENSSL), "cms", "-verify", "-inform", "DER", "-binary", "-in", str(tmp_path / "signed.p7s")]
    options = ["-content", str(tmp_path / "content"), "-CAfile", str(pem), "-purpose", "any", "-out", "/dev/null"]
    verified = subprocess.run(
        [*command, *options, "-attime", str(VECTORS["issued_at"])], capture_output=True, check=False
    )
    assert (verified.returncode == 0) is not altered
