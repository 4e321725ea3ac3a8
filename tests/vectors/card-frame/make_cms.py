"""Write cms.json: the published vectors of what the signing key (署名用) makes of a document.

The DER is put together by hand here, so that it shares no line with the agent's CMS or the broker's: the three can only
agree by following the same rule. PKCS #1 v1.5 signatures are deterministic, the key (signer.jwk.json) is for this file
alone, and times are fixed. Run `python tests/vectors/card-frame/make_cms.py` to print the file anew.

    asked   = SET OF { contentType id-data, signingTime = the request's iat, messageDigest }       the broker writes it
    signed  = asked with one attribute more: signingCertificateV2 (RFC 5035), the certificate's SHA-256 alone
    cms     = SignedData v1, detached, one SignerInfo v1 (issuer and serial), no certificate but the signer's
    raw     = the signature over DigestInfo(SHA-256, digest): the digest is the caller's own
"""

import base64
import hashlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from cryptography.x509.oid import NameOID

ISSUED_AT = 1_800_000_000
HERE = Path(__file__).parent
DATA = bytes.fromhex("06092a864886f70d010701")
SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
CONTENT_TYPE = bytes.fromhex("06092a864886f70d010903")
MESSAGE_DIGEST = bytes.fromhex("06092a864886f70d010904")
SIGNING_TIME = bytes.fromhex("06092a864886f70d010905")
SIGNING_CERTIFICATE_V2 = bytes.fromhex("060b2a864886f70d010910022f")
SHA256 = bytes.fromhex("300b0609608648016503040201")
SHA256_WITH_RSA = bytes.fromhex("300d06092a864886f70d01010b0500")
ONE = bytes.fromhex("020101")


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def tlv(tag: int, *parts: bytes) -> bytes:
    value = b"".join(parts)
    if len(value) < 0x80:
        return bytes((tag, len(value))) + value
    length = len(value).to_bytes((len(value).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + value


def sequence(*parts: bytes) -> bytes:
    return tlv(0x30, *parts)


def set_of(*parts: bytes) -> bytes:
    return tlv(0x31, *sorted(parts))


def attribute(kind: bytes, value: bytes) -> bytes:
    return sequence(kind, set_of(value))


def asked(digest: bytes, at: int | None) -> list[bytes]:
    """Without a time for a PDF, which states it itself (ETSI EN 319 142-1 section 6.3)."""
    wanted = [attribute(CONTENT_TYPE, DATA), attribute(MESSAGE_DIGEST, tlv(0x04, digest))]
    if at is None:
        return wanted
    moment = datetime.fromtimestamp(at, UTC).strftime("%y%m%d%H%M%SZ").encode()
    return [*wanted, attribute(SIGNING_TIME, tlv(0x17, moment))]


def with_certificate(attributes: list[bytes], certificate: bytes) -> list[bytes]:
    identifier = sequence(tlv(0x04, sha256(certificate)))
    return [*attributes, attribute(SIGNING_CERTIFICATE_V2, sequence(sequence(identifier)))]


def signed_data(attributes: list[bytes], signature: bytes, certificate: x509.Certificate) -> bytes:
    serial = certificate.serial_number
    signer = sequence(
        ONE,
        sequence(certificate.issuer.public_bytes(), tlv(0x02, serial.to_bytes(serial.bit_length() // 8 + 1, "big"))),
        SHA256,
        tlv(0xA0, *sorted(attributes)),
        SHA256_WITH_RSA,
        tlv(0x04, signature),
    )
    leaf = certificate.public_bytes(serialization.Encoding.DER)
    return sequence(
        SIGNED_DATA,
        tlv(0xA0, sequence(ONE, set_of(SHA256), sequence(DATA), tlv(0xA0, leaf), set_of(signer))),
    )


def load_key(jwk: dict[str, str]) -> rsa.RSAPrivateKey:
    n, e, d, p, q, dp, dq, qi = (
        int.from_bytes(base64.urlsafe_b64decode(jwk[name] + "=="), "big")
        for name in ("n", "e", "d", "p", "q", "dp", "dq", "qi")
    )
    return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, rsa.RSAPublicNumbers(e, n)).private_key()


def make_certificate(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "JP"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "JPKI-TEST"),
            x509.NameAttribute(NameOID.COMMON_NAME, "card-frame vectors"),
        ]
    )
    usage = x509.KeyUsage(True, True, False, False, False, False, False, False, False)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(0x0186A0)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2031, 1, 1, tzinfo=UTC))
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def vectors() -> dict[str, object]:
    key = load_key(json.loads((HERE / "signer.jwk.json").read_text(encoding="ascii")))
    certificate = make_certificate(key)
    der = certificate.public_bytes(serialization.Encoding.DER)
    text = "本人確認の申込書\n依頼したサービス：みほん銀行\n渡す情報：氏名、住所、生年月日、性別\n"

    def document(name: str, *, content: str, form: str = "", message: bytes = b"") -> dict[str, object]:
        digest = sha256(content.encode())
        wanted = asked(sha256(message), None) if message else asked(digest, ISSUED_AT)
        whole = with_certificate(wanted, der)
        signature = key.sign(set_of(*whole), padding.PKCS1v15(), hashes.SHA256())
        return {
            "name": name,
            "form": form,
            "content": content,
            "sha256": b64url(digest),
            "attributes": b64url(set_of(*wanted)),
            "attributes_signed": b64url(set_of(*whole)),
            "signature": b64url(signature),
            "cms": b64url(signed_data(whole, signature, certificate)),
        }

    raw = sha256(b"a document nobody here has seen")
    return {
        "certificate": b64url(der),
        "issued_at": ISSUED_AT,
        "documents": [
            document("identity proofing: the broker's application", content=text),
            document("an empty document", content=""),
            document("a byte range of a PDF", content="%PDF as shown", form="pades", message=b"%PDF byte range"),
        ],
        "raw": {
            "digest": b64url(raw),
            "signature": b64url(key.sign(raw, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))),
        },
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vectors(), ensure_ascii=False, indent=1) + "\n")
