"""A certification authority in the JPKI's shape that can also issue what no authority should.

Certificates come from cryptography's builder; CRLs and OCSP responses are written byte by byte, because the
interesting ones are those a builder refuses to make.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)
AUTH_TEST = "1.2.392.200149.8.5.1.0.30"
AUTH_PRODUCTION = "1.2.392.200149.8.5.1.3.30"
SIGN_TEST = "1.2.392.200149.8.5.1.0.20"
SHA256_WITH_RSA = bytes.fromhex("300d06092a864886f70d01010b0500")
SHA1_WITH_RSA = bytes.fromhex("300d06092a864886f70d0101050500")

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@functools.cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """One key per name and test run: making RSA keys is the slow part."""
    assert name
    return rsa.generate_private_key(65537, bits)


# --- DER -------------------------------------------------------------------------------------------------------------


def tlv(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    size = (len(content).bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + len(content).to_bytes(size, "big") + content


def integer(value: int) -> bytes:
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def oid(dotted: str) -> bytes:
    first, second, *arcs = (int(arc) for arc in dotted.split("."))
    content = bytearray()
    for arc in (first * 40 + second, *arcs):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | (arc & 0x7F))
        content += bytes(reversed(groups))
    return tlv(0x06, bytes(content))


def utc_time(moment: datetime) -> bytes:
    return tlv(0x17, f"{moment:%y%m%d%H%M%SZ}".encode())


def generalized_time(moment: datetime) -> bytes:
    return tlv(0x18, f"{moment:%Y%m%d%H%M%SZ}".encode())


def extension(dotted: str, value: bytes, *, critical: bool = False) -> bytes:
    return tlv(0x30, oid(dotted), b"\x01\x01\xff" if critical else b"", tlv(0x04, value))


def bit_string(data: bytes) -> bytes:
    return tlv(0x03, b"\x00", data)


# --- the authority ---------------------------------------------------------------------------------------------------


def ca_name(organization: str = "JPKI-TEST", unit: str = "JPKI for user authentication") -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "JP"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(
                NameOID.ORGANIZATIONAL_UNIT_NAME, "Japan Agency for Local Authority Information Systems"
            ),
        ]
    )


def point_name(town: str = "Chiyoda") -> x509.Name:
    """The name of one municipality's list, as JPKI partitions them."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "JP"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "JPKI-TEST"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "CRL Distribution Points"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{town} CRLDP"),
        ]
    )


def distribution_point(
    name: x509.Name, *, reasons: frozenset[x509.ReasonFlags] | None = None, crl_issuer: x509.Name | None = None
) -> x509.DistributionPoint:
    return x509.DistributionPoint(
        full_name=[x509.DirectoryName(name)],
        relative_name=None,
        reasons=reasons,
        crl_issuer=None if crl_issuer is None else [x509.DirectoryName(crl_issuer)],
    )


def key_usage(*names: str) -> x509.KeyUsage:
    known = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: name in names for name in known})


def policies(*dotted: str) -> x509.CertificatePolicies:
    return x509.CertificatePolicies([x509.PolicyInformation(ObjectIdentifier(each), None) for each in dotted])


@dataclass(frozen=True, kw_only=True)
class Authority:
    """One CA generation."""

    key: PrivateKey = field(default_factory=lambda: rsa_key("ca"))
    name: x509.Name = field(default_factory=ca_name)
    serial: int = 1
    not_before: datetime = NOW - 3000 * DAY
    not_after: datetime = NOW + 3000 * DAY
    usage: tuple[str, ...] = ("key_cert_sign", "crl_sign")

    @functools.cached_property
    def certificate(self) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(self.name)
            .public_key(self.key.public_key())
            .serial_number(self.serial)
            .not_valid_before(self.not_before)
            .not_valid_after(self.not_after)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(key_usage(*self.usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def leaf(
        self,
        *,
        key: PrivateKey | rsa.RSAPublicKey | ec.EllipticCurvePublicKey | None = None,
        serial: int = 0x0133C349,
        policy: x509.CertificatePolicies | None = None,
        policy_critical: bool = True,
        usage: x509.KeyUsage | None = None,
        extra: tuple[tuple[x509.ExtensionType, bool], ...] = (),
        not_before: datetime = NOW - 300 * DAY,
        not_after: datetime = NOW + 300 * DAY,
        without: tuple[str, ...] = (),
        digest: hashes.HashAlgorithm | None = None,
        issuer_name: x509.Name | None = None,
    ) -> bytes:
        """A 利用者証明用 certificate as JPKI-TEST issues it, unless told otherwise."""
        key = key or rsa_key("hanako")
        public = key.public_key() if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) else key
        subject = [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "JP"),
            x509.NameAttribute(NameOID.COMMON_NAME, "0000000000000013101001A"),
        ]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(subject))
            .issuer_name(issuer_name or self.name)
            .public_key(public)
            .serial_number(serial)
            .not_valid_before(not_before)
            .not_valid_after(not_after)
        )
        if "policies" not in without:
            builder = builder.add_extension(policy or policies(AUTH_TEST), critical=policy_critical)
        if "usage" not in without:
            builder = builder.add_extension(usage or key_usage("digital_signature"), critical=True)
        for value, critical in extra:
            builder = builder.add_extension(value, critical=critical)
        return builder.sign(self.key, digest or hashes.SHA256()).public_bytes(Encoding.DER)

    # --- CRL ---------------------------------------------------------------------------------------------------------

    def crl(
        self,
        *entries: tuple[int, bytes],
        extensions: tuple[bytes, ...] | None = (),
        version: bytes = integer(1),
        this_update: bytes | None = None,
        next_update: bytes | None = None,
        inner: bytes = SHA256_WITH_RSA,
        outer: bytes = SHA256_WITH_RSA,
        name: x509.Name | None = None,
        key: PrivateKey | None = None,
        empty_list: bool = False,
        digest: hashes.HashAlgorithm | None = None,
    ) -> bytes:
        """A CRL; each entry is (serial, raw extensions), `extensions` None leaves the field out."""
        revoked = b"".join(
            tlv(0x30, integer(serial), utc_time(NOW - 10 * DAY), tlv(0x30, raw) if raw else b"")
            for serial, raw in entries
        )
        body = tlv(
            0x30,
            version,
            inner,
            (name or self.name).public_bytes(),
            utc_time(NOW - DAY / 2) if this_update is None else this_update,
            utc_time(NOW + DAY / 2) if next_update is None else next_update,
            tlv(0x30, revoked) if revoked or empty_list else b"",
            b"" if extensions is None else tlv(0xA0, tlv(0x30, *(extensions or (crl_number(7),)))),
        )
        return self.signed(body, outer=outer, key=key, digest=digest)

    def signed(
        self,
        body: bytes,
        *extra: bytes,
        outer: bytes = SHA256_WITH_RSA,
        key: PrivateKey | None = None,
        digest: hashes.HashAlgorithm | None = None,
    ) -> bytes:
        return tlv(0x30, body, outer, bit_string(sign(key or self.key, body, digest)), *extra)

    # --- OCSP --------------------------------------------------------------------------------------------------------

    def single(
        self,
        serial: int,
        *,
        status: bytes = b"\x80\x00",
        this_update: datetime = NOW - timedelta(minutes=5),
        next_update: datetime | None = NOW + timedelta(minutes=5),
        extensions: bytes = b"",
    ) -> bytes:
        bits = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        certificate_id = tlv(
            0x30,
            bytes.fromhex("300906052b0e03021a0500"),
            tlv(0x04, hashlib.sha1(self.name.public_bytes()).digest()),  # noqa: S324 (names the issuer only)
            tlv(0x04, key_hash(bits)),
            integer(serial),
        )
        until = b"" if next_update is None else tlv(0xA0, generalized_time(next_update))
        return tlv(0x30, certificate_id, status, generalized_time(this_update), until, extensions)

    def ocsp(
        self,
        *answers: bytes,
        produced_at: bytes | None = None,
        extensions: tuple[bytes, ...] = (),
        responder: bytes | None = None,
        key: PrivateKey | None = None,
        certificates: tuple[bytes, ...] = (),
        outer: bytes = SHA256_WITH_RSA,
    ) -> bytes:
        body = tlv(
            0x30,
            responder or tlv(0xA1, self.name.public_bytes()),
            produced_at or generalized_time(NOW - timedelta(minutes=5)),
            tlv(0x30, *answers),
            tlv(0xA1, tlv(0x30, *extensions)) if extensions else b"",
        )
        embedded = (tlv(0xA0, tlv(0x30, *certificates)),) if certificates else ()
        basic = self.signed(body, *embedded, key=key, outer=outer)
        typed = tlv(0x30, oid("1.3.6.1.5.5.7.48.1.1"), tlv(0x04, basic))
        return tlv(0x30, b"\x0a\x01\x00", tlv(0xA0, typed))


def sign(key: PrivateKey, body: bytes, digest: hashes.HashAlgorithm | None = None) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(body, padding.PKCS1v15(), digest or hashes.SHA256())
    return key.sign(body, ec.ECDSA(digest or hashes.SHA256()))


def key_hash(spki: bytes) -> bytes:
    """SHA-1 of the key's bits, by which OCSP names a key (RFC 6960 §4.1.1)."""
    public = x509.SubjectKeyIdentifier.from_public_key(_load(spki))
    return public.digest


def _load(spki: bytes) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    key = load_der_public_key(spki)
    assert isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
    return key


def crl_number(value: int) -> bytes:
    return extension("2.5.29.20", integer(value))


def issuing_distribution_point(*parts: bytes, critical: bool = True) -> bytes:
    return extension("2.5.29.28", tlv(0x30, *parts), critical=critical)


def full_name(name: x509.Name) -> bytes:
    """IssuingDistributionPoint.distributionPoint as one directoryName."""
    return tlv(0xA0, tlv(0xA0, tlv(0xA4, name.public_bytes())))


def reason(code: int, *, critical: bool = False) -> bytes:
    return extension("2.5.29.21", bytes([0x0A, 1, code]), critical=critical)


OCSP_SIGNING = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING])
