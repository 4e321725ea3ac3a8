"""Signed documents: only our own attributes with the card's own certificate hold; hostile bytes raise our errors."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms as asn1_cms
from asn1crypto import tsp
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import CertificateMalformed, DocumentChanged, SignatureInvalid
from broker.jpki import cms, der
from tests.broker.jpki.jpki_authority import Authority, PrivateKey, key_usage, policies, rsa_key

CA = Authority()
SIGN_TEST = "1.2.392.200149.8.5.1.0.20"
LEAF = CA.leaf(policy=policies(SIGN_TEST), usage=key_usage("digital_signature", "content_commitment"))
TEXT = "申込書\n".encode()
TIME = datetime(2026, 11, 21, 7, 0, 5, tzinfo=UTC)
ATTRIBUTES = cms.signed_attributes(hashlib.sha256(TEXT).digest(), TIME)


def binary(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signature_over(message: bytes, key: str = "hanako") -> bytes:
    return rsa_key(key).sign(message, padding.PKCS1v15(), hashes.SHA256())


def agent_cms(
    attributes: bytes = ATTRIBUTES,
    *,
    leaf: bytes = LEAF,
    named: bytes | None = None,
    key: str = "hanako",
    **changes: Any,
) -> bytes:
    """What an agent makes, by another library: the reference to the certificate added, the set sorted, all signed."""
    identifier = tsp.ESSCertIDv2({"cert_hash": hashlib.sha256(named or leaf).digest()})
    reference = asn1_cms.CMSAttribute(
        {"type": "signing_certificate_v2", "values": [tsp.SigningCertificateV2({"certs": [identifier]})]}
    )
    given = asn1_cms.CMSAttributes.load(attributes)
    attributes_signed = asn1_cms.CMSAttributes([*changes.pop("of", list(given)), reference])
    parsed = asn1_x509.Certificate.load(leaf)
    signer: dict[str, Any] = {
        "version": "v1",
        "sid": asn1_cms.SignerIdentifier(
            "issuer_and_serial_number",
            asn1_cms.IssuerAndSerialNumber({"issuer": parsed.issuer, "serial_number": parsed.serial_number}),
        ),
        "digest_algorithm": {"algorithm": "sha256"},
        "signed_attrs": attributes_signed,
        "signature_algorithm": {"algorithm": "sha256_rsa"},
        "signature": signature_over(attributes_signed.dump(), key),
    } | changes.pop("signer", {})
    data: dict[str, Any] = {
        "version": "v1",
        "digest_algorithms": [{"algorithm": "sha256"}],
        "encap_content_info": {"content_type": "data"},
        "certificates": [parsed],
        "signer_infos": [signer],
    } | changes
    return bytes(asn1_cms.ContentInfo({"content_type": "signed_data", "content": asn1_cms.SignedData(data)}).dump())


def test_cms_of_another_library_over_our_attributes_holds() -> None:
    signed = cms.verify_detached(agent_cms(), attributes=ATTRIBUTES)
    assert signed.certificate == LEAF
    assert signed.signature == signature_over(signed.attributes)
    kinds = [attribute["type"].native for attribute in asn1_cms.CMSAttributes.load(signed.attributes)]
    assert sorted(kinds) == ["content_type", "message_digest", "signing_certificate_v2", "signing_time"]
    for name in ("rsassa_pkcs1v15", "sha256_rsa"):
        assert cms.verify_detached(
            agent_cms(signer={"signature_algorithm": {"algorithm": name}}), attributes=ATTRIBUTES
        )


def test_openssl_verifies_the_form_we_keep(tmp_path: Path) -> None:
    ours = cms.detached(cms.verify_detached(agent_cms(), attributes=ATTRIBUTES))
    assert cms.verify_detached(ours, attributes=ATTRIBUTES).certificate == LEAF
    for name, content in {"cms": ours, "text": TEXT, "ca": CA.certificate.public_bytes(Encoding.PEM)}.items():
        (tmp_path / name).write_bytes(content)
    command = ["openssl", "cms", "-verify", "-inform", "DER", "-in", "cms", "-content", "text", "-binary"]
    command += ["-CAfile", "ca", "-purpose", "any", "-attime", str(int(TIME.timestamp())), "-cades"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, TEXT), done.stderr
    (tmp_path / "text").write_bytes(TEXT + b" ")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_attributes_have_the_time_in_the_form_of_its_year() -> None:
    late = cms.signed_attributes(bytes(32), datetime(2050, 1, 1, tzinfo=UTC))
    values = {a["type"].native: a["values"][0] for a in asn1_cms.CMSAttributes.load(late)}
    assert values["signing_time"].name == "generalized_time"
    tokyo = TIME.astimezone(timezone(timedelta(hours=9)))
    assert cms.signed_attributes(hashlib.sha256(TEXT).digest(), tokyo) == ATTRIBUTES
    for digest, moment in (
        (bytes(20), TIME),
        (bytes(32), TIME.replace(tzinfo=None)),
        (bytes(32), TIME.replace(microsecond=1)),
    ):
        with pytest.raises(ValueError, match=r"SHA-256|aware"):
            cms.signed_attributes(digest, moment)


OTHER_LEAF = CA.leaf(key=rsa_key("mallory"), serial=5, policy=policies(SIGN_TEST))
OTHER_NAME = asn1_cms.SignerIdentifier(
    "issuer_and_serial_number",
    asn1_cms.IssuerAndSerialNumber({"issuer": asn1_x509.Certificate.load(LEAF).issuer, "serial_number": 99}),
)
PARSED = asn1_x509.Certificate.load(LEAF)
EXTRA = asn1_cms.CMSAttribute({"type": "1.2.3.4", "values": [asn1_cms.OctetString(b"x")]})


@pytest.mark.parametrize(
    "altered",
    [
        agent_cms(cms.signed_attributes(bytes(32), TIME)),
        agent_cms(cms.signed_attributes(hashlib.sha256(TEXT).digest(), TIME + timedelta(seconds=1))),
        agent_cms(of=[*asn1_cms.CMSAttributes.load(ATTRIBUTES), EXTRA]),
        agent_cms(of=list(asn1_cms.CMSAttributes.load(ATTRIBUTES))[:2]),
        agent_cms(named=OTHER_LEAF),
        agent_cms(key="mallory"),
        agent_cms(signer={"sid": OTHER_NAME}),
        agent_cms(signer={"digest_algorithm": {"algorithm": "sha1"}}),
        agent_cms(signer={"signature_algorithm": {"algorithm": "sha1_rsa"}}),
        agent_cms(signer={"unsigned_attrs": [EXTRA]}),
        agent_cms(certificates=[PARSED, asn1_x509.Certificate.load(CA.der)]),
        agent_cms(encap_content_info={"content_type": "data", "content": b"x"}),
        agent_cms(digest_algorithms=[{"algorithm": "sha256"}, {"algorithm": "sha1"}]),
        agent_cms(signer_infos=[]),
        agent_cms() + b"\x00",
        agent_cms()[:-1],
        b"",
        b"\x30\x80" + agent_cms()[4:] + b"\x00\x00",
        bytes(cms.MAX_CMS + 1),
    ],
)
def test_anything_but_the_signature_over_our_own_attributes_is_refused(altered: bytes) -> None:
    with pytest.raises((SignatureInvalid, DocumentChanged)):
        cms.verify_detached(altered, attributes=ATTRIBUTES)


def test_certificate_of_another_key_kind_cannot_sign() -> None:
    key: PrivateKey = ec.generate_private_key(ec.SECP256R1())
    leaf = CA.leaf(key=key)
    with pytest.raises(SignatureInvalid):
        cms.verify_detached(agent_cms(leaf=leaf), attributes=ATTRIBUTES)
    assert load_der_x509_certificate(leaf).public_key() == key.public_key()


@settings(max_examples=300)
@given(st.data())
def test_no_mutant_is_believed_and_only_our_errors_are_raised(data: st.DataObject) -> None:
    good = agent_cms()
    where = data.draw(st.integers(0, len(good) - 1))
    mutant = good[:where] + bytes([good[where] ^ data.draw(st.integers(1, 255))]) + good[where + 1 :]
    try:
        signed = cms.verify_detached(mutant, attributes=ATTRIBUTES)
    except (SignatureInvalid, DocumentChanged, CertificateMalformed):
        return
    assert signed.attributes == cms.with_certificate(ATTRIBUTES, LEAF)  # the version of a field no signature rests on


@given(st.binary(max_size=300))
def test_random_bytes_raise_only_our_errors(data: bytes) -> None:
    with pytest.raises((SignatureInvalid, DocumentChanged, CertificateMalformed)):
        cms.verify_detached(der.write(der.SEQUENCE, data), attributes=ATTRIBUTES)


VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "card-frame" / "cms.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("document", VECTORS["documents"], ids=lambda document: document["name"])
def test_the_bytes_are_those_that_the_agent_is_held_to(document: dict[str, str]) -> None:
    given = {
        each["type"].native: each["values"][0] for each in asn1_cms.CMSAttributes.load(binary(document["attributes"]))
    }
    time = datetime.fromtimestamp(VECTORS["issued_at"], UTC) if "signing_time" in given else None
    attributes = cms.signed_attributes(bytes(given["message_digest"]), time)
    assert attributes == binary(document["attributes"])
    assert document["form"] or bytes(given["message_digest"]) == binary(document["sha256"])
    signed = cms.verify_detached(binary(document["cms"]), attributes=attributes)
    assert signed.certificate == binary(VECTORS["certificate"])
    assert signed.attributes == binary(document["attributes_signed"])
    assert cms.verify_detached(cms.detached(signed), attributes=attributes) == signed


def test_a_raw_signature_is_over_the_digest_itself() -> None:
    certificate, raw = binary(VECTORS["certificate"]), VECTORS["raw"]
    cms.verify_raw(certificate, binary(raw["digest"]), binary(raw["signature"]))
    for wrong in ((bytes(32), binary(raw["signature"])), (binary(raw["digest"]), b""), (b"short", bytes(256))):
        with pytest.raises(SignatureInvalid):
            cms.verify_raw(certificate, *wrong)
