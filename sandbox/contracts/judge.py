"""Is it signed? A program that nobody here wrote says so: openssl, and pdfsig where there is one."""

from __future__ import annotations

import base64
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding


def judge(document: bytes, told: Mapping[str, Any], *, certificate: bytes | None, anchors: Path) -> str:
    """In one line what a signature of the result is worth over `document`; `anchors` is a PEM file.

    Raises ValueError where it is worth nothing.
    """
    if "pdf" in told:
        return _pdf(base64.b64decode(told["pdf"]), document)
    if "cms" in told:
        if certificate is None:
            raise ValueError("a signature without its certificate")
        return _cms(base64.b64decode(told["cms"]), document, issuer_of(certificate, anchors))
    if "signature" in told and certificate is not None:
        return _raw(base64.b64decode(told["signature"]), document, certificate)
    return "signed; the certificate and signature stay with the provider (no 署名検証者)"


def issuer_of(certificate: bytes, anchors: Path) -> bytes:
    """The one authority in a PEM file that issued a certificate (PEM): generations share a name, and openssl takes the
    first of the name that it is given. Raises ValueError.
    """
    leaf = x509.load_der_x509_certificate(certificate)
    for anchor in x509.load_pem_x509_certificates(anchors.read_bytes()):
        try:
            leaf.verify_directly_issued_by(anchor)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return anchor.public_bytes(Encoding.PEM)
    raise ValueError("no authority of 署名用 certificates issued it")


def _cms(cms: bytes, document: bytes, issuer: bytes) -> str:
    with tempfile.TemporaryDirectory() as folder:
        signature, content = Path(folder) / "signature.p7s", Path(folder) / "content"
        signature.write_bytes(cms)
        content.write_bytes(document)
        authority = Path(folder) / "authority.pem"
        authority.write_bytes(issuer)
        done = subprocess.run(
            [
                *("openssl", "cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", str(signature)),
                *("-content", str(content), "-CAfile", str(authority), "-purpose", "any", "-out", "/dev/null"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise ValueError(f"openssl refuses the signature: {done.stderr.strip().splitlines()[:1]}")
    return "openssl cms: verification successful"


def _pdf(pdf: bytes, document: bytes) -> str:
    if not pdf.startswith(document):
        raise ValueError("the signed PDF does not begin with the document that was ordered")
    if shutil.which("pdfsig") is None:
        return "signed PDF (pdfsig is not installed to judge it)"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "signed.pdf"
        file.write_bytes(pdf)
        done = subprocess.run(["pdfsig", "-nocert", str(file)], capture_output=True, text=True, check=False)
    if "Signature is Valid." not in done.stdout or "Total document signed" not in done.stdout:
        raise ValueError("pdfsig refuses the signature")
    return "pdfsig: signature is valid, total document signed"


def _raw(signature: bytes, document: bytes, certificate: bytes) -> str:
    key = x509.load_der_x509_certificate(certificate).public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("the certificate's key is no RSA key")  # noqa: TRY004 -- a value of a certificate, not an argument
    try:
        key.verify(signature, document, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise ValueError("the signature is not over the document") from None
    return "RSASSA-PKCS1-v1_5 with SHA-256: good"
